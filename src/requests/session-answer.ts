import type { ServerResponse } from 'node:http';

import type { Clock } from '../clock/clock.js';
import type { CsrfProtection } from '../csrf/csrf-protection.js';
import type { PlatformRequest } from '../http/http-messages.js';
import type { TokenSource } from '../options/session-options.js';
import type { AnsweredSession } from '../sessions/answered-session.js';
import type { Session } from '../sessions/session.js';
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

/** What one response tells the client about the token of its session: which one, and in which place. */
export class SessionAnswer {
  readonly #headers: AnswerHeaders;
  /** Where the token stood that verified, or where the one goes that takes its place; null: there is none. */
  #source: TokenSource | null = null;
  /** The one that opens the session by now: presented, or about to go out. */
  #token: string | null = null;

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
  refused(source: TokenSource | null, { clearCookie }: { readonly clearCookie: boolean }): void {
    this.#headers.tokenWasRefused = true;
    if (source === 'cookie' && clearCookie) this.#headers.cookieIsDead = true;
  }

  /** This request has ended its session. */
  loggedOut(): void {
    this.refused(this.#source, { clearCookie: true });
    this.withdraw();
  }

  /** The response depends on which page sent the request. */
  dependsOnOrigin(): void {
    this.#headers.dependsOnOrigin = true;
  }

  /** A session that is new to the client, in the place of the one that it had. */
  give(session: Session, token: string, source: TokenSource): AnsweredSession {
    if (this.#source === 'cookie') this.#headers.cookieIsDead = true;
    this.#headers.tokenWasRefused = false;
    this.#source = source;
    const csrfToken = this.#csrfTokenOf(session);
    this.#send(session, token, source, csrfToken);
    return this.#answered(session, csrfToken);
  }

  /** Another token for the session that the client has. */
  renew(session: Session, token: string): void {
    if (this.#source !== null) this.#send(session, token, this.#source, null);
  }

  /** Takes back a token that has not gone out yet. */
  withdraw(): void {
    this.#token = null;
    this.#headers.withdrawToken();
  }

  /** What is to be said of the session that the client has. */
  of(session: Session): AnsweredSession {
    return this.#answered(session, this.#csrfTokenOf(session));
  }

  writeHeaders(response: ServerResponse): void {
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
