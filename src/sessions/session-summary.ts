/** One line of a user's list of devices. */
export interface SessionSummary {
  /** For `deleteSession()`. Check first that it is in the list of the user who asks. */
  readonly sessionId: string;
  /** When the session was created. */
  readonly createdAt: Date;
  /** Up to `touchInterval` behind. */
  readonly lastAccessed: Date;
  /** The earlier of idle and absolute expiry. */
  readonly expiresAt: Date;
  /** The client's address at the creation; null: not known. */
  readonly ipAddress: string | null;
  /** The client's User-Agent at the creation; null: not known. */
  readonly userAgent: string | null;
}
