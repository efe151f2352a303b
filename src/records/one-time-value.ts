/** A value that is handed out once, as stored. */
export interface StoredOneTimeValue {
  readonly name: string;
  /** Any JSON value. */
  readonly value: unknown;
  /** Milliseconds since the epoch. From this instant it is not handed out any more. */
  readonly expiresAt: number;
}

/** The most one-time values of one session. */
const MOST_ONE_TIME_VALUES = 20;

/**
 * `values` with `added` as the newest, in the place of one of the same name. Those that have expired go, and the oldest beyond
 * `MOST_ONE_TIME_VALUES`.
 *
 * @param now milliseconds since the epoch
 */
export function withOneTimeValue(
  values: readonly StoredOneTimeValue[],
  added: StoredOneTimeValue,
  now: number,
): readonly StoredOneTimeValue[] {
  const kept = values.filter(({ name, expiresAt }) => name !== added.name && expiresAt > now);
  return [...kept, added].slice(-MOST_ONE_TIME_VALUES);
}
