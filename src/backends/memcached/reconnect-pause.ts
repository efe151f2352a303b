import { backoffMs } from '../backend-rules.js';

/** A connection that breaks now and then is made anew at once; only a server that goes on failing is left alone for a while. */
const FAILURES_WITHOUT_PAUSE = 4;
const FIRST_PAUSE_MS = 50;
/** As long as clients have to wait (`Retry-After: 1`). */
const LONGEST_PAUSE_MS = 1000;

/** Pauses between attempts to reach a server that does not respond, each longer than the one before, and each process has its own. */
export class ReconnectPause {
  #failures = 0;
  #endsAt = 0;

  get isOn(): boolean {
    return this.#failures > FAILURES_WITHOUT_PAUSE && performance.now() < this.#endsAt;
  }

  /** A new connection has ended without a single response. */
  failed(): void {
    this.#failures++;
    this.#endsAt =
      performance.now() + backoffMs(this.#failures - FAILURES_WITHOUT_PAUSE, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  }

  responded(): void {
    this.#failures = 0;
  }
}
