import { setTimeout as sleep } from 'node:timers/promises';

import { SessionConflictError } from '../../errors/session-errors.js';
import { retryPauseMs } from '../backend-rules.js';

/** How long a compare-and-set that others keep winning is tried. Each try is made on what was read anew, so none is done twice. */
export class RetryBudget {
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
   * @throws SessionConflictError when the time is over: the server has responded all the while, so this is no outage
   */
  async pause(): Promise<void> {
    if (this.isOver()) {
      throw new SessionConflictError("Other writers kept changing the list of this user's sessions; try again.");
    }
    await sleep(retryPauseMs(++this.#tries));
  }
}
