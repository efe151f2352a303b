import type { IncomingMessage } from 'node:http';

/** What is found in one place of a request. */
export type TokenReading =
  | { readonly found: 'nothing' }
  | { readonly found: 'token'; readonly token: string }
  /** The values of several cookies of our name, without repetitions. */
  | { readonly found: 'several'; readonly tokens: readonly string[] }
  /** A value that cannot be read as one token, such as a header that was sent twice. */
  | { readonly found: 'fault'; readonly code: 'TOKEN_MALFORMED' | 'TOKEN_AMBIGUOUS' };

/** One way in which clients send tokens: in a header, as a bearer token, in a cookie. */
export interface TokenTransport {
  /** The request header that `read()` uses, for `Vary`. */
  readonly varyOn: string;

  read(request: IncomingMessage): TokenReading;
}

export const NOTHING: TokenReading = { found: 'nothing' };
