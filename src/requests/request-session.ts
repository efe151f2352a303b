import type { ExecutionContext } from '@nestjs/common';

import type { SessionError } from '../errors/session-error.js';
import { SessionCsrfError, SessionSecurityError } from '../errors/session-errors.js';
import { sessionChannels, trace } from '../events/session-channels.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { TokenSource } from '../options/session-options.js';
import type { StoredSession } from '../records/stored-session.js';
import type { LoadResult, SessionLoader } from '../sessions/session-loader.js';
import type { IssuedSession, LoginResult } from '../sessions/session-results.js';
import { Session } from '../sessions/session.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import type { Connection } from './connection.js';
import type { RequestRenewal, RenewedRequest } from './request-renewal.js';
import { SessionCommit, type CommitServices, type CommittedRequest } from './session-commit.js';
import { RequestWithSession, type RequestWithSessionServices } from './request-with-session.js';
import type { TokenFinder, TokenSearch } from './token-finder.js';

/** What a {@link RequestSession} works with. */
export interface RequestSessionServices extends RequestWithSessionServices, CommitServices {
  readonly finder: TokenFinder;
  readonly loader: SessionLoader;
  readonly requestRenewal: RequestRenewal;
}

/**
 * The life of one request's session, in the order of this file:
 *
 * 1. **load**: find the token and verify it (`TokenFinder`), check the origin if it came in a cookie, read the session and check it
 *    (`SessionLoader`). At most once, when something first asks for the session.
 * 2. **admit**: at the route, when its marks and the body are known: CSRF token, renewal (`RequestRenewal`). A session that is loaded earlier, in
 *    a middleware, is admitted when the request comes to its route, or before its first write.
 * 3. **run**: the handler reads and changes the session (`Session`), or exchanges it for another one (`SessionExchanges`).
 * 4. **commit**: the gate of the response (`ResponseGate`) has the changes stored before the first byte leaves (`SessionCommit`), and then the
 *    session gets its new id, if `rotateEvery` is over.
 * 5. **headers**: then it has them written: the token for the client, `Vary`, cookies to clear (`SessionResponse`).
 *
 * Guard, interceptor, decorators and `SessionService` call its steps. What the request has between them is in {@link RequestWithSession}.
 */
export class RequestSession extends RequestWithSession implements CommittedRequest, RenewedRequest {
  readonly #services: RequestSessionServices;
  #loading: Promise<this> | undefined;
  #isLoaded = false;
  isRenewed = false;
  rotatesAtHead = false;
  /** Made at first use. */
  #commit: SessionCommit | undefined;

  /** @param context null: the route is not known yet */
  constructor(
    services: RequestSessionServices,
    request: PlatformRequest,
    context: ExecutionContext | null,
    connection: Connection | null = null,
  ) {
    super(services, request, context, connection);
    this.#services = services;
  }

  /** The request that holds `session`; null: it was loaded or made outside of a request. */
  static of(session: Session): RequestSession | null {
    const { listener } = Session.stateOf(session);
    return listener instanceof RequestSession ? listener : null;
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

  #traceLoad(): Promise<this> {
    return trace(
      sessionChannels.load,
      { operation: 'request', sessionId: null },
      () => this.#load(),
      () => ({ outcome: this.session === null ? (this.refusal?.code ?? 'TOKEN_MISSING') : 'found' }),
      () => this.session?.sessionId ?? this.search.token?.verified.sessionId ?? null,
    );
  }

  #load(): Promise<this> {
    this.#isLoaded = false;
    const search = this.findToken();
    return search instanceof Promise ? search.then((found) => this.#read(found)) : this.#read(search);
  }

  #read(search: TokenSearch): Promise<this> {
    this.search = search;
    const refusal = this.#refuseTokens(search);
    const { token } = search;
    if (token === null) return Promise.resolve(this.#withoutSession(refusal));
    try {
      // Before the read: a request that is refused costs no store call.
      if (this.tokenIsInCookie && this.isAtRoute) this.#checkOriginBeforeRead(token.verified);
    } catch (error) {
      if (error instanceof Error) return Promise.reject(error);
      throw error;
    }
    return this.readStored(token.verified, (stored) => this.#check(stored, token.verified, refusal));
  }

  /** @throws SessionCsrfError */
  #checkOriginBeforeRead({ sessionId }: VerifiedToken): void {
    if (this.#services.store.keepsAliases) this.csrf.checkOriginBeforeRead(sessionId);
    else this.csrf.checkOrigin(sessionId);
  }

  protected findToken(): TokenSearch | Promise<TokenSearch> {
    return this.#services.finder.find(rawRequestOf(this.request));
  }

  /** @param use is called with the result. Not by `then()`, which would take each request one more promise. */
  protected readStored(
    token: VerifiedToken,
    use: (stored: StoredSession | null) => this | Promise<this>,
  ): Promise<this> {
    return this.#services.store.read(token.sessionId, this.budget, use);
  }

  #check(stored: StoredSession | null, token: VerifiedToken, refusalBefore: SessionError | null): this | Promise<this> {
    this.refusedId = stored?.record.id ?? null;
    const loaded = this.#services.loader.check(stored, token, this, this.budget);
    if (!(loaded instanceof Promise)) return this.#checked(loaded, refusalBefore);
    return loaded.then((result) => this.#checked(result, refusalBefore));
  }

  /** Reports each token that is refused. @returns the first reason; null: none is refused */
  #refuseTokens({ refused }: TokenSearch): SessionError | null {
    let first: SessionError | null = null;
    for (const { fault, source, isIgnored } of refused) {
      const error = this.#services.loader.refuseToken(fault, this.client);
      if (isIgnored === true) continue;
      first ??= error;
      this.sessionResponse.clearCookieFor(error, source);
    }
    return first;
  }

