/** Injection token of the {@link Clock}; provide your own through `extraProviders`. */
export const SESSION_CLOCK = Symbol.for('nestjs-sessionx:clock');

/**
 * Where every time in this module comes from. One clock for all makes expiry exact to the millisecond and lets a test
 * move time by hand.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

/** The clock of the operating system. */
export const systemClock: Clock = { now: () => Date.now() };
