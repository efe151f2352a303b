import type { Clock } from './clock.js';

/** An outage that begins so soon after the last one is of a part: of one of several servers, or of a server that comes and goes. */
const RECENT_MS = 60_000;
/** How long nothing must fail for such an outage to be over. */
const CALM_MS = 10_000;

/**
 * Tells the start and the end of an outage from calls that fail and calls that succeed. The first success ends it. Where a part of a store is
 * down, successes and failures alternate with every call: from the second outage within a minute, it is over when nothing has failed for ten
 * seconds.
 */
export class Outage {
  #isOn = false;
  #isOfPart = false;
  #failedAt = -Infinity;
  #endedAt = -Infinity;

  constructor(private readonly clock: Clock) {}

  /** Called when a call has failed. @returns whether that begins an outage */
  failed(): boolean {
    this.#failedAt = this.clock.now();
    if (this.#isOn) return false;
    this.#isOn = true;
    this.#isOfPart = this.#hasPassedSince(this.#endedAt) < RECENT_MS;
    return true;
  }

  /** Called when a call has succeeded. @returns whether that ends an outage */
  succeeded(): boolean {
    if (!this.#isOn) return false;
    if (this.#isOfPart && this.#hasPassedSince(this.#failedAt) < CALM_MS) return false;
    this.#isOn = false;
    this.#endedAt = this.clock.now();
    return true;
  }

  /** Milliseconds. A clock that was set back must not keep an outage on for ever. */
  #hasPassedSince(instant: number): number {
    return Math.abs(this.clock.now() - instant);
  }
}
