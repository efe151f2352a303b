import { HttpStatus, type ExecutionContext } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { identityOf } from '../sessions/session-binding.js';
import type { RequestClient } from '../http/client-identity.js';
import { SessionError } from '../errors/session-error.js';
import {
  SessionCsrfError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionSecurityError,
  SessionTokenError,
} from '../errors/session-errors.js';
import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';
import {
  clientOf,
  rawRequestOf,
  rawResponseOf,
  type PlatformRequest,
  type PlatformResponse,
} from '../http/http-messages.js';
import type { ResponseLayer } from '../http/response-layer.js';
import { routeOf } from '../http/route-of.js';
import type { Vary } from '../http/vary.js';
import type { TokenSource } from '../options/session-options.js';
import type { AnsweredSession } from '../sessions/answered-session.js';
import type { FlashMessage } from '../records/flash-message.js';
import type { IssuedSession } from '../sessions/session-issuer.js';
import { isRefusal } from '../sessions/session-loader.js';
import type { NewSessionUser, SessionData } from '../records/session-user.js';
import type { SessionState } from '../sessions/session-state.js';
import type { Ending } from '../sessions/session-writer.js';
import { Session } from '../sessions/session.js';
import { TaskQueue } from '../sessions/task-queue.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import { FlashDelivery } from './flash-delivery.js';
import { hasReader } from '../http/response-reader.js';
import type { GateOwner, ReplacementResponse } from '../http/gate-owner.interface.js';
import { isChanged, LateChanges } from './late-changes.js';
import { messageOf, nameOf } from '../errors/message-of.js';
import { CsrfCheck } from '../csrf/csrf-check.js';
import type { LoginOptions, StartOptions } from './request-options.js';
import type { RequestServices } from './request-services.js';
import { INTERNAL_ERROR, ResponseGate } from '../http/response-gate.js';
import { SessionAnswer } from './session-answer.js';
import { SessionArrival } from './session-arrival.js';

const FIRST_ERROR_STATUS = 400;
const LOGOUT: Ending = { reason: 'logout', cause: 'logout', by: null };

/**
 * All that one request has to do with sessions: the token in it, the one load, the renewal, the changes, the commit and the headers of the
 * answer. Guard, interceptor, decorators, `login` and `logout` are a few lines each on top of it.
 */
export class RequestSession implements GateOwner {
  readonly #services: RequestServices;
  #request: PlatformRequest;
  readonly #page: CsrfCheck;
  readonly #budget: StoreBudget;
  readonly #answer: SessionAnswer;
  readonly #response: ServerResponse;
  readonly gate: ResponseGate;
  #loading: Promise<this> | undefined;
  /** Whether that promise is fulfilled, so that a decorator behind the guard need not wait for it. */
  #isLoaded = false;
  /** Makes whatever exchanges the session wait for what does so already: of two logins at once, the second replaces the first one's session. */
  #exchanges: TaskQueue | undefined;
  #session: Session | null = null;
  /** Sessions that this request has ended, before it made another. */
  #formerSessions: readonly Session[] | undefined;
  #flashDelivery: FlashDelivery | undefined;
  #lateChanges: LateChanges | undefined;
  /** Why there is no session: no token, or a refusal. */
  #refusal: SessionError | null = null;
  /** The sessions that the cookies of the request open, where they are several and so none was taken; null: there are none. */
  #rivalIds: ReadonlySet<SessionId> | null = null;
  /** The outcome of a failed write may be unknown, so it is not tried again by the error response that follows; null: none has failed. */
  #commitError: { readonly error: unknown } | null = null;

