const LONGEST_RELATIVE_S = 30 * 24 * 3600;
/** Memcached counts in whole seconds of its own, so that an item of n seconds may leave after n - 1. */
const TICK_S = 1;
/** By how much the server's wall clock may be ahead of ours. */
const SKEW_S = 3600;
const LATEST = 0xffff_ffff;

/**
 * The expiry to send for an item that is to be kept for `lifetimeMs` or somewhat longer; the exact end is in the record. Up to 30 days it
 * is a number of seconds from now, beyond that Memcached takes it for a time since 1970. It is never 0, which would mean for ever.
 *
 * @param wallClockMs not the module's clock: the server compares it with a real one
 */
export function itemExpiry(lifetimeMs: number, wallClockMs = Date.now()): number {
  const seconds = (lifetimeMs > 0 ? Math.ceil(lifetimeMs / 1000) : 0) + TICK_S;
  if (seconds <= LONGEST_RELATIVE_S) return seconds;
  return Math.min(Math.floor(wallClockMs / 1000) + seconds + SKEW_S, LATEST);
}
