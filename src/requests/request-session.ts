import type { ExecutionContext } from '@nestjs/common';

import {
  SessionCsrfError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionSecurityError,
  SessionTokenError,
} from '../errors/session-errors.js';
import type { SessionError } from '../errors/session-error.js';
import { sessionChannels, trace } from '../events/session-channels.js';
import { rawRequestOf, type PlatformRequest, type PlatformResponse } from '../http/http-messages.js';
import { onceClosed, type Closable } from '../http/once-closed.js';
import type { ResponseLayer } from '../http/response-layer.js';
import { hasReader } from '../http/response-reader.js';
import type { TokenSource } from '../options/session-options.js';
import type { IssuedSession, LoginResult } from '../sessions/session-results.js';
import type { SessionListener } from '../sessions/session-listener.js';
import type { CheckResult, SessionLoader } from '../sessions/session-loader.js';
import { Session } from '../sessions/session.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { StoredSession } from '../records/stored-session.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { Connection } from './connection.js';
import { FlashDelivery } from './flash-delivery.js';
import { KnownRequest, type KnownRequestServices } from './known-request.js';
import { LateChanges } from './late-changes.js';
import { SessionCommit, type CommitServices, type CommittedRequest } from './session-commit.js';
import type { RenewedRequest, RequestRenewal } from './request-renewal.js';
import type { TokenFinder, TokenSearch } from './token-finder.js';

const NO_SESSIONS: readonly Session[] = [];

/** The steps in the life of a request's session; see {@link RequestSession}. */
export interface RequestSteps extends KnownRequestServices, CommitServices {
  readonly finder: TokenFinder;
  readonly loader: SessionLoader;
  readonly renewal: RequestRenewal;
}

/**
 * The life of one request's session, in the order of this file:
 *
 * 1. **load**: find the token, verify it, read the session, check it. At most once, when something first asks for the session.
 * 2. **admit**: at the route, when its marks and the body are known: CSRF check of a cookie, renewal (`RequestRenewal`). A session that is loaded earlier, in a
 *    middleware, is admitted when the request comes to its route, or before its first write.
 * 3. **run**: the handler reads and changes the session, or exchanges it (`SessionExchanges`).
 * 4. **commit**: before the first byte of the response, store what has changed (`SessionCommit`).
 * 5. **headers**: the token for the client, `Vary`, cookies to clear (`SessionResponse`).
 *
 * Guard, interceptor, decorators and `SessionService` call these steps.
 */
export class RequestSession extends KnownRequest implements CommittedRequest, RenewedRequest, SessionListener {
  readonly budget: StoreBudget;
  isRenewed = false;
  readonly #steps: RequestSteps;
  #loading: Promise<this> | undefined;
  #isLoaded = false;
  #session: Session | null = null;
  /** Why there is no session; null: no token was sent, or there is a session. */
  #refusal: SessionError | null = null;
  #formerSessions: readonly Session[] = NO_SESSIONS;

  // Made at first use.
  #commit: SessionCommit | undefined;
  #flash: FlashDelivery | undefined;
  #lateChanges: LateChanges | undefined;
  #exchanges: Promise<void> | null = null;

  /** @param context null: the route is not known yet */
  constructor(
    steps: RequestSteps,
    request: PlatformRequest,
    context: ExecutionContext | null,
    connection: Connection | null = null,
  ) {
    super(steps, request, context, connection);
    this.#steps = steps;
    this.budget = steps.store.newBudget();
  }

  // 1. Load

