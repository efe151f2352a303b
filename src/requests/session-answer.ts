import type { ServerResponse } from 'node:http';

import type { Clock } from '../clock.js';
import type { CsrfProtection } from '../csrf/csrf-protection.js';
import type { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError, SessionSecurityError, SessionUsageError } from '../errors/session-errors.js';
import { isBackground } from '../http/fetch-metadata.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { Vary } from '../http/vary.js';
import type { TokenSource } from '../options/session-options.js';
import type { AnsweredSession } from '../sessions/answered-session.js';
import { Session } from '../sessions/session.js';
import type { TokenVerifier } from '../tokens/token-verifier.js';
import type { TokenTransports } from '../transports/token-transports.js';
import { AnswerHeaders } from './answer-headers.js';
import type { CrossSiteNotice } from './cross-site-notice.js';
import type { PlainHttpNotice } from './plain-http-notice.js';
import type { PresentedToken } from './token-search.js';

/** What an answer is made with. */
export interface AnswerServices {
  readonly transports: TokenTransports;
  readonly verifier: TokenVerifier;
  readonly csrf: CsrfProtection;
  readonly clock: Clock;
  readonly plainHttp: PlainHttpNotice;
  readonly crossSite: CrossSiteNotice;
}

/** What a token that goes out is for: a session that is new, that has a new id, or that the client has already. */
export type OutgoingKind = 'new' | 'regenerated' | 'renewed';

/** What one response tells the client about the token of its session: which one, and in which place. */
export class SessionAnswer {
  readonly #headers: AnswerHeaders;
  /** Where the token stood that came with the request and verified; null: there was none. */
  #arrivedBy: TokenSource | null = null;
  /** Where the token of the session is, or goes; null: there is none. */
  #source: TokenSource | null = null;
  /** The one that opens the session by now: presented, or about to go out. */
  #token: string | null = null;
  #outgoing: OutgoingKind | null = null;
  #hasSeveralCookies = false;
  /** Whether this request has signed the client in or out, and so decides what cookies a browser has after it. */
  #settlesCookies = false;
  #isWritten = false;

  constructor(
    private readonly services: AnswerServices,
    private request: PlatformRequest,
  ) {
    this.#headers = new AnswerHeaders(services.transports);
  }

  get arrivedBy(): TokenSource | null {
    return this.#arrivedBy;
  }

  get source(): TokenSource | null {
    return this.#source;
  }

  /** The framework's request, in place of Node's that a middleware knew. */
  replaceRequest(request: PlatformRequest): void {
    this.request = request;
  }

  /** The request brought a token that verifies. */
  presented({ text, source, verified }: PresentedToken): void {
    this.#token = text;
    this.#arrivedBy = source;
    this.#source = source;
    if (source !== 'cookie') return;
    this.#headers.clearableCookies =
      verified.isOwnCookie === true && !this.#hasSeveralCookies ? 'present form' : 'every form';
  }

  /** The request brought more than one cookie of our name. */
  presentedSeveral(): void {
    this.#hasSeveralCookies = true;
    this.#headers.clearableCookies = 'every form';
  }

