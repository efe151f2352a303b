import type { IncomingMessage, ServerResponse } from 'node:http';

/** What a place in the request holds. */
export type TokenReading =
  | { readonly found: 'nothing' }
  | { readonly found: 'token'; readonly token: string }
  /** More than one cookie of our name: their values, each once. */
  | { readonly found: 'several'; readonly tokens: readonly string[] }
  /** Something that cannot be read as one token, such as the header sent twice. */
  | { readonly found: 'fault'; readonly code: 'TOKEN_MALFORMED' | 'TOKEN_AMBIGUOUS' };

/** One way that tokens travel. */
export interface TokenTransport {
  /** The request header that it reads, for `Vary`. */
  readonly varyOn: string;

  read(request: IncomingMessage): TokenReading;

  /**
   * Gives the client a new or renewed token; called before the first byte of the response.
   *
   * @param lifetimeMs how long the session lasts from now
   */
  write(response: ServerResponse, token: string, lifetimeMs: number): void;
}

export const NOTHING: TokenReading = { found: 'nothing' };