  #checked({ session, refusal }: LoadResult, refusalBefore: SessionError | null): this | Promise<this> {
    this.csrfInUse?.checkOriginAfterRead(session ?? null);
    if (session === undefined) {
      this.sessionResponse.clearCookieFor(refusal);
      return this.#withoutSession(refusalBefore ?? refusal);
    }
    this.refusedId = null;
    this.setSession(session);
    return this.isAtRoute ? this.#admit(session) : this.#ready();
  }

  #withoutSession(refusal: SessionError | null): this {
    this.setNoSession(refusal);
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
    const { session } = this;
    if (this.csrfInUse?.isMade === true) this.csrfInUse.repeat();
    else if (this.context !== null && session !== null) this.checkCsrf();
    if (news === 'request' && this.refusal instanceof SessionSecurityError) return this.#load();
    return this.context === null || session === null ? this.#ready() : this.#admit(session);
  }

  #admit(session: Session): this | Promise<this> {
    if (this.tokenIsInCookie) this.csrf.checkToken(session);
    // A request that the CSRF check refuses renews nothing. Nor does one whose response has begun, which would have to wait for it.
    const renews = this.csrfInUse?.admitsSession !== false && this.gate?.hasBegun !== true;
    const renewal = renews ? this.#services.requestRenewal.renew(this, session) : null;
    return renewal === null ? this.#ready() : renewal.then(() => this.#ready());
  }

  // 3. Run

  /** Whether the session is loaded and admitted, so that its users need not wait. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  async current(): Promise<Session | null> {
    await this.load();
    return this.admitted();
  }

  /** A CSRF token for a page of this session; null: there is no session, or `enableCsrf` is off. @throws as `current()` */
  async csrfToken(): Promise<string | null> {
    const session = await this.current();
    return session && this.#services.csrf.issue(session.sessionId);
  }

  override adopt(issued: IssuedSession, transport: TokenSource, kind: 'new' | 'regenerated' = 'new'): LoginResult {
    this.#loading = Promise.resolve(this.#ready());
    this.isRenewed = true;
    this.rotatesAtHead = false;
    return super.adopt(issued, transport, kind);
  }

  isPassive(): boolean {
    return this.#services.requestRenewal.isPassive(this);
  }

  /** Called after the lifetime of `session` was changed. */
  async lifetimeChanged(session: Session): Promise<void> {
    if (session === this.livingSession) await this.#services.requestRenewal.lifetimeChanged(this, session);
  }

  // 4. Commit, and 5. Headers

  /** Stores what has changed. Without a response the interceptor calls it when the handler has returned. */
  get commit(): SessionCommit {
    return (this.#commit ??= new SessionCommit(this.#services, this));
  }

  /** Whether the session was used and no route has admitted it, so that its renewal is still due. */
  get needsRenewal(): boolean {
    const session = this.livingSession;
    return this.context === null && session !== null && this.#services.requestRenewal.isDue(this, session);
  }

  /** A request that another site may have sent renews nothing. */
  async renewWithoutRoute(): Promise<void> {
    try {
      this.assertMayWrite();
    } catch (error) {
      if (error instanceof SessionCsrfError) return;
      throw error;
    }
    if (this.livingSession !== null) await this.#services.requestRenewal.renew(this, this.livingSession);
  }

  /** Whether the session is to get a new id now. Not if the client has gone: it would get no token. */
  get needsRotation(): boolean {
    if (!this.rotatesAtHead || this.headersAreWritten || this.isDisconnected) return false;
    return this.livingSession !== null;
  }

  /** Behind a login that is under way, after which there is nothing to rotate. */
  rotate(): Promise<void> {
    return this.queueExchange(() => this.rotateNow());
  }

  /** The same within an exchange, which has waited for those before it. Does nothing if it is not due. */
  async rotateNow(): Promise<void> {
    const session = this.needsRotation ? this.livingSession : null;
    if (session === null) return;
    this.rotatesAtHead = false;
    await this.#services.requestRenewal.rotate(this, session);
  }
}
