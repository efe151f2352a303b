import type { ExecutionContext } from '@nestjs/common';

import type { SessionError } from '../errors/session-error.js';
import {
  SessionInvalidError,
  SessionNotFoundError,
  SessionTokenError,
  type SessionStaleError,
} from '../errors/session-errors.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import { onceClosed, type Closable } from '../http/once-closed.js';
import { hasReader } from '../http/response-reader.js';
import type { TokenSource } from '../options/session-options.js';
import type { SessionListener } from '../sessions/session-listener.js';
import type { IssuedSession, LoginResult } from '../sessions/session-results.js';
import type { SessionWriter } from '../sessions/session-writer.js';
import { Session } from '../sessions/session.js';
import type { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { Connection } from './connection.js';
import { FlashDelivery } from './flash-delivery.js';
import { KnownRequest, type KnownRequestServices } from './known-request.js';
import { LateChanges } from './late-changes.js';
import type { RequestLog } from './request-log.js';

const NO_SESSIONS: readonly Session[] = [];

/** What a {@link RequestWithSession} works with. */
export interface RequestWithSessionServices extends KnownRequestServices {
  readonly store: SessionStore;
  readonly writer: SessionWriter;
  readonly log: RequestLog;
}

/**
 * The session that a request has, which a login exchanges for another one, or the reason why it has none; the checks before it is used; and what the
 * session asks the request, as its listener.
 */
export abstract class RequestWithSession extends KnownRequest implements SessionListener {
  readonly budget: StoreBudget;
  readonly #services: RequestWithSessionServices;
  #session: Session | null = null;
  #refusal: SessionError | null = null;
  #refusedId: SessionId | null = null;
  #formerSessions: readonly Session[] = NO_SESSIONS;
  #exchangeUnderWay: Promise<void> | null = null;

  // Made at first use.
  #flash: FlashDelivery | undefined;
  #lateChanges: LateChanges | undefined;

  constructor(
    services: RequestWithSessionServices,
    request: PlatformRequest,
    context: ExecutionContext | null,
    connection: Connection | null,
  ) {
    super(services, request, context, connection);
    this.#services = services;
    this.budget = services.store.newBudget();
  }

  /** The session of this request, ended or not; null: there is none. */
  get session(): Session | null {
    return this.#session;
  }

  /** Null: there is none, or this request has ended it. */
  get livingSession(): Session | null {
    return this.#session === null || Session.stateOf(this.#session).isEnded ? null : this.#session;
  }

  /** Those that this request has ended before it got another one. */
  get formerSessions(): readonly Session[] {
    return this.#formerSessions;
  }

  /** Why there is no session; null: there is one, or no token was sent and nothing has required one. */
  protected get refusal(): SessionError | null {
    return this.#refusal;
  }

  /**
   * The id of the record of a session that is refused to this client: because of a binding, or because the session has a newer id. Null: the store has
   * no record for the token, or the session is not refused.
   */
  get refusedId(): SessionId | null {
    return this.#refusedId;
  }

  protected set refusedId(id: SessionId | null) {
    this.#refusedId = id;
  }

  protected setSession(session: Session): void {
    this.#session = session;
    this.#refusal = null;
    Session.stateOf(session).listener = this;
  }

  /** @param refusal null: no token was sent */
  protected setNoSession(refusal: SessionError | null): void {
    this.#session = null;
    this.#refusal = refusal;
    if (refusal !== null) this.sessionResponse.noteRefusedToken();
  }

  /** The session of this request, loaded; null: there is none. @throws as `admitted()`, SessionBackendError when nothing is known about it */
  abstract current(): Promise<Session | null>;

  /** The loaded session; null: there is none. @throws SessionCsrfError when the CSRF token of the request does not fit it */
  admitted(): Session | null {
    this.csrfInUse?.assertTokenPassed();
    return this.livingSession;
  }

  /**
   * The loaded session, by which its user is known: as for a write, the CSRF check is made now, if no route has made it.
   *
   * @throws the exact reason why there is none, SessionCsrfError
   */
  required(): Session {
    this.assertMayWrite();
    const session = this.livingSession;
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

  /**
   * Before the request changes something: the session may have been given out before the CSRF check, in a middleware. The check is made now,
   * if no route has made it.
   *
   * @throws SessionCsrfError
   */
  assertMayWrite(): void {
    if (!this.tokenIsInCookie) return;
    if (!this.csrf.isMade) this.checkCsrf();
    this.csrf.assertPassed();
  }

  /** The same by the headers of the browser alone: a page that was opened before another login may log in. @throws SessionCsrfError */
  assertMayLogin(): void {
    if (this.csrfInUse?.isMade !== true) this.checkCsrf();
    this.csrfInUse?.assertOriginPassed();
  }

  /** Checks the CSRF token first: a caller may pass over the refusal of the origin, or ask for the origin alone. @throws SessionCsrfError */
  protected checkCsrf(): void {
    const { token } = this.search;
    if (token?.source !== 'cookie') return;
    if (this.#session !== null) this.csrf.checkToken(this.#session);
    this.csrf.checkOrigin(token.verified.sessionId, this.#session);
  }

  /** Tasks that exchange the session wait for one another: of two logins at once, the second replaces the session of the first. */
  queueExchange<T>(task: () => Promise<T>): Promise<T> {
    const isLate = this.gate?.hasBegun === true;
    const run = (): Promise<T> => {
      this.isLate = isLate;
      return task();
    };
    const own = this.#exchangeUnderWay === null ? run() : this.#exchangeUnderWay.then(run);
    const ended = (): void => {
      if (this.#exchangeUnderWay === exchanges) this.#exchangeUnderWay = null;
    };
    const exchanges = own.then(ended, ended);
    this.#exchangeUnderWay = exchanges;
    return own;
  }

  /** Resolves when logins and the like, for which no caller may have waited, have ended; null: none is under way. */
  get exchangeUnderWay(): Promise<void> | null {
    return this.#exchangeUnderWay;
  }

  /** Makes `session` the session of this request, and sends its token to the client. */
  adopt({ session, token }: IssuedSession, transport: TokenSource, kind: 'new' | 'regenerated' = 'new'): LoginResult {
    if (this.#session !== null && this.#session !== session) {
      Session.stateOf(this.#session).left();
      this.#formerSessions = [...this.#formerSessions, this.#session];
    }
    this.setSession(session);
    if (this.tokenIsInCookie) this.csrf.replaced();
    return this.sessionResponse.give(session, token, transport, kind);
  }

  /** Called after this request has ended `session`. */
  ended(session: Session): void {
    if (session !== this.#session) return;
    this.#refusal = new SessionNotFoundError('The session was ended by this request.');
    this.sessionResponse.ended();
  }

  /**
   * Called when another client has ended `session`. The cookie stays: it was good when the request came, so the browser may have got a new one since, by
   * a login in another tab. The next page clears it, if it is dead.
   */
  lost(error: SessionError, { sessionId }: Session): void {
    this.#refusal = error;
    this.sessionResponse.noteRefusedToken();
    this.report(error, sessionId);
  }

  /** The one-time value of `name`, which is gone then; null: there is none, no session, or no user sees the response. */
  takeOneTime(name: string): Promise<unknown> | null {
    const session = this.admitted();
    if (session === null || !this.prepareShownOnce()) return null;
    return this.#services.writer.takeOneTime(session, name, this.budget);
  }

  /** Called when the proof of identity of `session` does not suffice for the route. */
  stale(error: SessionStaleError, { sessionId, user, authenticatedAt, authMethods }: Session): void {
    this.#services.rejections.stale(error, this.client, {
      sessionId,
      userId: user?.userId ?? null,
      authenticatedAt: authenticatedAt?.getTime() ?? null,
      authMethods,
    });
    this.sessionResponse.requireProof(error.required.within);
  }

  // What the session asks its listener, or notifies it of

  beforeWrite(): void {
    this.assertMayWrite();
  }

  accessed(): void {
    if (this.gate === null || this.gate.hasBegun || this.#lateChanges?.areStored === true) this.lateChanges.expect();
  }

  abstract isPassive(): boolean;

  isRecent(): boolean {
    return this.gate?.hasBegun === false;
  }

  /**
   * Marks the response as one that no cache may keep.
   *
   * @returns whether the user sees it: not for `HEAD`, a prefetch, or a background request of another site
   */
  protected prepareShownOnce(): boolean {
    this.sessionResponse.forbidCaching();
    const isCrossSite = this.sessionResponse.transport === 'cookie' && this.#services.csrf.isCrossSite(this.request);
    return hasReader(rawRequestOf(this.request), isCrossSite);
  }

  /** The same, except that a request of another site may be one for which the handler calls `consume()`: the way back of an OAuth login. */
  prepareOneTime(): boolean {
    this.sessionResponse.forbidCaching();
    return hasReader(rawRequestOf(this.request), false);
  }

  prepareFlash(): boolean {
    if (this.gate === null || !this.prepareShownOnce()) return false;
    if (this.#session !== null) this.flash.watch(this.#session);
    return true;
  }

  whenClosed(callback: () => void): (() => void) | null {
    const { socket } = rawRequestOf(this.request) as { readonly socket?: Closable };
    const source = this.gate?.response ?? socket;
    return source === undefined ? null : onceClosed(source, callback);
  }

  misused(error: Error): void {
    this.#services.log.misuse(this.route, error);
  }

  /** The flash messages on their way to the client. */
  get flash(): FlashDelivery {
    return (this.#flash ??= new FlashDelivery(this.#services, this));
  }

  get flashInUse(): FlashDelivery | undefined {
    return this.#flash;
  }

  get lateChanges(): LateChanges {
    return (this.#lateChanges ??= new LateChanges(this, () => {
      if (this.hasResponse) this.#services.log.lateChange(this.route);
      else this.#services.log.changeOutsideOfMessage(this.route);
    }));
  }
}
