import type { ServerResponse } from 'node:http';

import type { Clock } from '../clock.js';
import type { CsrfProtection } from '../csrf/csrf-protection.js';
import type { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError, SessionSecurityError } from '../errors/session-errors.js';
import { isBackground } from '../http/fetch-metadata.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { TokenSource } from '../options/session-options.js';
import type { SessionLifetimes } from '../sessions/session-lifetimes.js';
import type { LoginResult } from '../sessions/session-results.js';
import { Session } from '../sessions/session.js';
import { exposeHeader } from '../http/exposed-headers.js';
import { forbidStoring } from '../http/cache-headers.js';
import type { TokenTransports } from '../transports/token-transports.js';
import type { FoundToken, TokenSearch } from './token-finder.js';

/** What a {@link SessionResponse} works with. */
export interface SessionResponseServices {
  readonly transports: TokenTransports;
  readonly csrf: CsrfProtection;
  readonly clock: Clock;
  readonly lifetimes: SessionLifetimes;
  /** Called for a token that goes out in a cookie. */
  cookieGoesOut(token: string, request: PlatformRequest, found: FoundToken | null): void;
}

/**
 * What a token that goes out is for: a session that is new to the client, that has a new id (`rotated`: without a call of the handler), or that
 * the client has already.
 */
type OutgoingKind = 'new' | 'regenerated' | 'rotated' | 'renewed';

interface OutgoingToken {
  readonly kind: OutgoingKind;
  readonly session: Session;
  readonly token: string;
  readonly transport: TokenSource;
  /** Whether it goes in a cookie that outlives the browser. */
  readonly persists: boolean;
  /** For the pages of a session that is new to the client and comes in a cookie; null: none is sent. */
  readonly csrfToken: string | null;
}

/**
 * What one response says about the session: the token for the client, which cookies to clear, and what caches must know. A request whose
 * session is only read has none of these, because its response says nothing.
 */
export class SessionResponse {
  #outgoing: OutgoingToken | null = null;
  /** By which the token of the session has come, or goes; null: there is none. */
  #transport: TokenSource | null;
  /** Whether the client's cookie is invalid, or is after this response. */
  #cookieIsDead = false;
  /** Whether this request has logged the client in or out, and so decides which cookies the browser has afterwards. */
  settlesCookies = false;
  /** Whether a header was used, and the cookies beside it were not looked at. */
  #clearsUnreadCookies = false;
  #tokenWasRefused = false;
  #requiredProofWithin: number | null = null;
  #forbidsCaching = false;

  constructor(
    private readonly services: SessionResponseServices,
    private readonly owner: { readonly request: PlatformRequest },
    private readonly search: TokenSearch,
  ) {
    this.#transport = search.token?.source ?? null;
  }

  get transport(): TokenSource | null {
    return this.#transport;
  }

  /** Whether the request has no session though it carried a token. */
  get tokenWasRefused(): boolean {
    return this.#tokenWasRefused;
  }

  /** The most seconds since the proof of identity that the route allows. `null`: the proof suffices. */
  get requiredProofWithin(): number | null {
    return this.#requiredProofWithin;
  }

  /** The request has no session, though it carried a token. */
  noteRefusedToken(): void {
    this.#tokenWasRefused = true;
  }

  /** The route requires a proof of identity that is not older than so many seconds. */
  requireProof(within: number): void {
    this.#requiredProofWithin = within;
  }

  /** Called when the response shows, or leaves out, what is shown once. */
  forbidCaching(): void {
    this.#forbidsCaching = true;
  }

  /** Called for a token that is refused. Its cookie is cleared, if it may be. @param source where the token was found */
  clearCookieFor(refusal: SessionError, source: TokenSource | null = this.#transport): void {
    if (source === 'cookie' && this.#mayClearCookieFor(refusal)) this.#cookieIsDead = true;
  }

  /**
   * Not the cookie of a session that lives for another client (a binding). Nor, for a request that a page sends in the background, that of a
   * session that is gone: a login may have ended it a moment ago, and the browser may have the new cookie by now. The same holds for
   * several cookies. The next navigation clears a dead one.
   */
  #mayClearCookieFor(refusal: SessionError): boolean {
    if (refusal instanceof SessionSecurityError) return false;
    if (!(refusal instanceof SessionNotFoundError) && !this.search.hasSeveralCookies) return true;
    return !isBackground(rawRequestOf(this.owner.request));
  }

  /** This request has ended its session, or each of those that its cookies name. */
  ended(): void {
    this.#tokenWasRefused = true;
    this.#endCookies();
    this.withdrawToken();
  }

  #endCookies(): void {
    if (this.#transport !== 'cookie' && !this.search.hasSeveralCookies) return;
    this.#cookieIsDead = true;
    this.settlesCookies = true;
  }

  /** Gives the client the token of a session that is new to it, or has a new id. */
  give(session: Session, token: string, transport: TokenSource, kind: 'new' | 'regenerated'): LoginResult {
    this.#endCookies();
    if (transport === 'cookie') {
      this.settlesCookies = true;
      this.#clearsUnreadCookies = this.#hasUnreadCookies();
    }
    this.#tokenWasRefused = false;
    this.#send({ kind, session, token, transport, csrfToken: this.#csrfTokenFor(session, transport) });
    return this.resultFor(session);
  }

