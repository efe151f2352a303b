import type { ServerResponse } from 'node:http';

import type { TokenSource } from '../options/session-options.js';
import { appendToken } from '../transports/header-values.js';
import type { TokenTransports } from '../transports/token-transports.js';

const UNAUTHORIZED = 401;
const SERVICE_UNAVAILABLE = 503;
/** Seconds after which a client may ask again. */
const RETRY_AFTER_S = 1;

/** The headers that a response owes to the session: the token for the client, and what caches and clients must know. */
export class AnswerHeaders {
  /** Whether the request carried a token that opens nothing, or does no more. */
  tokenWasRefused = false;
  /** The token that opens the session by now: the presented one, or the one that goes out. */
  token: string | null = null;
  #outgoing: { readonly token: string; readonly source: TokenSource } | null = null;

  constructor(private readonly transports: TokenTransports) {}

  giveToken(token: string, source: TokenSource): void {
    this.token = token;
    this.#outgoing = { token, source };
  }

  withdrawToken(): void {
    this.token = null;
    this.#outgoing = null;
  }

  /** Adds to what the application has set, and never weakens it. */
  write(response: ServerResponse): void {
    if (response.hasHeader('Vary')) for (const name of this.transports.varyOn) appendToken(response, 'Vary', name);
    else response.setHeader('Vary', this.transports.vary);
    if (this.#outgoing !== null) {
      this.transports.of(this.#outgoing.source).write(response, this.#outgoing.token);
      // A shared cache must not hand one client's token to the next (CVE-2024-26144).
      response.setHeader('Cache-Control', 'no-store');
    }
    switch (response.statusCode) {
      case UNAUTHORIZED:
        this.#challenge(response);
        break;
      case SERVICE_UNAVAILABLE:
        this.#retryLater(response);
        break;
    }
  }

  /** RFC 6750, section 3: with an error code only where a token was refused: a client that is told so throws it away. */
  #challenge(response: ServerResponse): void {
    if (!response.hasHeader('WWW-Authenticate')) {
      response.setHeader('WWW-Authenticate', this.tokenWasRefused ? 'Bearer error="invalid_token"' : 'Bearer');
    }
    response.setHeader('Cache-Control', 'no-store');
  }

  #retryLater(response: ServerResponse): void {
    if (!response.hasHeader('Retry-After')) response.setHeader('Retry-After', RETRY_AFTER_S);
    response.setHeader('Cache-Control', 'no-store');
  }
}