  /**
   * Loads the session, if there is one; once, however often it is called.
   *
   * @returns this, loaded
   * @throws SessionBackendError when nothing is known about it, SessionCsrfError when another site may have sent the request
   */
  load(): Promise<this> {
    return (this.#loading ??= sessionChannels.load.hasSubscribers ? this.#traceLoad() : this.#load());
  }

  #load(): Promise<this> {
    this.#isLoaded = false;
    this.#refusal = null;
    const search = this.findToken();
    return search instanceof Promise ? search.then((settled) => this.#read(settled)) : this.#read(search);
  }

  #traceLoad(): Promise<this> {
    return trace(
      sessionChannels.load,
      { operation: 'request', sessionId: null },
      () => this.#load(),
      () => ({ outcome: this.#session === null ? (this.#refusal?.code ?? 'TOKEN_MISSING') : 'found' }),
      () => this.#session?.sessionId ?? this.search.token?.verified.sessionId ?? null,
    );
  }

  #read(search: TokenSearch): Promise<this> {
    this.search = search;
    if (search.refused.length > 0) this.#refuseTokens(search);
    const { token } = search;
    if (token === null) return Promise.resolve(this.#loadedNone(this.#refusal));
    if (this.isAtRoute) {
      // Before the read: a request that is refused costs no store call.
      const refusal = this.#csrfRefusal(token.verified.sessionId);
      if (refusal !== null) return Promise.reject(refusal);
    }
    return this.readSession(token.verified.sessionId, (stored) =>
      this.#loaded(this.#steps.loader.check(stored, token.verified, this)),
    );
  }

  protected findToken(): TokenSearch | Promise<TokenSearch> {
    return this.#steps.finder.find(rawRequestOf(this.request));
  }

  /** @param check loads this with what was read */
  protected readSession(id: SessionId, check: (stored: StoredSession | null) => this | Promise<this>): Promise<this> {
    return this.#steps.store.read(id, this.budget, check);
  }

  #refuseTokens({ refused }: TokenSearch): void {
    for (const { fault, source, isIgnored } of refused) {
      const error = this.#steps.loader.tokenRefusal(fault, this.client);
      if (isIgnored === true) continue;
      this.#refusal ??= error;
      this.said.refused(error, source);
    }
  }

  #loaded(checked: CheckResult): this | Promise<this> {
    const { session } = checked;
    if (session === undefined)
      return 'alias' in checked ? this.#loadByAlias(checked.alias) : this.#refuse(checked.refusal);
    this.csrfInUse?.afterRead(session);
    this.#session = session;
    Session.stateOf(session).listener = this;
    return this.isAtRoute ? this.#admit(session) : this.#ready();
  }

