/** One line of a user's list of devices. */
export interface SessionSummary {
  /** For `deleteSession()`. Check first that it is in the list of the user who asks. */
  readonly sessionId: string;
  readonly createdAt: Date;
  /** Up to `touchInterval` behind. */
  readonly lastAccessed: Date;
  readonly expiresAt: Date;
  readonly ipAddress: string | null;
  readonly userAgent: string | null;
}
