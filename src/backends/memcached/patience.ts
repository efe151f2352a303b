import { setTimeout as sleep } from 'node:timers/promises';

import { MemcachedError } from './memcached-error.js';

const LONGEST_PAUSE_MS = 8;

/** How long a compare-and-set that others keep winning is tried. Each try is made on what was read anew, so none is done twice. */
export class Patience {
  readonly #endsAt: number;
  #tries = 0;

  constructor(milliseconds: number) {
    this.#endsAt = performance.now() + milliseconds;
  }

  isOver(): boolean {
    return performance.now() >= this.#endsAt;
  }

  /**
   * A random pause, longer each time, so that writers who met once do not meet again and again.
   *
   * @throws MemcachedError `CONTENTION` when the time is over
   */
  async pause(): Promise<void> {
    if (this.isOver()) throw new MemcachedError('CONTENTION', 'Others kept changing the item.');
    await sleep(Math.random() * Math.min(2 ** this.#tries++, LONGEST_PAUSE_MS));
  }
}
