import { Inject, Injectable, Logger } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { CsrfProtection } from '../csrf/csrf-protection.js';
import { isBackground } from '../http/fetch-metadata.js';
import { SERVICE_UNAVAILABLE, UNAUTHORIZED } from '../http/http-status.js';
import type { PlatformRequest } from '../http/http-messages.js';
import type { Vary } from '../http/vary.js';
import { SessionLifetimes } from '../sessions/session-lifetimes.js';
import { TokenVerifier } from '../tokens/token-verifier.js';
import { TokenTransports } from '../transports/token-transports.js';
import { forbidStoring } from '../http/cache-headers.js';
import { CookieNotices } from './cookie-notices.js';
import { SessionResponse, type SessionResponseServices } from './session-response.js';
import type { FoundToken, TokenSearch } from './token-finder.js';

/** Seconds after which a client may try again. */
export const RETRY_AFTER_S = 1;

/** Writes the headers of the session into each response whose request has asked for it. */
@Injectable()
export class SessionResponseWriter implements SessionResponseServices {
  readonly #notices = new CookieNotices(new Logger('SessionModule'));

  constructor(
    readonly transports: TokenTransports,
    readonly csrf: CsrfProtection,
    @Inject(SESSION_CLOCK) readonly clock: Clock,
    readonly lifetimes: SessionLifetimes,
    private readonly verifier: TokenVerifier,
  ) {}

  newResponse(owner: { readonly request: PlatformRequest }, search: TokenSearch): SessionResponse {
    return new SessionResponse(this, owner, search);
  }

  cookieGoesOut(token: string, request: PlatformRequest, found: FoundToken | null): void {
    this.verifier.noteOwnCookie(token);
    if (this.transports.cookieIsSecure) this.#notices.checkTls(request);
    // A cookie that has come back is one that the browser keeps.
    if (!this.transports.cookieWorksAcrossSites && found?.source !== 'cookie') this.#notices.checkSite(request);
  }

  /**
   * Adds the headers of the session to those of the application.
   *
   * @param sessionResponse null: the response says nothing about the session, which was only read
   * @param dependsOnOrigin whether another origin would have got another response
   */
  write(
    request: IncomingMessage,
    response: ServerResponse,
    sessionResponse: SessionResponse | null,
    dependsOnOrigin: boolean,
  ): void {
    this.#vary(dependsOnOrigin).addTo(response);
    // Before the cookie of the session, which comes last; see `CookieTransport.write()`.
    this.#clearFormerNames(request, response, sessionResponse);
    sessionResponse?.write(response);
    switch (response.statusCode) {
      case UNAUTHORIZED:
        challenge(response, sessionResponse);
        break;
      case SERVICE_UNAVAILABLE:
        if (!response.hasHeader('Retry-After')) response.setHeader('Retry-After', RETRY_AFTER_S);
        forbidStoring(response);
        break;
    }
  }

  /** `Vary`, if the response to a request whose session was only read says nothing else about it. */
  varyAlone(request: IncomingMessage, status: number, dependsOnOrigin: boolean): Vary | null {
    if (status === UNAUTHORIZED || status === SERVICE_UNAVAILABLE) return null;
    if (this.transports.cookie.formerNamesIn(request).length > 0) return null;
    return this.#vary(dependsOnOrigin);
  }

  #vary(dependsOnOrigin: boolean): Vary {
    return dependsOnOrigin ? this.transports.varyWithOrigin : this.transports.vary;
  }

  #clearFormerNames(request: IncomingMessage, response: ServerResponse, sessionResponse: SessionResponse | null): void {
    const { cookie } = this.transports;
    const names = cookie.formerNamesIn(request);
    if (names.length === 0 || (sessionResponse?.settlesCookies !== true && isBackground(request))) return;
    cookie.clearFormerNames(response, names);
    forbidStoring(response);
  }
}

function challenge(response: ServerResponse, sessionResponse: SessionResponse | null): void {
  if (!response.hasHeader('WWW-Authenticate')) response.setHeader('WWW-Authenticate', challengeOf(sessionResponse));
  forbidStoring(response);
}

function challengeOf(sessionResponse: SessionResponse | null): string {
  // RFC 6750, section 3: this code only if a token was refused, because a client then throws it away.
  if (sessionResponse?.tokenWasRefused === true) return 'Bearer error="invalid_token"';
  const within = sessionResponse?.requiredProofWithin ?? null;
  // RFC 9470, section 3.
  return within === null ? 'Bearer' : `Bearer error="insufficient_user_authentication", max_age="${within}"`;
}