  #refuse(refusal: SessionError): this {
    this.csrfInUse?.afterRead(null);
    this.said.refused(refusal);
    return this.#loadedNone(this.#refusal ?? refusal);
  }

  /** The session has a newer id. A client that came with the old one gets no token, neither a new one nor the old one renewed. */
  async #loadByAlias(alias: StoredSession): Promise<this> {
    const { token } = this.search;
    if (token === null) return this.#loadedNone(this.#refusal);
    return this.#loaded(await this.#steps.loader.follow(alias, token.verified, this, this.budget));
  }

  #loadedNone(refusal: SessionError | null): this {
    this.#session = null;
    this.#refusal = refusal;
    if (refusal !== null) this.said.tokenWasRefused = true;
    return this.#ready();
  }

  #ready(): this {
    this.#isLoaded = true;
    return this;
  }

  // 2. Admit

  /** Whether all is known that a check for CSRF needs. To a handshake no marks of a route apply. */
  get isAtRoute(): boolean {
    return this.context !== null || this.isHandshake;
  }

  /** Called for each route that the request comes to, because marks differ. What was loaded before is admitted now. */
  arriveAt(request: PlatformRequest, context: ExecutionContext | null): void {
    const news = this.learn(request, context);
    if (news !== null && this.#loading !== undefined) this.#admitAfter(this.#loading, news);
  }

  #admitAfter(loading: Promise<this>, news: 'request' | 'route'): void {
    this.#isLoaded = false;
    this.#loading = loading.then(
      () => this.#admitLoaded(news),
      (error: unknown) => {
        if (error instanceof SessionCsrfError) return this.#load();
        throw error;
      },
    );
    // For the next caller; that there may be none must not end the process.
    this.#loading.catch(() => undefined);
  }

  #admitLoaded(news: 'request' | 'route'): this | Promise<this> {
    if (news === 'request' && this.#refusal instanceof SessionSecurityError) return this.#load();
    if (this.csrfInUse?.isMade === true) this.csrfInUse.repeat();
    else if (this.context !== null && this.#session !== null) this.#assertSameOrigin();
    return this.context === null || this.#session === null ? this.#ready() : this.#admit(this.#session);
  }

  #admit(session: Session): this | Promise<this> {
    if (this.isByCookie) this.csrf.checkToken(session);
    // A use that is refused is none.
    const renewal = this.csrfInUse?.admitsSession === false ? null : this.#steps.renewal.renew(this, session);
    return renewal === null ? this.#ready() : renewal.then(() => this.#ready());
  }

  /**
   * Before the request changes something: the session may have been given out before the CSRF check, in a middleware. The check is made now,
   * if no route has made it.
   *
   * @throws SessionCsrfError
   */
  beforeWrite(): void {
    if (!this.isByCookie) return;
    if (!this.csrf.isMade) {
      this.#assertSameOrigin();
      if (this.#session !== null) this.csrf.checkToken(this.#session);
    }
    this.csrf.assertPassed();
  }

  /** The same by the headers of the browser alone: a page that was opened before another login may log in. @throws SessionCsrfError */
  beforeLogin(): void {
    if (this.context === null && this.csrfInUse?.isMade !== true) this.#assertSameOrigin();
    this.csrfInUse?.assertOriginPassed();
  }

  /** Called after the lifetime of `session` was changed. */
  async lifetimeChanged(session: Session): Promise<void> {
    if (session === this.livingSession) await this.#steps.renewal.lifetimeChanged(this, session);
  }

  #assertSameOrigin(): void {
    const { token } = this.search;
    if (token?.source === 'cookie') this.csrf.assertSameOrigin(token.verified.sessionId, this.#session);
  }

  #csrfRefusal(sessionId: SessionId): Error | null {
    if (!this.isByCookie) return null;
    try {
      if (this.#steps.store.keepsAliases) this.csrf.beforeRead(sessionId);
      else this.csrf.assertSameOrigin(sessionId);
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

  /** The session of this request; null: there is none. @throws as `load()` and `admitted()` */
  async current(): Promise<Session | null> {
    await this.load();
    return this.admitted();
  }

  /** The session of this request, loaded; null: there is none. @throws SessionCsrfError when the CSRF token of the request does not fit it */
  admitted(): Session | null {
    this.csrfInUse?.assertToken();
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
    this.report(error, session.sessionId);
    throw error;
  }

  #missingToken(): SessionTokenError {
    const error = new SessionTokenError('TOKEN_MISSING', 'The request carries no session token.');
    this.report(error, null);
    this.#refusal = error;
    return error;
  }

  /** The session of this request, ended or not; null: there is none. */
  get session(): Session | null {
    return this.#session;
  }

  /** Null: there is none, or this request has ended it. */
  get livingSession(): Session | null {
    return this.#session === null || Session.stateOf(this.#session).isEnded ? null : this.#session;
  }

  get formerSessions(): readonly Session[] {
    return this.#formerSessions;
  }

  /** A CSRF token for a page of this session; null: there is no session, or `enableCsrf` is off. @throws as `current()` */
  async csrfToken(): Promise<string | null> {
    const session = await this.current();
    return session && this.#steps.csrf.issue(session.sessionId);
  }

  /** Tasks that exchange the session wait for one another: of two logins at once, the second replaces the session of the first. */
  exchange<T>(task: () => Promise<T>): Promise<T> {
    const isLate = this.gate?.hasBegun === true;
    const run = (): Promise<T> => {
      this.isLate = isLate;
      return task();
    };
    const own = this.#exchanges === null ? run() : this.#exchanges.then(run);
    const ended = () => {
      if (this.#exchanges === exchanges) this.#exchanges = null;
    };
    const exchanges = own.then(ended, ended);
    this.#exchanges = exchanges;
    return own;
  }

  /** Resolves when all exchanges have ended; null: none is under way. */
  get exchanges(): Promise<void> | null {
    return this.#exchanges;
  }

  /** Makes a session that is new, or has a new id, that of this request, and sends its token to the client. */
  adopt({ session, token }: IssuedSession, source: TokenSource, kind: 'new' | 'regenerated' = 'new'): LoginResult {
    if (this.#session !== null && this.#session !== session) {
      this.#formerSessions = [...this.#formerSessions, this.#session];
    }
    this.#session = session;
    this.#refusal = null;
    this.#loading = Promise.resolve(this);
    this.#isLoaded = true;
    this.isRenewed = true;
    if (this.isByCookie) this.csrf.replaced();
    Session.stateOf(session).listener = this;
    return this.said.give(session, token, source, kind);
  }

  /** Called after this request has ended `session`. */
  ended(session: Session): void {
    if (session !== this.#session) return;
    this.#refusal = new SessionNotFoundError('The session was ended by this request.');
    this.said.ended();
  }

  /** Called when another client has ended `session`. */
  lost(error: SessionError, { sessionId }: Session): void {
    this.#refusal = error;
    this.said.tokenWasRefused = true;
    this.said.refused(error);
    this.report(error, sessionId);
  }

  // 4. Commit, and 5. Headers

  /** Stores what has changed. The gate of the response calls it before the first byte, the interceptor when the handler has returned. */
  get commit(): SessionCommit {
    return (this.#commit ??= new SessionCommit(this.#steps, this));
  }

  /** Called when the response of the request is known. */
  attach(response: PlatformResponse, layer: ResponseLayer | null): void {
    this.attachTo(response, layer, this);
  }

  get needsRenewal(): boolean {
    const session = this.livingSession;
    return this.context === null && session !== null && this.#steps.renewal.isDue(this, session);
  }

  isPassive(): boolean {
    return this.#steps.renewal.isPassive(this);
  }

  /** The session was used, and no route has admitted it. A request that another site may have sent renews nothing. */
  async renewWithoutRoute(): Promise<void> {
    try {
      this.beforeWrite();
    } catch (error) {
      if (error instanceof SessionCsrfError) return;
      throw error;
    }
    if (this.livingSession !== null) await this.#steps.renewal.renew(this, this.livingSession);
  }

  // What the session notifies its request of

  accessed(): void {
    if ((this.gate === null || this.gate.hasBegun) && this.#session !== null) this.lateChanges.expect(this.#session);
  }

  /** Whether somebody reads the response: nobody does for `HEAD`, a prefetch, or a background request of another site. */
  responseHasReader(): boolean {
    this.said.isShownOnce = true;
    const isCrossSite = this.said.source === 'cookie' && this.#steps.csrf.isCrossSite(this.request);
    return hasReader(rawRequestOf(this.request), isCrossSite);
  }

  /** The same, except that a request of another site may be one for which the handler calls `consume()`: the way back of an OAuth login. */
  mayTakeOneTime(): boolean {
    this.said.isShownOnce = true;
    return hasReader(rawRequestOf(this.request), false);
  }

  mayTakeFlash(): boolean {
    if (this.gate === null || !this.responseHasReader()) return false;
    if (this.#session !== null) this.flash.watch(this.#session);
    return true;
  }

  whenClosed(callback: () => void): (() => void) | null {
    const { socket } = rawRequestOf(this.request) as { readonly socket?: Closable };
    const source = this.gate?.response ?? socket;
    return source === undefined ? null : onceClosed(source, callback);
  }

  misused(error: Error): void {
    this.#steps.log.misuse(this.route, error);
  }

  /** The flash messages on their way to the client. */
  get flash(): FlashDelivery {
    return (this.#flash ??= new FlashDelivery(this.#steps, this));
  }

  get flashInUse(): FlashDelivery | undefined {
    return this.#flash;
  }

  get lateChanges(): LateChanges {
    return (this.#lateChanges ??= new LateChanges(() => {
      if (this.hasResponse) this.#steps.log.lateChange(this.route);
      else this.#steps.log.changeOutsideOfMessage(this.route);
    }));
  }
}