  /**
   * @param context tells the route, for the marks on it; null: it has none
   * @param layer that of the application's responses; null: they have none
   */
  constructor(
    services: RequestServices,
    request: PlatformRequest,
    response: PlatformResponse,
    context: ExecutionContext | null,
    layer: ResponseLayer | null,
  ) {
    this.#services = services;
    this.#request = request;
    this.#budget = services.store.newBudget();
    this.#answer = new SessionAnswer(services, request);
    this.#page = new CsrfCheck(services.csrf, request, context, (error, sessionId) => {
      services.loader.reject(error, clientOf(this.#request), sessionId);
    });
    this.#response = rawResponseOf(response);
    this.gate = new ResponseGate(this.#response, this, layer);
  }

  /** Whether this is the session of the request that Node knows as `raw`. */
  isOf(raw: IncomingMessage): boolean {
    return rawRequestOf(this.#request) === raw;
  }

  /**
   * Told of each route that the request comes to, as their marks may differ, and of the framework's request, where a middleware came first
   * with Node's: it knows address, scheme, host and body.
   */
  arriveAt(request: PlatformRequest, context: ExecutionContext | null): void {
    const knowsMore = request !== this.#request && Object.is(rawRequestOf(request), this.#request);
    if (knowsMore) {
      this.#request = request;
      this.#answer.replaceRequest(request);
    }
    const isOpen = this.#page.arriveAt(this.#request, context) || knowsMore;
    if (!isOpen || this.#loading === undefined) return;
    this.#isLoaded = false;
    this.#loading = this.#loading.then(
      () => this.#judgeAgain(knowsMore),
      (error: unknown) => {
        if (error instanceof SessionCsrfError) return this.#loadOnce();
        throw error;
      },
    );
    // For whoever asks next; that nobody does must not end the process.
    this.#loading.catch(() => undefined);
  }

  async #judgeAgain(knowsMore: boolean): Promise<this> {
    if (knowsMore && this.#refusal instanceof SessionSecurityError) await this.#loadOnce();
    else this.#page.checkAgain();
    this.#isLoaded = true;
    return this;
  }

  /** For the log. */
  get #route(): string {
    return routeOf(this.#request);
  }

  /** Whether the session is loaded, as it is behind a guard, so that nothing has to wait for it. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /**
   * Loads and renews the session, if there is one, and gives it to nobody; once, however often it is called.
   *
   * @returns this, when it is loaded
   * @throws SessionBackendError when nothing is known about it, SessionCsrfError when another site may have sent the request
   */
  load(): Promise<this> {
    return (this.#loading ??= this.#loadOnce());
  }

  /** The loaded session; null: there is none. @throws SessionCsrfError when the request's CSRF token does not fit it */
  admitted(): Session | null {
    this.#page.assertToken();
    return this.#livingSession;
  }

  /** The loaded session. @throws the exact reason why there is none, SessionCsrfError */
  required(): Session {
    const session = this.admitted();
    if (session !== null) return session;
    if (this.#session !== null) throw this.#refusal ?? new SessionNotFoundError();
    throw this.#refusal ?? this.#missingToken();
  }

  /** The loaded session if it has a user, or none is asked for. @throws as `required()`, SessionInvalidError */
  requiredWithUser({ orAnonymous }: { readonly orAnonymous: () => boolean }): Session {
    const session = this.required();
    if (!session.isAnonymous || orAnonymous()) return session;
    const error = new SessionInvalidError(
      'SESSION_ANONYMOUS',
      'The session has no user: its client has to log in. @AllowAnonymous() lets such sessions through the guard, and a handler gets null from @OptionalSession("user").',
    );
    this.#services.loader.reject(error, clientOf(this.#request), session.sessionId);
    throw error;
  }

  /** The session of this request, loaded; null: there is none. @throws as `load()` and `admitted()` */
  async optional(): Promise<Session | null> {
    await this.load();
    return this.admitted();
  }

  /** The session of this request, loaded. @throws as `load()` and `required()` */
  async require(): Promise<Session> {
    await this.load();
    return this.required();
  }

  /** Makes an anonymous session, or gives the one that is there, with `data` in it. */
  start(options: StartOptions): Promise<AnsweredSession> {
    return this.#exchange(() => this.#start(options));
  }

  async #start({ data = {}, transport }: StartOptions): Promise<AnsweredSession> {
    this.#answer.assertOffered(transport);
    // Before it is merged: a key named __proto__, as a body may have, would become the prototype.
    this.#services.issuer.assertData(data);
    const session = await this.optional();
    if (session === null) return this.#startNew(data, transport);
    Object.assign(session.data, data);
    return this.#answer.of(session);
  }

  async #startNew(data: Partial<SessionData>, transport: TokenSource | undefined): Promise<AnsweredSession> {
    const { issuer } = this.#services;
    const source = this.#sourceOfAnswer(transport);
    const content = issuer.newContent(issuer.newFacts(this.#newClient(), {}), null, data);
    const draft = await issuer.draft(issuer.newAnonymousTag(), content);
    const origin = this.origin('start', source);
    const stored = await issuer.create(draft, origin, this.#budget);
    issuer.announce(stored, origin);
    return this.#adopt(issuer.issue(draft, stored), source);
  }

  /** The client that a new session belongs to. */
  #newClient(): RequestClient {
    this.#services.addresses.check(this.#request);
    return clientOf(this.#request);
  }

  /** Exchanges whatever session there is for one of `user`. */
  login(user: NewSessionUser, options: LoginOptions): Promise<AnsweredSession> {
    return this.#exchange(() => this.#login(user, options));
  }

  async #login(user: NewSessionUser, { transport, ...lifetime }: LoginOptions): Promise<AnsweredSession> {
    this.#answer.assertOffered(transport);
    // By the headers alone: a page that has been open since before another login may sign in.
    await this.load();
    const previous = this.#livingSession;
    const source = this.#sourceOfAnswer(transport);
    const client = this.#newClient();
    const login = { user: this.#services.issuer.newUser(user), client, lifetime, origin: this.origin('login', source) };
    await this.#endRivals({ reason: 'replaced-at-login', cause: 'login', by: null });
    const issued = await this.#services.logins.login(previous, login, this.#budget);
    return this.#adopt(issued, source);
  }

  /** Ends the session of this request, and takes back a token that was prepared for the answer. False: there was none. */
  logout(): Promise<boolean> {
    return this.#exchange(() => this.#logout());
  }

  async #logout(): Promise<boolean> {
    await this.load();
    this.#page.assertToken();
    const session = this.#session;
    if (session === null) return this.#logoutOfRivals();
    const hasEnded = await this.#services.writer.end(session, LOGOUT, this.#budget);
    this.ended(session);
    return hasEnded;
  }

  async #logoutOfRivals(): Promise<boolean> {
    if (this.#rivalIds === null) return false;
    this.#page.assertOwnPage(null);
    const count = await this.#endRivals(LOGOUT);
    this.#answer.loggedOut();
    return count > 0;
  }

  /** Ends the sessions that several cookies of the request open: the client has one session or none. Returns how many lived. */
  async #endRivals(ending: Ending): Promise<number> {
    if (this.#rivalIds === null) return 0;
    const origin = this.origin(ending.cause, 'cookie');
    const ends = [...this.#rivalIds].map((id) => this.#services.writer.endById(id, ending, this.#budget, origin));
    const ended = (await Promise.all(ends)).filter(Boolean);
    this.#rivalIds = null;
    return ended.length;
  }

  origin(cause: SessionCause, transport: TokenSource | null = this.#answer.source): SessionEventOrigin {
    return { cause, ...identityOf(clientOf(this.#request)), transport };
  }

  ended(session: Session): void {
    if (session !== this.#session) return;
    this.#refusal = new SessionNotFoundError('The session was ended by this request.');
    this.#answer.loggedOut();
  }

  /** A new id for the session of this request; the client is given its token. */
  regenerate(session: Session): Promise<AnsweredSession> {
    return this.#exchange(() => this.#regenerate(session));
  }

  async #regenerate(session: Session): Promise<AnsweredSession> {
    const source = this.#answer.sourceFor();
    const issued = await this.#services.logins.regenerate(session, this.#budget);
    return this.#adopt(issued, source, 'regenerated');
  }

  /** Called when the handler is about to run, where `@FlashMessages()` stands on it. */
  handlerBegins(): void {
    this.#flash.handlerBegins();
  }

  handlerReturns(): void {
    this.#flash.handlerReturns(this.#response.statusCode);
  }

  /** Called when the handler has thrown. What it was given is shown to nobody. */
  async handlerFails(): Promise<void> {
    if (this.#flashDelivery === undefined) return;
    this.#flashDelivery.handlerFails();
    if (this.#session !== null) await this.#flashDelivery.putBack(this.#session, this.#budget);
  }

  /** Called when nobody waits for the handler any more. */
  handlerEnds(): void {
    this.#flash.handlerEnds();
  }

  get #flash(): FlashDelivery {
    return (this.#flashDelivery ??= new FlashDelivery(this.#services, this.gate));
  }

  misused(error: Error): void {
    this.#services.log.misuse(this.#route, error);
  }

  used(state: SessionState): void {
    if (this.gate.hasBegun) this.#late.expect(state);
  }

  /** What a handler keeps of a session it may change without our notice, so streams are looked at again. */
  streamEnds(): void {
    if (this.#session === null) return;
    const state = Session.stateOf(this.#session);
    if (isChanged(state)) this.#late.expect(state);
  }

  get #late(): LateChanges {
    return (this.#lateChanges ??= new LateChanges(() => {
      this.#services.log.lateChange(this.#route);
    }));
  }

  handsOutFlash(): boolean {
    this.#answer.isShownOnce();
    const isCrossSite = this.#answer.source === 'cookie' && this.#services.csrf.isCrossSite(this.#request);
    if (!hasReader(rawRequestOf(this.#request), isCrossSite)) return false;
    if (this.#session !== null) this.#flash.watch(this.#session);
    return true;
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

  /**
   * Stores what changed, if anything did.
   *
   * @param status that of the response, where it is known; flash messages that it does not deliver are put back
   * @throws SessionError when that fails; the session is as it was
   */
  async commitChanges(status: number = HttpStatus.OK): Promise<void> {
    if (this.#commitError !== null) return;
    if (this.#session !== null && this.#flashDelivery?.loses(this.#session, status) === true) {
      await this.#flashDelivery.putBack(this.#session, this.#budget);
    }
    try {
      for (const session of this.#formerSessions ?? []) await this.#commitOne(session);
      if (this.#session !== null) await this.#commitOne(this.#session);
    } catch (error) {
      this.#commitError = { error };
      const outgoing = this.#answer.takeBack();
      if (isRefusal(error)) this.#answer.withdraw();
      // The client is told that its login failed, and gets no token; what nobody can use must not count against a limit.
      if (outgoing === 'new' || (outgoing === 'regenerated' && isRefusal(error))) await this.#abandon();
      throw error;
    }
  }

  /**
   * Stores what a handler changed before it failed with `error`, as if it had responded with the error itself. That error is what the
   * client is told, also where this fails.
   */
  async commitAfter(error: unknown): Promise<void> {
    this.#services.log.misuse(this.#route, error);
    await this.handlerFails();
    try {
      await this.commitChanges();
    } catch (commitError) {
      this.#services.log.notStored(this.#route, commitError, nameOf(error));
    }
  }

  async #commitOne(session: Session): Promise<void> {
    try {
      await this.#services.writer.commit(session, this.#budget);
    } catch (error) {
      if (isRefusal(error)) this.#refuse(error, session);
      throw error;
    }
  }

  async #abandon(): Promise<void> {
    const session = this.#livingSession;
    if (session === null) return;
    const state = Session.stateOf(session);
    const { id: sessionId, version } = state.record;
    state.end('ended');
    try {
      await this.#services.store.delete(sessionId, this.#budget);
      const { userId } = state;
      const origin = this.origin(userId === null ? 'start' : 'login');
      this.#services.events.emit({ type: 'ended', reason: 'deleted', sessionId, userId, by: null, ...origin });
    } catch (error) {
      // The store has just failed to store a change too; that change may still arrive, and make the next version.
      this.#services.store.abandon({ id: sessionId, versions: [version, version + 1] }, this.#budget);
      this.#services.logger.debug(`A session that no client has the token of is ended later: ${messageOf(error)}`);
    }
  }

  needsCommit(status: number): boolean {
    // Whatever the application makes of a failed commit, it must not look like a success.
    if (this.#commitError !== null) return status < FIRST_ERROR_STATUS;
    if (this.#session === null) return false;
    if (this.#answer.renewsCookie || Session.stateOf(this.#session).hasChanges()) return true;
    if (this.#flashDelivery?.loses(this.#session, status) === true) return true;
    return this.#formerSessions?.some((session) => Session.stateOf(session).hasChanges()) ?? false;
  }

  async commit(status: number): Promise<void> {
    if (this.#commitError !== null) throw this.#commitError.error;
    await this.commitChanges(status);
    if (this.#session !== null && this.#answer.renewsCookie) await this.#confirmRenewal(this.#session);
  }

  /**
   * While the handler ran, another request may have given the browser the cookie of a new session, which a renewal of this one would
   * overwrite. Without it nothing is lost: the next use of the session renews its cookie.
   */
  async #confirmRenewal({ sessionId }: Session): Promise<void> {
    const { store, logger } = this.#services;
    try {
      const stored = await store.read(sessionId, this.#budget);
      if (stored !== null && store.isAlive(stored)) return;
    } catch (error) {
      logger.debug(`A cookie was not renewed, the older one stays good: ${messageOf(error)}`);
    }
    this.#answer.takeBack();
  }

  varyAlone(status: number): Vary | null {
    if (this.#page.wasMade) this.#answer.dependsOnOrigin();
    return this.#answer.varyAlone(status);
  }

  writeHeaders(response: ServerResponse): void {
    if (this.#page.wasMade) this.#answer.dependsOnOrigin();
    this.#answer.writeHeaders(response);
  }

  /** A response that tells of an error already is no success, and what went wrong first is what its reader has to know. */
  replacement(error: unknown, status: number): ReplacementResponse | null {
    if (status >= FIRST_ERROR_STATUS) {
      this.#services.log.notStored(this.#route, error, `response ${status}`);
      return null;
    }
    this.#services.log.replaced(this.#route, error);
    return error instanceof SessionError
      ? { status: error.getStatus(), body: error.getResponse() as object }
      : INTERNAL_ERROR;
  }

  ignored(error: Error): void {
    this.#services.log.secondResponse(this.#route, error);
  }

  broken(error: unknown): void {
    this.#services.log.notSent(this.#route, error);
  }

  /** Null: there is none, or this request has ended it. */
  get #livingSession(): Session | null {
    return this.#session === null || Session.stateOf(this.#session).isEnded ? null : this.#session;
  }

  #exchange<T>(task: () => Promise<T>): Promise<T> {
    return (this.#exchanges ??= new TaskQueue()).run(task);
  }

  #loadOnce(): Promise<this> {
    this.#isLoaded = false;
    const arrival = new SessionArrival(this.#services, this.#request, this.#answer, this.#page, this.#budget);
    return arrival.receive().then((session) => {
      this.#session = session;
      this.#refusal = arrival.refusal;
      this.#rivalIds = arrival.rivalIds;
      this.#isLoaded = true;
      if (session !== null) Session.stateOf(session).request = this;
      return this;
    });
  }

  /**
   * How a new session goes to the client. A browser that is made to take a cookie by another site works in the attacker's session from then
   * on (login CSRF), so a cookie wants a page of ours, and so does the end of the sessions that cookies open. Where the session came in a
   * header, that proves it, and where it came in a cookie, it has been checked.
   */
  #sourceOfAnswer(transport: TokenSource | undefined): TokenSource {
    const source = this.#answer.sourceFor(transport);
    const isProved = this.#answer.arrivedBy !== null;
    if (!isProved && (source === 'cookie' || this.#rivalIds !== null)) this.#page.assertOwnPage(null);
    return source;
  }

  #adopt({ session, token }: IssuedSession, source: TokenSource, kind: 'new' | 'regenerated' = 'new'): AnsweredSession {
    if (this.#session !== null && this.#session !== session) {
      this.#formerSessions = [...(this.#formerSessions ?? []), this.#session];
    }
    this.#session = session;
    this.#refusal = null;
    this.#loading = Promise.resolve(this);
    this.#isLoaded = true;
    this.#page.replaced();
    Session.stateOf(session).request = this;
    return this.#answer.give(session, token, source, kind);
  }

  #missingToken(): SessionTokenError {
    const error = new SessionTokenError('TOKEN_MISSING', 'The request carries no session token.');
    this.#services.loader.reject(error, clientOf(this.#request), null);
    this.#refusal = error;
    return error;
  }

  #refuse(error: SessionError, { sessionId }: Session): void {
    this.#refusal = error;
    this.#answer.sessionEnded(error);
    this.#services.loader.reject(error, clientOf(this.#request), sessionId);
  }
}
