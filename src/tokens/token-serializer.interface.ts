import type { SessionSecret } from './session-secret.js';

/** Injection token of the {@link TokenSerializer}; provide your own through `extraProviders`. */
export const TOKEN_SERIALIZER = Symbol.for('nestjs-sessionx:token-serializer');

/** What a token carries. It holds no session data. */
export interface TokenClaims {
  /** 48 characters of base64url. Any client that knows it can use the session: never log it. */
  readonly secret: SessionSecret;
  /** When the token was signed, milliseconds since the epoch. */
  readonly issuedAt: number;
  /** When the session ends, however it is used, milliseconds since the epoch. Missing: the session, or the token, has no such end. */
  readonly expiresAt?: number;
}

/** The outcome of verifying a token. */
export type TokenVerdict =
  | {
      readonly valid: true;
      readonly claims: TokenClaims;
      /** The signing key has been superseded, so the client gets a new token under the current key. */
      readonly outdated: boolean;
    }
  | { readonly valid: false; readonly fault: 'TOKEN_MALFORMED' | 'TOKEN_FORGED' | 'TOKEN_EXPIRED' };

/**
 * Turns claims into the token that the client holds, and back. It alone decides whether a token is valid. The session
 * of a valid token is then read from the store.
 */
export interface TokenSerializer {
  /** A token that verified once verifies until its `expiresAt`, or for ever if it has none, so that its verdict may be remembered. Default: false. */
  readonly verdictsAreFinal?: boolean;

  /** A token of 1 to 4,000 characters of printable ASCII, without spaces, quotes, commas, semicolons and backslashes. */
  serialize(claims: TokenClaims): string | Promise<string>;

  /**
   * The verdict on a token from a request: any string, from any client. An error thrown here rejects the token (401). Throw a
   * `SessionBackendError` if the token could not be checked (503). A promise that does not settle within `backendTimeout` is a 503, too.
   */
  verify(token: string): TokenVerdict | Promise<TokenVerdict>;
}
