import type { TokenSource } from '../options/session-options.js';
import type { ProofOptions } from '../sessions/proof-of-identity.js';
import type { NewSessionLifetime } from '../sessions/session-lifetimes.js';
import type { SessionData } from '../records/session-user.js';

/** How the client gets a new token. */
export interface TransportOptions {
  /** Default: where the token of the request was found, else the first of `tokenSourcePriority`. */
  readonly transport?: TokenSource | undefined;
}

/** Choices for one login. */
export interface LoginOptions extends NewSessionLifetime, ProofOptions, TransportOptions {}

/** Choices for a session that `start()` makes. */
export interface StartOptions extends TransportOptions {
  /** Put into the session, new or not. Default: nothing. */
  readonly data?: Partial<SessionData> | undefined;
}
