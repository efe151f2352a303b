/** A value that is handed out once, as stored. */
export interface StoredOneTimeValue {
  readonly name: string;
  /** Any JSON value. */
  readonly value: unknown;
  /** Milliseconds since the epoch. From this instant it is not handed out any more. */
  readonly expiresAt: number;
}