  /** The cookie of the request opens nothing, or does no more. */
  cookieRefused(error: SessionError): void {
    if (this.#headers.clearableCookies === 'none') this.#headers.clearableCookies = 'present form';
    if (this.#clearsCookie(error)) this.#headers.cookieIsDead = true;
  }

  /** The request has no session, though it brought a token. */
  sessionRefused(): void {
    this.#headers.tokenWasRefused = true;
  }

  /** The session of this request has ended while it ran. */
  sessionEnded(error: SessionError): void {
    this.#headers.tokenWasRefused = true;
    if (this.#source === 'cookie' && this.#clearsCookie(error)) this.#headers.cookieIsDead = true;
  }

  /**
   * Not of a session that lives for another client (a binding). Nor, for what a page fetches in the background, of one that is gone: a
   * login may have ended it a moment ago, and the browser may have the new cookie by now; nor several of them, one of which may be that.
   * The next navigation clears one that is dead.
   */
  #clearsCookie(error: SessionError): boolean {
    if (error instanceof SessionSecurityError) return false;
    if (!(error instanceof SessionNotFoundError) && !this.#hasSeveralCookies) return true;
    return !isBackground(rawRequestOf(this.request));
  }

  /** This request has ended its session, or each of those that its cookies open. */
  loggedOut(): void {
    this.#headers.tokenWasRefused = true;
    if (this.#source === 'cookie' || this.#hasSeveralCookies) this.#endCookies();
    this.withdraw();
  }

  #endCookies(): void {
    this.#headers.cookieIsDead = true;
    this.#settlesCookies = true;
  }

  /** The response with the renewed cookie was lost, or is under way: the browser would drop the one that it has before the session ends. */
  isShortLived(session: Session, issuedAt: number): boolean {
    const { record, facts } = Session.stateOf(session);
    return this.#source === 'cookie' && issuedAt + facts.ttlMs < record.expiresAt;
  }

  /** Whether the browser is to be left with one cookie of the several that it has. */
  get tidiesCookies(): boolean {
    return this.#hasSeveralCookies && !isBackground(rawRequestOf(this.request));
  }

  /** @throws SessionUsageError when the options do not name `transport` */
  assertOffered(transport: TokenSource | undefined): void {
    if (transport === undefined || this.services.transports.has(transport)) return;
    throw new SessionUsageError(`The session cannot be answered by '${transport}': add it to tokenSourcePriority.`);
  }

  /**
   * Where the token of a new session goes.
   *
   * @throws SessionUsageError when it is too late for a cookie
   */
  sourceFor(transport?: TokenSource): TokenSource {
    const source = transport ?? this.#source ?? this.services.transports.preferred;
    if (source !== 'cookie' || !this.#isWritten) return source;
    throw new SessionUsageError(
      'The response has begun, so no cookie can go out with it: do this before, or use another transport.',
    );
  }

  /** The response holds, or leaves out, what is shown once, so that no cache may keep it. */
  isShownOnce(): void {
    this.#headers.isShownOnce = true;
  }

  /** The response depends on which page sent the request. */
  dependsOnOrigin(): void {
    this.#headers.dependsOnOrigin = true;
  }

  /** Whether a cookie is to go out with another token for the session that the browser has. */
  get renewsCookie(): boolean {
    return this.#outgoing === 'renewed' && this.#source === 'cookie';
  }

  /** A session that is new to the client, or has a new id, in the place of the one that it had. */
  give(session: Session, token: string, source: TokenSource, kind: 'new' | 'regenerated'): AnsweredSession {
    if (this.#source === 'cookie' || this.#hasSeveralCookies) this.#endCookies();
    if (source === 'cookie') this.#settleCookies();
    this.#headers.tokenWasRefused = false;
    this.#source = source;
    this.#outgoing = kind;
    const csrfToken = this.#csrfTokenOf(session);
    this.#send(session, token, source, csrfToken, true);
    return this.#answered(session, csrfToken);
  }

  /** A header that came first has kept the cookies from being read. */
  #settleCookies(): void {
    this.#settlesCookies = true;
    if (this.#arrivedBy === null || this.#arrivedBy === 'cookie') return;
    const { found } = this.services.transports.cookie.read(rawRequestOf(this.request));
    if (found !== 'nothing') this.#headers.clearableCookies = 'every form';
  }

  /** Another token for the session that the client has. */
  renew(session: Session, token: string): void {
    if (this.#source === null) return;
    this.#outgoing = 'renewed';
    this.#send(session, token, this.#source, null, this.tidiesCookies);
  }

  /** Takes back a token that has not gone out yet. */
  withdraw(): void {
    this.#token = null;
    this.#outgoing = null;
    this.#headers.withdrawToken();
  }

  /**
   * Takes back a token that the client can do without: that of a new session, as it is told that it has none, and a renewed one, as it has
   * the older. A regenerated session it could not open any more.
   *
   * @returns what was on its way; null: nothing, or it has gone out
   */
  takeBack(): OutgoingKind | null {
    if (this.#isWritten) return null;
    const outgoing = this.#outgoing;
    if (outgoing !== 'regenerated') this.withdraw();
    return outgoing;
  }

  /** What is to be said of the session that the client has. */
  of(session: Session): AnsweredSession {
    return this.#answered(session, this.#csrfTokenOf(session));
  }

  varyAlone(status: number): Vary | null {
    this.#settle();
    return this.#headers.varyAlone(status);
  }

  writeHeaders(response: ServerResponse): void {
    this.#settle();
    this.#headers.write(response);
  }

  #settle(): void {
    this.#isWritten = true;
    const request = rawRequestOf(this.request);
    const formerNames = this.services.transports.cookie.formerNamesIn(request);
    if (formerNames.length > 0 && (this.#settlesCookies || !isBackground(request))) {
      this.#headers.formerNames = formerNames;
    }
  }

  #send(
    session: Session,
    token: string,
    source: TokenSource,
    csrfToken: string | null,
    replacesCookies: boolean,
  ): void {
    const { csrf, clock } = this.services;
    this.#token = token;
    const lifetimeMs = () => session.expiresAt.getTime() - clock.now();
    const csrfHeader = csrfToken === null ? null : { name: csrf.headerName, token: csrfToken };
    this.#headers.giveToken({ token, source, lifetimeMs, replacesCookies }, csrfHeader);
    if (source === 'cookie') this.#cookieGoesOut(token);
  }

  #cookieGoesOut(token: string): void {
    const { transports, verifier, plainHttp, crossSite } = this.services;
    verifier.noteOwnCookie(token);
    if (transports.cookieIsSecure) plainHttp.check(this.request);
    // One that has come back is kept.
    if (!transports.cookieWorksAcrossSites && this.#arrivedBy !== 'cookie') crossSite.check(this.request);
  }

  /** A token that goes in a cookie is for no script, and so for no body (ASVS 3.3.4). */
  #answered(session: Session, csrfToken: string | null): AnsweredSession {
    return { session, token: this.#source === 'cookie' ? null : this.#token, csrfToken };
  }

  #csrfTokenOf({ sessionId }: Session): string | null {
    return this.#source === 'cookie' ? this.services.csrf.issue(sessionId) : null;
  }
}
