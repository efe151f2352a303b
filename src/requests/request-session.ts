import { HttpStatus, type ExecutionContext } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { CsrfCheck, type CheckedRequest } from '../csrf/csrf-check.js';
import type { CsrfProtection } from '../csrf/csrf-protection.js';
import { nameOf } from '../errors/message-of.js';
import { isRefusal, SessionError } from '../errors/session-error.js';
import {
  SessionCsrfError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionSecurityError,
  SessionTokenError,
  SessionUsageError,
} from '../errors/session-errors.js';
import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';
import type { SessionRejections } from '../events/session-rejections.js';
import type { RequestClient } from '../http/client-identity.js';
import type { GateOwner, ReplacementResponse } from '../http/gate-owner.interface.js';
import {
  clientOf,
  rawRequestOf,
  rawResponseOf,
  type PlatformRequest,
  type PlatformResponse,
} from '../http/http-messages.js';
import { INTERNAL_ERROR, ResponseGate } from '../http/response-gate.js';
import type { ResponseLayer } from '../http/response-layer.js';
import { hasReader } from '../http/response-reader.js';
import { routeOf } from '../http/route-of.js';
import type { Vary } from '../http/vary.js';
import type { TokenSource } from '../options/session-options.js';
import { identityOf } from '../sessions/session-binding.js';
import type { SessionEndings } from '../sessions/session-endings.js';
import type { IssuedSession } from '../sessions/session-issuer.js';
import type { SessionListener } from '../sessions/session-listener.js';
import type { LoadResult, SessionLoader } from '../sessions/session-loader.js';
import type { LoginResult } from '../sessions/login-result.js';
import type { SessionRenewal } from '../sessions/session-renewal.js';
import type { SessionWriter } from '../sessions/session-writer.js';
import { Session } from '../sessions/session.js';
import { TaskQueue } from '../sessions/task-queue.js';
import type { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import { FlashDelivery } from './flash-delivery.js';
import { isChanged, LateChanges } from './late-changes.js';
import type { RequestLog } from './request-log.js';
import type { SessionResponse } from './session-response.js';
import type { SessionResponses } from './session-responses.js';
import type { TokenFinder, TokenSearch } from './token-finder.js';

const FIRST_ERROR_STATUS = 400;
const NO_TOKEN: TokenSearch = { token: null, refused: [], hasSeveralCookies: false, rivalIds: null };

/** The steps in the life of a request's session; see {@link RequestSession}. */
export interface RequestSteps {
  readonly finder: TokenFinder;
  readonly loader: SessionLoader;
  readonly store: SessionStore;
  readonly renewal: SessionRenewal;
  readonly csrf: CsrfProtection;
  readonly writer: SessionWriter;
  readonly endings: SessionEndings;
  readonly responses: SessionResponses;
  readonly rejections: SessionRejections;
  readonly log: RequestLog;
}

/**
 * The life of one request's session, in the order of this file:
 *
 * 1. **load**: find the token, verify it, read the session, check it. At most once, when something first asks for the session.
 * 2. **admit**: at the route, when its marks and the body are known: CSRF check of a cookie, renewal. A session that is loaded earlier, in a
 *    middleware, is admitted when the request comes to its route, or before its first write.
 * 3. **run**: the handler reads and changes the session, or exchanges it (`SessionExchanges`).
 * 4. **commit**: before the first byte of the response, store what has changed.
 * 5. **headers**: the token for the client, `Vary`, cookies to clear.
 *
 * Guard, interceptor, decorators and `SessionService` call these steps.
 */
export class RequestSession implements CheckedRequest, GateOwner, SessionListener {
  readonly budget: StoreBudget;
  readonly #steps: RequestSteps;
  #request: PlatformRequest;
  #context: ExecutionContext | null;
  #gate: ResponseGate | null = null;
  #loading: Promise<this> | undefined;
  #isLoaded = false;
  #search: TokenSearch = NO_TOKEN;
  #session: Session | null = null;
  /** Why there is no session; null: no token was sent, or there is a session. */
  #refusal: SessionError | null = null;
  #isRenewed = false;
  #headersAreWritten = false;
  /** A failed write may have an unknown outcome, so the error response that follows does not try it again; null: none has failed. */
  #commitError: { readonly error: unknown } | null = null;

  // What few requests use, made at first use.
  #csrf: CsrfCheck | undefined;
  #said: SessionResponse | undefined;
  #flash: FlashDelivery | undefined;
  #lateChanges: LateChanges | undefined;
  #exchanges: TaskQueue | undefined;
  #formerSessions: readonly Session[] | undefined;

  /** @param context null: the route is not known yet */
  constructor(steps: RequestSteps, request: PlatformRequest, context: ExecutionContext | null) {
    this.#steps = steps;
    this.budget = steps.store.newBudget();
    this.#request = request;
    this.#context = context;
  }

  // 1. Load

  /**
   * Loads the session, if there is one; once, however often it is called.
   *
   * @returns this, loaded
   * @throws SessionBackendError when nothing is known about it, SessionCsrfError when another site may have sent the request
   */
  load(): Promise<this> {
    return (this.#loading ??= this.#load());
  }

  #load(): Promise<this> {
    this.#isLoaded = false;
    this.#refusal = null;
    const search = this.#steps.finder.find(rawRequestOf(this.#request));
    return search instanceof Promise ? search.then((settled) => this.#read(settled)) : this.#read(search);
  }

  #read(search: TokenSearch): Promise<this> {
    this.#search = search;
    if (search.refused.length > 0) this.#refuseTokens(search);
    const { token } = search;
    if (token === null) return Promise.resolve(this.#loadedNone(this.#refusal));
    if (this.#context !== null && token.source === 'cookie') {
      // Before the read: a request that is refused costs no store call.
      const refusal = this.#csrfRefusal(token.verified.sessionId);
      if (refusal !== null) return Promise.reject(refusal);
    }
    return this.#steps.store.read(token.verified.sessionId, this.budget, (stored) =>
      this.#loaded(this.#steps.loader.check(stored, token.verified, this)),
    );
  }

  #refuseTokens({ refused }: TokenSearch): void {
    for (const { fault, source, isIgnored } of refused) {
      const error = this.#steps.loader.tokenRefusal(fault, this.client);
      if (isIgnored === true) continue;
      this.#refusal ??= error;
      this.said.refused(error, source);
    }
  }

  #loaded({ session, refusal }: LoadResult): this | Promise<this> {
    if (session === undefined) {
      this.said.refused(refusal);
      return this.#loadedNone(this.#refusal ?? refusal);
    }
    this.#session = session;
    Session.stateOf(session).listener = this;
    if (this.#context !== null) return this.#admit(session);
    this.#isLoaded = true;
    return this;
  }

  #loadedNone(refusal: SessionError | null): this {
    this.#session = null;
    this.#refusal = refusal;
    if (refusal !== null) this.said.tokenWasRefused = true;
    this.#isLoaded = true;
    return this;
  }

  // 2. Admit

  /**
   * Called for each route that the request comes to, because marks differ; and with the framework's request after a middleware had only
   * Node's: the framework knows address, scheme, host and body. What was loaded before is admitted now.
   */
  arriveAt(request: PlatformRequest, context: ExecutionContext | null): void {
    const knowsMore = request !== this.#request && Object.is(rawRequestOf(request), this.#request);
    const isNewRoute = context !== null && !isSameRoute(context, this.#context);
    if (!knowsMore && !isNewRoute) return;
    if (knowsMore) this.#request = request;
    if (context !== null) this.#context = context;
    if (this.#loading === undefined) return;
    this.#isLoaded = false;
    this.#loading = this.#loading.then(
      () => this.#arrive(knowsMore),
      (error: unknown) => {
        if (error instanceof SessionCsrfError) return this.#load();
        throw error;
      },
    );
    // For the next caller; that there may be none must not end the process.
    this.#loading.catch(() => undefined);
  }

  #arrive(knowsMore: boolean): this | Promise<this> {
    if (knowsMore && this.#refusal instanceof SessionSecurityError) return this.#load();
    if (this.#csrf?.isMade === true) this.#csrf.repeat();
    else if (this.#context !== null && this.#session !== null) this.#assertSameOriginOf(this.#search);
    if (this.#context !== null && this.#session !== null) return this.#admit(this.#session);
    this.#isLoaded = true;
    return this;
  }

  #admit(session: Session): this | Promise<this> {
    if (this.#csrf !== undefined && this.#search.token?.source === 'cookie') this.#csrf.checkToken(session);
    // A use that is refused is none.
    const renewal = this.#csrf?.admitsSession === false ? null : this.#renew(session);
    if (renewal !== null) return renewal.then(() => this.#admitted());
    return this.#admitted();
  }

  #admitted(): this {
    this.#isLoaded = true;
    return this;
  }

  /** Once a request, and not after the head: a token could not go out any more. */
  #renew(session: Session): Promise<void> | null {
    const { token } = this.#search;
    if (this.#isRenewed || token === null || this.#headersAreWritten) return null;
    this.#isRenewed = true;
    const renewed = this.#steps.renewal.renew(session, token.verified, token.source === 'cookie', this.budget);
    if (renewed === null) {
      if (this.#search.hasSeveralCookies && this.said.tidiesCookies) this.said.renew(session, token.text);
      return null;
    }
    return renewed.then((text) => {
      if (text !== null) this.said.renew(session, text);
      else if (this.said.tidiesCookies) this.said.renew(session, token.text);
    });
  }

  /**
   * Before the request changes something: the session may have been given out before the CSRF check, in a middleware. The check is made now,
   * if no route has made it.
   *
   * @throws SessionCsrfError
   */
  beforeWrite(): void {
    if (this.#search.token?.source !== 'cookie') return;
    if (!this.csrf.isMade) {
      this.#assertSameOriginOf(this.#search);
      if (this.#session !== null) this.csrf.checkToken(this.#session);
    }
    this.csrf.assertPassed();
  }

  /** The same by the headers of the browser alone: a page that was opened before another login may log in. @throws SessionCsrfError */
  beforeLogin(): void {
    if (this.#context === null && this.#csrf?.isMade !== true) this.#assertSameOriginOf(this.#search);
  }

  #assertSameOriginOf({ token }: TokenSearch): void {
    if (token?.source === 'cookie') this.csrf.assertSameOrigin(token.verified.sessionId);
  }

  #csrfRefusal(sessionId: SessionId): Error | null {
    try {
      this.csrf.assertSameOrigin(sessionId);
      return null;
    } catch (error) {
      if (error instanceof Error) return error;
      throw error;
    }
  }

  // 3. Run

  /** Whether the session is loaded and admitted, so that its users need not wait. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** The session of this request, loaded; null: there is none. @throws SessionCsrfError when the CSRF token of the request does not fit it */
  admitted(): Session | null {
    this.#csrf?.assertToken();
    return this.livingSession;
  }

  /** The loaded session. @throws the exact reason why there is none, SessionCsrfError */
  required(): Session {
    const session = this.admitted();
    if (session !== null) return session;
    if (this.#session !== null) throw this.#refusal ?? new SessionNotFoundError();
    throw this.#refusal ?? this.#missingToken();
  }

  /** The loaded session, which has a user. @throws as `required()`, SessionInvalidError */
  requiredWithUser(): Session {
    const session = this.required();
    if (!session.isAnonymous) return session;
    const error = new SessionInvalidError(
      'SESSION_ANONYMOUS',
      'The session has no user: its client has to log in. @AllowAnonymous() lets such sessions through the guard, and a handler gets null from @OptionalSession("user").',
    );
    this.#report(error, session.sessionId);
    throw error;
  }

  /** The session of this request; null: there is none. @throws as `load()` and `admitted()` */
  async current(): Promise<Session | null> {
    await this.load();
    return this.admitted();
  }

  /** The session of this request, ended or not; null: there is none. */
  get session(): Session | null {
    return this.#session;
  }

  /** Null: there is none, or this request has ended it. */
  get livingSession(): Session | null {
    return this.#session === null || Session.stateOf(this.#session).isEnded ? null : this.#session;
  }

  /** Tasks that exchange the session wait for one another: of two logins at once, the second replaces the session of the first. */
  exchange<T>(task: () => Promise<T>): Promise<T> {
    return (this.#exchanges ??= new TaskQueue()).run(task);
  }

  /** Makes a session that is new, or has a new id, that of this request, and sends its token to the client. */
  adopt({ session, token }: IssuedSession, source: TokenSource, kind: 'new' | 'regenerated' = 'new'): LoginResult {
    if (this.#session !== null && this.#session !== session) {
      this.#formerSessions = [...(this.#formerSessions ?? []), this.#session];
    }
    this.#session = session;
    this.#refusal = null;
    this.#loading = Promise.resolve(this);
    this.#isLoaded = true;
    this.#isRenewed = true;
    if (this.#search.token?.source === 'cookie') this.csrf.replaced();
    Session.stateOf(session).listener = this;
    return this.said.give(session, token, source, kind);
  }

  /** Called after this request has ended `session`. */
  ended(session: Session): void {
    if (session !== this.#session) return;
    this.#refusal = new SessionNotFoundError('The session was ended by this request.');
    this.said.ended();
  }

  // 4. Commit

  /** Whether the response has to wait. Called for each response, so it is cheap. */
  needsCommit(status: number): boolean {
    // Whatever the application makes of a failed commit, it must not look like a success.
    if (this.#commitError !== null) return status < FIRST_ERROR_STATUS;
    if (this.#session === null) return false;
    if (this.#said?.renewsCookie === true || Session.stateOf(this.#session).hasChanges()) return true;
    if (this.#flash?.loses(this.#session, status) === true) return true;
    if (this.#context === null && !this.#isRenewed && this.#isRenewalDue(this.#session)) return true;
    return this.#formerSessions?.some((session) => Session.stateOf(session).hasChanges()) ?? false;
  }

  async commit(status: number): Promise<void> {
    if (this.#commitError !== null) throw this.#commitError.error;
    await this.commitChanges(status);
    if (this.#session === null) return;
    if (this.#context === null && this.livingSession !== null) await this.#renewWithoutRoute(this.#session);
    if (this.#said?.renewsCookie === true) await this.#confirmRenewal(this.#session);
  }

  /**
   * Stores what has changed, if anything has.
   *
   * @param status that of the response, if it is known; flash messages that it does not deliver are put back
   * @throws SessionError when that fails; the session is as it was
   */
  async commitChanges(status: number = HttpStatus.OK): Promise<void> {
    if (this.#commitError !== null) return;
    if (this.#session !== null && this.#flash?.loses(this.#session, status) === true) {
      await this.#flash.putBack(this.#session);
    }
    try {
      for (const session of this.#formerSessions ?? []) await this.#commitOne(session);
      if (this.#session !== null) await this.#commitOne(this.#session);
    } catch (error) {
      this.#commitError = { error };
      await this.#takeBackToken(isRefusal(error));
      throw error;
    }
  }

  async #commitOne(session: Session): Promise<void> {
    try {
      await this.#steps.writer.commit(session, this.budget);
    } catch (error) {
      if (isRefusal(error)) {
        this.#refusal = error;
        this.said.tokenWasRefused = true;
        this.said.refused(error);
        this.#report(error, session.sessionId);
      }
      throw error;
    }
  }

  /**
   * The commit has failed, so the client is told that its login failed and gets no token. A session whose token nobody has is ended, because
   * it would count against the user's limit. A regenerated session that may live keeps its token: the client could not open it otherwise.
   */
  async #takeBackToken(sessionHasEnded: boolean): Promise<void> {
    const kind = this.#said?.outgoingKind ?? null;
    if (kind === null || this.#headersAreWritten || (kind === 'regenerated' && !sessionHasEnded)) return;
    this.said.withdrawToken();
    if (kind !== 'renewed' && this.livingSession !== null)
      await this.#steps.endings.abandon(this.livingSession, this.budget);
  }

  /**
   * Stores what a handler has changed before it threw `error`, as if it had sent the error itself. The client is told `error`, even if the
   * commit fails too.
   */
  async commitAfter(error: unknown): Promise<void> {
    this.#steps.log.misuse(this.#route, error);
    await this.#flash?.handlerThrew();
    try {
      await this.commitChanges();
    } catch (commitError) {
      this.#steps.log.notStored(this.#route, commitError, nameOf(error));
    }
  }

  #isRenewalDue(session: Session): boolean {
    const { token } = this.#search;
    return token !== null && this.#steps.renewal.isDue(session, token.verified, token.source === 'cookie');
  }

  /** The session was used, and no route has admitted it. A request that another site may have sent renews nothing. */
  async #renewWithoutRoute(session: Session): Promise<void> {
    try {
      this.beforeWrite();
    } catch {
      return;
    }
    await this.#renew(session);
  }

  /**
   * While the handler ran, another request may have given the browser the cookie of a new session, which a renewal of this one would
   * overwrite. Without it nothing is lost: the next use of the session renews its cookie.
   */
  async #confirmRenewal({ sessionId }: Session): Promise<void> {
    const { store, log } = this.#steps;
    try {
      const stored = await store.read(sessionId, this.budget);
      if (stored !== null && store.isAlive(stored)) return;
    } catch (error) {
      log.cookieNotRenewed(error);
    }
    this.said.withdrawToken();
  }

  // 5. Headers

  /** `Vary`, if the response with `status` says nothing else about the session, as for nearly every request. */
  varyAlone(status: number): Vary | null {
    if (this.#said !== undefined) return null;
    const dependsOnOrigin = this.#csrf?.dependsOnOrigin === true;
    const vary = this.#steps.responses.varyAlone(rawRequestOf(this.#request), status, dependsOnOrigin);
    if (vary !== null) this.#headersAreWritten = true;
    return vary;
  }

  writeHeaders(response: ServerResponse): void {
    this.#headersAreWritten = true;
    const dependsOnOrigin = this.#csrf?.dependsOnOrigin === true;
    this.#steps.responses.write(rawRequestOf(this.#request), response, this.#said ?? null, dependsOnOrigin);
  }

  /** A response that is an error already stays as it is, because its reader has to know what went wrong first. */
  replacement(error: unknown, status: number): ReplacementResponse | null {
    if (status >= FIRST_ERROR_STATUS) {
      this.#steps.log.notStored(this.#route, error, `response ${status}`);
      return null;
    }
    this.#steps.log.replaced(this.#route, error);
    return error instanceof SessionError
      ? { status: error.getStatus(), body: error.getResponse() as object }
      : INTERNAL_ERROR;
  }

  ignored(error: Error): void {
    this.#steps.log.secondResponse(this.#route, error);
  }

  broken(error: unknown): void {
    this.#steps.log.notSent(this.#route, error);
  }

  /** A handler may keep a part of the session and change it without notice, so streams are looked at when they end. */
  streamEnds(): void {
    if (this.#session !== null && isChanged(this.#session)) this.#late.expect(this.#session);
  }

  // The request, for its parts

  get request(): PlatformRequest {
    return this.#request;
  }

  get context(): ExecutionContext | null {
    return this.#context;
  }

  /** The client, for bindings and events. */
  get client(): RequestClient {
    return clientOf(this.#request);
  }

  get search(): TokenSearch {
    return this.#search;
  }

  get gate(): ResponseGate | null {
    return this.#gate;
  }

  /** Whether this is the session of the request that Node knows as `raw`. */
  isOf(raw: IncomingMessage): boolean {
    return rawRequestOf(this.#request) === raw;
  }

  /** Called when the response of the request is known. After its head is sent, nothing can be stored or sent with it any more. */
  attach(response: PlatformResponse, layer: ResponseLayer | null): void {
    if (this.#gate !== null || this.#headersAreWritten) return;
    const raw = rawResponseOf(response);
    if (raw.headersSent) this.#headersAreWritten = true;
    else this.#gate = new ResponseGate(raw, this, layer);
  }

  /** What the response says about the session. */
  get said(): SessionResponse {
    return (this.#said ??= this.#steps.responses.create(this, this.#search));
  }

  get csrf(): CsrfCheck {
    return (this.#csrf ??= new CsrfCheck(this.#steps.csrf, this, (error, sessionId) => {
      this.#report(error, sessionId);
    }));
  }

  /** A CSRF token for a page of this session; null: there is no session, or `enableCsrf` is off. @throws as `current()` */
  async csrfToken(): Promise<string | null> {
    const session = await this.current();
    return session && this.#steps.csrf.issue(session.sessionId);
  }

  /** The flash messages on their way to the client. */
  get flash(): FlashDelivery {
    return (this.#flash ??= new FlashDelivery(this.#steps, this));
  }

  /**
   * Where the token of a new session goes.
   *
   * @throws SessionUsageError when it is too late for a cookie
   */
  sourceFor(transport: TokenSource | undefined): TokenSource {
    const { transports } = this.#steps.responses;
    if (this.#gate === null && !this.#headersAreWritten) throw responseUnknown();
    const source = transport ?? this.#said?.source ?? this.#search.token?.source ?? transports.preferred;
    if (source !== 'cookie' || !this.#headersAreWritten) return source;
    throw new SessionUsageError(
      'The response has begun, so no cookie can be sent with it: call this before, or use another transport.',
    );
  }

  // For the session, as its listener

  accessed(): void {
    if ((this.#gate === null || this.#gate.hasBegun) && this.#session !== null) this.#late.expect(this.#session);
  }

  /** Whether somebody reads the response: nobody does for `HEAD`, a prefetch, or a background request of another site. */
  mayTakeFlash(): boolean {
    if (this.#gate === null) return false;
    this.said.isShownOnce = true;
    const isCrossSite = this.said.source === 'cookie' && this.#steps.csrf.isCrossSite(this.#request);
    if (!hasReader(rawRequestOf(this.#request), isCrossSite)) return false;
    if (this.#session !== null) this.flash.watch(this.#session);
    return true;
  }

  misused(error: Error): void {
    this.#steps.log.misuse(this.#route, error);
  }

  origin(cause: SessionCause, transport: TokenSource | null = this.#transport): SessionEventOrigin {
    return { cause, ...identityOf(this.client), transport };
  }

  get #transport(): TokenSource | null {
    return this.#said?.source ?? this.#search.token?.source ?? null;
  }

  get #route(): string {
    return routeOf(this.#request);
  }

  get #late(): LateChanges {
    return (this.#lateChanges ??= new LateChanges(() => {
      this.#steps.log.lateChange(this.#route);
    }));
  }

  #missingToken(): SessionTokenError {
    const error = new SessionTokenError('TOKEN_MISSING', 'The request carries no session token.');
    this.#report(error, null);
    this.#refusal = error;
    return error;
  }

  #report(error: SessionError, sessionId: SessionId | null): void {
    this.#steps.rejections.report(error, this.client, sessionId);
  }
}

function responseUnknown(): SessionUsageError {
  return new SessionUsageError(
    'The response of this request is not known to SessionModule, so no token can be sent with it. Call this behind SessionGuard, a session decorator or @UseSession(), or pass the ExecutionContext.',
  );
}

function isSameRoute(context: ExecutionContext, known: ExecutionContext | null): boolean {
  if (context === known) return true;
  return known?.getHandler() === context.getHandler() && known.getClass() === context.getClass();
}
