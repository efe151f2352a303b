import type { Session } from './session.js';

/** A session and its token. */
export interface IssuedSession {
  readonly session: Session;
  readonly token: string;
}

/** The result of `login()`, `start()`, `regenerateSessionId()` and `reauthenticate()`. */
export interface LoginResult {
  readonly session: Session;
  /** `null` if the client gets the token in a cookie, which no script can read. */
  readonly token: string | null;
  /** The CSRF token for the pages of the client. `null` if none is needed: `enableCsrf` is off, or the token is not in a cookie. */
  readonly csrfToken: string | null;
}

/** The result of `credentialsChanged()`. */
export interface CredentialsChange extends LoginResult {
  /** How many other sessions of the user were ended. */
  readonly ended: number;
}

/** One line of a user's list of devices. */
export interface SessionSummary {
  /**
   * For `deleteSession()`. One that comes from a client must begin with the same 16 characters as the `sessionId` of the caller. Do not look for it in
   * the list: the session may have got a new id since.
   */
  readonly sessionId: string;
  /** When the session was created. */
  readonly createdAt: Date;
  /** Up to `touchInterval` behind. */
  readonly lastAccessed: Date;
  /** The earlier of idle and absolute expiry. */
  readonly expiresAt: Date;
  /** The client's address at creation; `null` if not known. */
  readonly ipAddress: string | null;
  /** The client's User-Agent at creation; `null` if not known. */
  readonly userAgent: string | null;
  /** Whether the user asked to be remembered there. */
  readonly isRemembered: boolean;
}
