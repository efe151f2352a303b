import type { SessionSecret } from './session-secret.js';

/** Injection token of the {@link TokenSerializer}; provide your own through `extraProviders`. */
export const TOKEN_SERIALIZER = Symbol.for('nestjs-sessionx:token-serializer');

/** What a token carries. It holds no session data. */
export interface TokenClaims {
  /** 48 characters of base64url. Whoever knows it has the session: never log it. */
  readonly secret: SessionSecret;
  /** When the token was signed, milliseconds since the epoch. */
  readonly issuedAt: number;
}

/** The outcome of verifying a token. */
export type TokenVerdict =
  | {
      readonly valid: true;
      readonly claims: TokenClaims;
      /** The signing key has been superseded: the client is given a token under the current one. */
      readonly outdated: boolean;
    }
  | { readonly valid: false; readonly fault: 'TOKEN_MALFORMED' | 'TOKEN_FORGED' | 'TOKEN_EXPIRED' };

/**
 * Turns claims into the token that the client holds, and back. It alone decides whether a token verifies; what it
 * accepts is looked up in the store.
 */
export interface TokenSerializer {
  /** A token that verified once verifies for ever (no expiry inside), so that its verdict may be remembered. Default: false. */
  readonly verdictsAreFinal?: boolean;

  /** A token of 1 to 4,000 characters of printable ASCII, without spaces, quotes, commas, semicolons and backslashes. */
  serialize(claims: TokenClaims): string | Promise<string>;

  /**
   * The verdict on a token from a request: any string, from anybody. An error thrown here rejects the token (401), but a
   * `SessionBackendError`, which says that nothing is known about it (503), as does a promise that does not settle within `backendTimeout`.
   */
  verify(token: string): TokenVerdict | Promise<TokenVerdict>;
}
