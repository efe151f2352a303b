import type { Clock } from '../clock.js';

/**
 * A clock that stands still until it is moved.
 *
 * @example SessionModule.forRoot({ …, extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }] })
 */
export class FakeClock implements Clock {
  #now: number;

  /** @param now milliseconds since the epoch. Default: the real time of now. */
  constructor(now: number = Date.now()) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  /** Moves the clock forward; a negative number moves it back. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** @param seconds as in the module's options */
  advanceSeconds(seconds: number): void {
    this.advance(seconds * 1000);
  }
}
