import type { ExecutionContext } from '@nestjs/common';
import type { ServerResponse } from 'node:http';

import type { ClientIdentity } from '../binding/session-binding.js';
import { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError, SessionTokenError, SessionUsageError } from '../errors/session-errors.js';
import type { TokenSource } from '../options/session-options.js';
import type { FlashMessage } from '../sessions/flash-message.js';
import type { AnsweredSession } from '../sessions/answered-session.js';
import type { IssuedSession } from '../sessions/session-issuer.js';
import { assertJsonValue } from '../records/json-value.js';
import { isRefusal } from '../sessions/session-loader.js';
import type { NewSessionUser, SessionData } from '../sessions/session-user.js';
import { Session } from '../sessions/session.js';
import { toSessionUser } from '../sessions/user-input.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import type { PlatformRequest, PlatformResponse } from '../http/http-messages.js';
import { rawRequestOf, rawResponseOf } from '../http/http-messages.js';
import type { LoginOptions, StartOptions } from './request-options.js';
import type { RequestServices } from './request-services.js';
import { ResponseHold, type HeldFor, type ReplacementResponse } from './response-hold.js';
import { SessionAnswer } from './session-answer.js';
import { findToken, type PresentedToken } from './token-search.js';

const FIRST_ERROR_STATUS = 400;

/**
 * All that one request has to do with sessions: the token in it, the one load, the renewal, the changes, the commit and the headers of the
 * answer. Guard, interceptor, decorators, `login` and `logout` are a few lines each on top of it.
 */
export class RequestSession implements HeldFor {
  readonly #services: RequestServices;
  readonly #request: PlatformRequest;
  readonly #context: ExecutionContext | null;
  readonly #budget: StoreBudget;
  readonly #answer: SessionAnswer;
  #loading: Promise<void> | undefined;
  #starting: Promise<Session> | undefined;
  #session: Session | null = null;
  /** Why there is no session: no token, or a refusal. */
  #refusal: SessionError | null = null;
  /** The outcome of a failed write may be unknown, so it is not tried again by the error response that follows; null: none has failed. */
  #commitError: { readonly error: unknown } | null = null;

  /** @param context tells the route, for the marks on it; null: it has none */
  constructor(
    services: RequestServices,
    request: PlatformRequest,
    response: PlatformResponse,
    context: ExecutionContext | null,
  ) {
    this.#services = services;
    this.#request = request;
    this.#context = context;
    this.#budget = services.store.newBudget();
    this.#answer = new SessionAnswer(services, request);
    new ResponseHold(rawResponseOf(response), this);
  }

  /**
   * The session of this request; null: there is none.
   *
   * @throws SessionBackendError when that is not known, SessionCsrfError when another site may have sent the request
   */
  async optional(): Promise<Session | null> {
    await this.#load();
    return this.#session;
  }

