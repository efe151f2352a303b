import type { TokenSource } from '../options/session-options.js';
import type { SessionLifetime } from '../sessions/session-issuer.js';
import type { SessionData } from '../records/session-user.js';

/** How a new token is given to the client. */
export interface AnswerOptions {
  /** Default: the way the arriving session came, else the first of `tokenSourcePriority`. */
  readonly transport?: TokenSource;
}

/** Choices for one login. */
export interface LoginOptions extends SessionLifetime, AnswerOptions {}

/** Choices for a session that `start()` makes. */
export interface StartOptions extends AnswerOptions {
  /** Put into the session, new or not. Default: nothing. */
  readonly data?: Partial<SessionData>;
}
