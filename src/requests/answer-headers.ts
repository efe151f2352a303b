import type { ServerResponse } from 'node:http';

import type { Vary } from '../http/vary.js';
import type { TokenSource } from '../options/session-options.js';
import { appendToken } from '../transports/header-values.js';
import type { TokenTransports } from '../transports/token-transports.js';

const UNAUTHORIZED = 401;
const SERVICE_UNAVAILABLE = 503;
/** Seconds after which a client may ask again. */
export const RETRY_AFTER_S = 1;
const OTHER_CACHE_HEADERS = /^(expires|surrogate-control|(.+-)?cdn-cache-control)$/;

/** A token on its way to the client. */
export interface OutgoingToken {
  readonly token: string;
  readonly source: TokenSource;
  /** How long the session lasts from the moment at which the headers are written. */
  readonly lifetimeMs: () => number;
  /** Whether a cookie with it is to be the only one of ours that the browser has. */
  readonly replacesCookies: boolean;
}

/** A header by which pages learn of a new CSRF token. */
export interface CsrfHeader {
  readonly name: string;
  readonly token: string;
}

/**
 * The cookies of our name that a response may clear. Only what the request carried, for another response may have set one beside it; and of
 * that every form, unless it is known to be in the present one.
 */
export type ClearableCookies = 'none' | 'present form' | 'every form';

/** The headers that a response owes to the session: the token for the client, and what caches and clients must know. */
export class AnswerHeaders {
  /** Whether the request has no session though it carried a token. */
  tokenWasRefused = false;
  /** Whether the client keeps a cookie that opens nothing, or does no more. */
  cookieIsDead = false;
  clearableCookies: ClearableCookies = 'none';
  /** Former names of the cookie to be cleared. */
  formerNames: readonly string[] = [];
  /** Whether the response depends on the origin of the request, too. */
  dependsOnOrigin = false;
  /** Whether a cache must not keep the response: it holds what is shown once. */
  isShownOnce = false;
  #outgoing: OutgoingToken | null = null;
  #csrf: CsrfHeader | null = null;

  constructor(private readonly transports: TokenTransports) {}

  /** @param csrf for a session that is new to the client and comes in a cookie */
  giveToken(outgoing: OutgoingToken, csrf: CsrfHeader | null = null): void {
    this.#outgoing = outgoing;
    this.#csrf = csrf;
  }

  withdrawToken(): void {
    this.#outgoing = null;
    this.#csrf = null;
  }

  /** Adds to what the application has set, and never weakens it. */
  write(response: ServerResponse): void {
    this.#vary.addTo(response);
    this.#answerToken(response);
    switch (response.statusCode) {
      case UNAUTHORIZED:
        this.#challenge(response);
        break;
      case SERVICE_UNAVAILABLE:
        this.#retryLater(response);
        break;
    }
  }

  /** `Vary`, if the response with `status` owes nothing else to the session. */
  varyAlone(status: number): Vary | null {
    if (status === UNAUTHORIZED || status === SERVICE_UNAVAILABLE) return null;
    if (this.#outgoing !== null || this.cookieIsDead || this.isShownOnce || this.formerNames.length > 0) return null;
    return this.#vary;
  }

  get #vary(): Vary {
    const { vary, varyWithOrigin } = this.transports;
    return this.dependsOnOrigin ? varyWithOrigin : vary;
  }

  #answerToken(response: ServerResponse): void {
    const outgoing = this.#outgoing;
    const clears = this.#clearCookies(response, outgoing);
    if (outgoing !== null) this.#sendToken(response, outgoing);
    if (this.#csrf !== null) {
      response.setHeader(this.#csrf.name, this.#csrf.token);
      appendToken(response, 'Access-Control-Expose-Headers', this.#csrf.name);
    }
    // A shared cache must not hand one client's token to the next (CVE-2024-26144), nor sign the next one out.
    if (outgoing !== null || clears || this.isShownOnce) forbidStoring(response);
  }

  /** Whether there were any. A cookie that goes out replaces the one in the present form. */
  #clearCookies(response: ServerResponse, outgoing: OutgoingToken | null): boolean {
    const { cookie } = this.transports;
    const clears = this.cookieIsDead && this.clearableCookies !== 'none' && outgoing?.source !== 'cookie';
    if (clears) cookie.clear(response, this.clearableCookies === 'every form');
    if (this.formerNames.length > 0) cookie.clearFormerNames(response, this.formerNames);
    return clears || this.formerNames.length > 0;
  }

  #sendToken(response: ServerResponse, { token, source, lifetimeMs, replacesCookies }: OutgoingToken): void {
    if (source === 'cookie') {
      const otherForms = replacesCookies && this.clearableCookies === 'every form';
      this.transports.cookie.write(response, token, lifetimeMs(), otherForms);
      return;
    }
    this.transports.of(source).write(response, token, lifetimeMs());
  }

  /** RFC 6750, section 3: with an error code only where a token was refused: a client that is told so throws it away. */
  #challenge(response: ServerResponse): void {
    if (!response.hasHeader('WWW-Authenticate')) {
      response.setHeader('WWW-Authenticate', this.tokenWasRefused ? 'Bearer error="invalid_token"' : 'Bearer');
    }
    forbidStoring(response);
  }

  #retryLater(response: ServerResponse): void {
    if (!response.hasHeader('Retry-After')) response.setHeader('Retry-After', RETRY_AFTER_S);
    forbidStoring(response);
  }
}

/** What would speak louder to some caches (RFC 9111, section 5.3; RFC 9213) goes. */
function forbidStoring(response: ServerResponse): void {
  response.setHeader('Cache-Control', 'no-store');
  for (const name of response.getHeaderNames()) if (OTHER_CACHE_HEADERS.test(name)) response.removeHeader(name);
}