  #hasUnreadCookies(): boolean {
    const { token } = this.search;
    if (token === null || token.source === 'cookie') return false;
    return this.services.transports.cookie.read(rawRequestOf(this.owner.request)).found !== 'nothing';
  }

  /** Gives the client another token for the session that it has. */
  renew(session: Session, token: string): void {
    const transport = this.#transport;
    if (transport !== null) this.#send({ kind: 'renewed', session, token, transport, csrfToken: null });
  }

  /** Gives the client the token of the newer id that its session has. */
  rotate(session: Session, token: string): void {
    const transport = this.#transport;
    if (transport === null) return;
    this.#send({ kind: 'rotated', session, token, transport, csrfToken: this.#csrfTokenFor(session, transport) });
  }

  /** Whether a cookie goes out with another token for the session that the browser has, under the same id. */
  get renewsCookie(): boolean {
    return this.#outgoing?.kind === 'renewed' && this.#outgoing.transport === 'cookie';
  }

  /** Whether the browser should keep only one of the several cookies that it has. */
  get tidiesCookies(): boolean {
    return this.search.hasSeveralCookies && !isBackground(rawRequestOf(this.owner.request));
  }

  /** What the token on its way is for; null: there is none. */
  get outgoingKind(): OutgoingKind | null {
    return this.#outgoing?.kind ?? null;
  }

  /** Takes back a token that has not gone out yet. */
  withdrawToken(): void {
    this.#outgoing = null;
  }

  /**
   * What `login()`, `start()`, `regenerateSessionId()` and `reauthenticate()` return for the client's session.
   *
   * A token that goes in a cookie is not for scripts, and so not for a body (ASVS 3.3.4).
   */
  resultFor(session: Session): LoginResult {
    const inCookie = this.#transport === 'cookie';
    const token = this.#outgoing?.token ?? this.search.token?.text ?? null;
    const csrfToken = this.#outgoing?.csrfToken ?? this.#csrfTokenFor(session, this.#transport);
    return { session, token: inCookie ? null : token, csrfToken };
  }

  #csrfTokenFor({ sessionId }: Session, transport: TokenSource | null): string | null {
    return transport === 'cookie' ? this.services.csrf.issue(sessionId) : null;
  }

  #send(token: Omit<OutgoingToken, 'persists'>): void {
    const inCookie = token.transport === 'cookie';
    // Read now, because damage that shows only here must not reach the moment at which the headers are written.
    const persists = inCookie && this.services.lifetimes.hasPersistentCookie(token.session);
    this.#outgoing = { ...token, persists };
    this.#transport = token.transport;
    if (inCookie) this.services.cookieGoesOut(token.token, this.owner.request, this.search.token);
  }

  /** Adds to the headers of the application, and never weakens them. */
  write(response: ServerResponse): void {
    const { transports, csrf, clock } = this.services;
    const outgoing = this.#tokenToSend;
    const clears = this.#clearCookies(response, outgoing);
    if (outgoing !== null) {
      if (outgoing.transport === 'cookie') {
        const lifetimeMs = outgoing.session.expiresAt.getTime() - clock.now();
        const clearsOthers = this.#replacesCookies(outgoing) && this.#clearable === 'every form';
        transports.cookie.write(response, outgoing.token, outgoing.persists ? lifetimeMs : null, clearsOthers);
      } else {
        transports.header.write(response, outgoing.token);
      }
      if (outgoing.csrfToken !== null) {
        response.setHeader(csrf.headerName, outgoing.csrfToken);
        exposeHeader(response, csrf.headerName);
      }
    }
    // A shared cache must not give the token of one client to the next (CVE-2024-26144), nor log the next one out.
    if (outgoing !== null || clears || this.#forbidsCaching) forbidStoring(response);
  }

  /** Not one for an id that the session no longer has: another response has brought the client the token of the newer one. */
  get #tokenToSend(): OutgoingToken | null {
    const outgoing = this.#outgoing;
    return outgoing?.kind === 'renewed' && Session.stateOf(outgoing.session).clientHasOldId ? null : outgoing;
  }

  #replacesCookies({ kind }: OutgoingToken): boolean {
    return kind !== 'renewed' || this.tidiesCookies;
  }

  /** A cookie that goes out replaces the one with the same attributes, so that one is not cleared. */
  #clearCookies(response: ServerResponse, outgoing: OutgoingToken | null): boolean {
    const clearable = this.#clearable;
    if (!this.#cookieIsDead || clearable === 'none' || outgoing?.transport === 'cookie') return false;
    this.services.transports.cookie.clear(response, clearable === 'every form');
    return true;
  }

  /**
   * The cookies of our name that may be cleared: only those that the request carried, because another response may have set one meanwhile.
   * Of these every form, unless it is known that this process has set them in the present form.
   */
  get #clearable(): 'none' | 'present form' | 'every form' {
    const { token, hasSeveralCookies, refused } = this.search;
    if (hasSeveralCookies || this.#clearsUnreadCookies) return 'every form';
    if (token?.source === 'cookie') return token.verified.isOwnCookie === true ? 'present form' : 'every form';
    return refused.some(({ source }) => source === 'cookie') ? 'present form' : 'none';
  }
}