  /** The session of this request. @throws the exact reason why there is none, or SessionBackendError */
  async require(): Promise<Session> {
    await this.#load();
    if (this.#session !== null) return this.#session;
    throw this.#refusal ?? missingToken();
  }

  /** Makes an anonymous session, or gives the one that is there, with `data` in it. */
  async start({ data = {}, transport }: StartOptions): Promise<AnsweredSession> {
    this.#assertTransport(transport);
    // Before it is merged: a key named __proto__, as a body may have, would become the prototype.
    assertJsonValue(data, 'data');
    const session = (await this.optional()) ?? (await (this.#starting ??= this.#startNew(data, transport)));
    Object.assign(session.data, data);
    return this.#answer.of(session);
  }

  async #startNew(data: Partial<SessionData>, transport: TokenSource | undefined): Promise<Session> {
    const { issuer, events } = this.#services;
    const source = this.#sourceOfAnswer(transport);
    const content = issuer.newContent(issuer.newFacts(this.#client(), {}), null, data);
    const issued = await issuer.create(await issuer.draft(issuer.newAnonymousTag(), content), this.#budget);
    events.emit({ type: 'created', sessionId: issued.session.sessionId, userId: null });
    this.#adopt(issued, source);
    return issued.session;
  }

  /** Exchanges whatever session there is for one of `user`. */
  async login(user: NewSessionUser, { transport, ...lifetime }: LoginOptions): Promise<AnsweredSession> {
    this.#assertTransport(transport);
    const previous = await this.optional();
    const source = this.#sourceOfAnswer(transport);
    const login = { user: toSessionUser(user), client: this.#client(), lifetime };
    const issued = await this.#services.logins.login(previous, login, this.#budget);
    return this.#adopt(issued, source);
  }

  /** Ends the session of this request, and takes back a token that was prepared for the answer. False: there was none. */
  async logout(): Promise<boolean> {
    const session = await this.optional();
    if (session === null) return false;
    const outcome = await this.#services.store.delete(session.sessionId, this.#budget);
    this.#session = null;
    this.#starting = undefined;
    this.#refusal = new SessionNotFoundError('The session was logged out by this request.');
    this.#answer.loggedOut();
    if (outcome === 'missing') return false;
    const { sessionId, user } = session;
    this.#services.events.emit({ type: 'ended', reason: 'logout', sessionId, userId: user?.userId ?? null });
    return true;
  }

  /** A new id for the session of this request; the client is given its token. */
  async regenerate(session: Session): Promise<AnsweredSession> {
    const issued = await this.#services.logins.regenerate(session, this.#budget);
    return this.#adopt(issued, this.#answer.source ?? this.#services.transports.preferred);
  }

  /** The messages of the session, each handed out once; none without a session. */
  async takeFlash(): Promise<FlashMessage[]> {
    const session = await this.optional();
    return session === null ? [] : this.#services.writer.takeFlash(session, this.#budget);
  }

  /** A CSRF token for a page of this session; null: there is no session, or `enableCsrf` is off. */
  async csrfToken(): Promise<string | null> {
    const session = await this.optional();
    return session && this.#services.csrf.issue(session.sessionId);
  }

  /** Stores what changed, if anything did. @throws SessionError when that fails; the session is as it was */
  async commit(): Promise<void> {
    const session = this.#session;
    if (session === null || this.#commitError !== null) return;
    try {
      await this.#services.writer.commit(session, this.#budget);
    } catch (error) {
      this.#commitError = { error };
      if (isRefusal(error)) this.#ended(error, session);
      throw error;
    }
  }

  hasWork(status: number): boolean {
    // Whatever the application makes of a failed commit, it must not look like a success.
    if (this.#commitError !== null) return status < FIRST_ERROR_STATUS;
    return this.#session !== null && Session.stateOf(this.#session).hasChanges();
  }

  async work(): Promise<void> {
    if (this.#commitError !== null) throw this.#commitError.error;
    await this.commit();
  }

  writeHeaders(response: ServerResponse): void {
    this.#answer.writeHeaders(response);
  }

  replacement(error: unknown): ReplacementResponse {
    this.#answer.withdraw();
    const failure = error instanceof SessionError ? error : null;
    const status = failure?.getStatus() ?? 500;
    this.#services.logger.error(
      `The response was replaced by ${status}, because the session could not be stored: ${messageOf(error)}`,
    );
    return {
      status,
      body: (failure?.getResponse() as object | undefined) ?? { statusCode: 500, message: 'Internal Server Error' },
    };
  }

  #load(): Promise<void> {
    return (this.#loading ??= this.#loadOnce());
  }

  async #loadOnce(): Promise<void> {
    const presented = await this.#findToken();
    if (presented === null) return;
    const { source, text, verified } = presented;
    this.#answer.presented(text, source);
    if (source === 'cookie') this.#assertOwnPage(verified.sessionId);
    try {
      this.#session = await this.#services.loader.load(verified, this.#client(), this.#budget);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(error);
      return;
    }
    Session.stateOf(this.#session).request = this;
    const renewed = await this.#touch(this.#session);
    if (renewed || verified.outdated) await this.#renewToken(this.#session, verified);
  }

  #findToken(): Promise<PresentedToken | null> {
    return findToken(this.#services, rawRequestOf(this.#request), (fault, source) => {
      this.#refuse(this.#services.loader.tokenError(fault, this.#client()), source);
    });
  }

  /** Moves the times that are due, before the handler runs. A failure leaves the request as it would be without: the session lives. */
  async #touch(session: Session): Promise<boolean> {
    const { renewal, logger } = this.#services;
    const due = renewal.timesDue(session);
    if (due === null) return false;
    try {
      return (await renewal.touch(session, due, this.#budget)) === 'renewed';
    } catch (error) {
      // The store itself says once that it fails; this may happen to every request until it works again.
      logger.debug(`A session was not renewed, the request goes on: ${messageOf(error)}`);
      return false;
    }
  }

  async #renewToken(session: Session, { claims }: VerifiedToken): Promise<void> {
    const { issuer, logger } = this.#services;
    try {
      this.#answer.renew(session, await issuer.sign(claims.secret));
    } catch (error) {
      logger.warn(`A token was not signed anew, the older one stays good: ${messageOf(error)}`);
    }
  }

  #assertTransport(transport: TokenSource | undefined): void {
    if (transport === undefined || this.#services.transports.has(transport)) return;
    throw new SessionUsageError(`The session cannot be answered by '${transport}': add it to tokenSourcePriority.`);
  }

  /**
   * How a new session goes to the client. A browser that is made to take a cookie by another site works in the attacker's session from then
   * on (login CSRF), so that a cookie without a session before it wants a page of ours too.
   */
  #sourceOfAnswer(transport: TokenSource | undefined): TokenSource {
    const source = transport ?? this.#answer.source ?? this.#services.transports.preferred;
    if (source === 'cookie' && this.#answer.source === null) this.#assertOwnPage(null);
    return source;
  }

  /** @throws SessionCsrfError, before any call to the store */
  #assertOwnPage(sessionId: SessionId | null): void {
    const { csrf, loader } = this.#services;
    if (!csrf.appliesTo(this.#request, this.#context)) return;
    this.#answer.dependsOnOrigin();
    try {
      csrf.check(this.#request, sessionId);
    } catch (error) {
      loader.reject(error as SessionError, this.#client(), sessionId);
      throw error;
    }
  }

  #adopt({ session, token }: IssuedSession, source: TokenSource): AnsweredSession {
    this.#session = session;
    this.#refusal = null;
    this.#loading = Promise.resolve();
    Session.stateOf(session).request = this;
    return this.#answer.give(session, token, source);
  }

  #refuse(error: SessionError, source = this.#answer.source): void {
    this.#refusal ??= error;
    this.#answer.refused(source, { clearCookie: !this.#mayBeReplaced(error) });
  }

  /**
   * A login or a regeneration may have ended the session a moment ago, and the browser may have the new cookie by now, which this response
   * would clear. What a page fetches in the background leaves it: the next navigation clears a cookie that really is dead.
   */
  #mayBeReplaced(error: SessionError): boolean {
    const { 'sec-fetch-site': site, 'sec-fetch-mode': mode } = rawRequestOf(this.#request).headers;
    // Only browsers send both.
    const isBackground = site !== undefined && mode !== undefined && mode !== 'navigate';
    return isBackground && error instanceof SessionNotFoundError;
  }

  #ended(error: SessionError, session: Session): void {
    this.#session = null;
    this.#refuse(error);
    this.#answer.withdraw();
    this.#services.loader.reject(error, this.#client(), session.sessionId);
  }

  #client(): ClientIdentity {
    return { ipAddress: this.#request.ip, userAgent: rawRequestOf(this.#request).headers['user-agent'] ?? '' };
  }
}

function missingToken(): SessionTokenError {
  return new SessionTokenError('TOKEN_MISSING', 'The request carries no session token.');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown failure';
}
