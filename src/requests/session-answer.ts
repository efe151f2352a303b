import type { ServerResponse } from 'node:http';

import type { Clock } from '../clock/clock.js';
import type { CsrfProtection } from '../csrf/csrf-protection.js';
import type { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError, SessionSecurityError, SessionUsageError } from '../errors/session-errors.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { TokenSource } from '../options/session-options.js';
import type { AnsweredSession } from '../sessions/answered-session.js';
import { Session } from '../sessions/session.js';
import type { TokenTransports } from '../transports/token-transports.js';
import { AnswerHeaders } from './answer-headers.js';
import type { PlainHttpNotice } from './plain-http-notice.js';

/** What an answer is made with. */
export interface AnswerServices {
  readonly transports: TokenTransports;
  readonly csrf: CsrfProtection;
  readonly clock: Clock;
  readonly plainHttp: PlainHttpNotice;
}

/** What a token that goes out is for: a session that is new, that has a new id, or that the client has already. */
export type OutgoingKind = 'new' | 'regenerated' | 'renewed';

/** What one response tells the client about the token of its session: which one, and in which place. */
export class SessionAnswer {
  readonly #headers: AnswerHeaders;
  /** Where the token stood that verified, or where the one goes that takes its place; null: there is none. */
  #source: TokenSource | null = null;
  /** The one that opens the session by now: presented, or about to go out. */
  #token: string | null = null;
  #outgoing: OutgoingKind | null = null;
  #isWritten = false;

  constructor(
    private readonly services: AnswerServices,
    private readonly request: PlatformRequest,
  ) {
    this.#headers = new AnswerHeaders(services.transports);
  }

  get source(): TokenSource | null {
    return this.#source;
  }

  /** The request brought a token that verifies. */
  presented(token: string, source: TokenSource): void {
    this.#token = token;
    this.#source = source;
  }

  /** A token of the request opens nothing, or does no more. */
  refused(error: SessionError, source: TokenSource | null): void {
    this.#headers.tokenWasRefused = true;
    if (source === 'cookie' && this.#clearsCookie(error)) this.#headers.cookieIsDead = true;
  }

  /**
   * Not of a session that lives for another client (a binding). Nor, for what a page fetches in the background, of one that is gone: a
   * login may have ended it a moment ago, and the browser may have the new cookie by now. The next navigation clears one that is dead.
   */
  #clearsCookie(error: SessionError): boolean {
    if (error instanceof SessionSecurityError) return false;
    const { 'sec-fetch-site': site, 'sec-fetch-mode': mode } = rawRequestOf(this.request).headers;
    // Only browsers send both.
    const isBackground = site !== undefined && mode !== undefined && mode !== 'navigate';
    return !isBackground || !(error instanceof SessionNotFoundError);
  }

  /** This request has ended its session. */
  loggedOut(): void {
    this.#headers.tokenWasRefused = true;
    if (this.#source === 'cookie') this.#headers.cookieIsDead = true;
    this.withdraw();
  }

  /** The response with the renewed cookie was lost, or is under way: the browser would drop the one that it has before the session ends. */
  isShortLived(session: Session, issuedAt: number): boolean {
    const { record, facts } = Session.stateOf(session);
    return this.#source === 'cookie' && issuedAt + facts.ttlMs < record.expiresAt;
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
    if (this.#source === 'cookie') this.#headers.cookieIsDead = true;
    this.#headers.tokenWasRefused = false;
    this.#source = source;
    this.#outgoing = kind;
    const csrfToken = this.#csrfTokenOf(session);
    this.#send(session, token, source, csrfToken);
    return this.#answered(session, csrfToken);
  }

  /** Another token for the session that the client has. */
  renew(session: Session, token: string): void {
    if (this.#source === null) return;
    this.#outgoing = 'renewed';
    this.#send(session, token, this.#source, null);
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

  writeHeaders(response: ServerResponse): void {
    this.#isWritten = true;
    this.#headers.write(response);
  }

  #send(session: Session, token: string, source: TokenSource, csrfToken: string | null): void {
    const { csrf, clock, plainHttp, transports } = this.services;
    this.#token = token;
    const lifetimeMs = () => session.expiresAt.getTime() - clock.now();
    const csrfHeader = csrfToken === null ? null : { name: csrf.headerName, token: csrfToken };
    this.#headers.giveToken({ token, source, lifetimeMs }, csrfHeader);
    if (source === 'cookie' && transports.cookieIsSecure) plainHttp.check(this.request);
  }

  /** A token that goes in a cookie is for no script, and so for no body (ASVS 3.3.4). */
  #answered(session: Session, csrfToken: string | null): AnsweredSession {
    return { session, token: this.#source === 'cookie' ? null : this.#token, csrfToken };
  }

  #csrfTokenOf({ sessionId }: Session): string | null {
    return this.#source === 'cookie' ? this.services.csrf.issue(sessionId) : null;
  }
}
