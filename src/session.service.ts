import { Injectable, type ExecutionContext } from '@nestjs/common';
import type { Observable } from 'rxjs';

import { identityOf, type ClientIdentity } from './http/client-identity.js';
import { CsrfTokens } from './csrf/csrf-tokens.js';
import { SessionConflictError, SessionNotFoundError } from './errors/session-errors.js';
import { originOf } from './events/session-event.js';
import type { LoginOptions, StartOptions } from './requests/request-options.js';
import { OneTimeValues } from './requests/one-time-values.js';
import { RequestLog } from './requests/request-log.js';
import { RequestSession } from './requests/request-session.js';
import { RequestSessions } from './requests/request-sessions.js';
import { SessionExchanges } from './requests/session-exchanges.js';
import type { FlashMessage } from './records/flash-message.js';
import type { ProofOptions } from './sessions/proof-of-identity.js';
import type { CredentialsChange, IssuedSession, LoginResult, SessionSummary } from './sessions/session-results.js';
import { LOGOUT_EVERYWHERE, SessionEndings, type Ending } from './sessions/session-endings.js';
import { SessionIssuer } from './sessions/session-issuer.js';
import type { NewSessionLifetime, SessionLifetime } from './sessions/session-lifetimes.js';
import { SessionLoader } from './sessions/session-loader.js';
import { SessionLogin } from './sessions/session-login.js';
import { SessionRenewal } from './sessions/session-renewal.js';
import type { NewSessionUser, SessionData, SessionUser } from './records/session-user.js';
import { expiryOf } from './records/stored-session.js';
import { SessionWriter } from './sessions/session-writer.js';
import { SessionSignals } from './sessions/session-signals.js';
import { Session } from './sessions/session.js';
import {
  clientIdentityOf,
  graceMsOf,
  knownIdOf,
  optionsOf,
  sessionOf,
  sparedIdOf,
} from './sessions/session-arguments.js';
import { assertUserId } from './sessions/user-input.js';
import { UserUpdates } from './sessions/user-updates.js';
import { SessionStore } from './store/session-store.js';
import type { StoreBudget } from './store/store-budget.js';
import { isSessionId } from './tokens/session-secret.js';

/** What `createSession()` takes; everything may be left out. */
export interface CreateSessionOptions extends NewSessionLifetime, ProofOptions, ClientIdentity {
  /** Default: none, an anonymous session. */
  readonly user?: NewSessionUser | null | undefined;
  /** Default: empty. */
  readonly data?: Partial<SessionData> | undefined;
}

/** Choices for a new id. */
export interface RegenerateOptions {
  /**
   * Seconds for which the old id is an alias of the session, at most 300: for requests of the client that are under way. They get the same
   * session, and no token. Default 0: it is dead at once.
   */
  readonly grace?: number | undefined;
}

/** For the audit log of the application. */
export interface EndOptions {
  /** Who ends the session, or changes its user, such as the `userId` of an administrator: `by` of the event. Default: null. */
  readonly by?: string | null | undefined;
}

/** Choices for a log-out everywhere. */
export interface EndAllOptions extends EndOptions {
  /** The `sessionId` of the one that stays, which is the caller's own: it never comes from a client. Default: none stays. */
  readonly except?: string | undefined;
}

/**
 * Creates, reads, changes and ends sessions. Each method may throw `SessionBackendError` (503) when the store fails or does not respond
 * within `backendTimeout`; the outcome of a write is then unknown. Each method that changes the session of a request may throw `SessionCsrfError`
 * (403) when that session came in a cookie, and another site may have sent the request.
 */
@Injectable()
export class SessionService {
  /** @internal Inject the service. */
  constructor(
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly loader: SessionLoader,
    private readonly writer: SessionWriter,
    private readonly logins: SessionLogin,
    private readonly renewal: SessionRenewal,
    private readonly endings: SessionEndings,
    private readonly requests: RequestSessions,
    private readonly log: RequestLog,
    private readonly exchanges: SessionExchanges,
    private readonly csrfTokens: CsrfTokens,
    private readonly userUpdates: UserUpdates,
    private readonly signals: SessionSignals,
    /** Values that are handed out once, such as the `state` of an OAuth login. */
    readonly oneTime: OneTimeValues,
  ) {}

  /** @internal What the guard works with. @throws TypeError when a test has put another object in the place of the service */
  static requestsOf(service: SessionService): RequestSessions {
    if (service.requests instanceof RequestSessions) return service.requests;
    throw new TypeError(
      'SessionGuard needs the SessionService of its module, and there is another object in its place. In a test leave it, and sign in by logIn() of nestjs-sessionx/testing.',
    );
  }

  /**
   * Makes a session outside of a request, or for a client to which you send the token yourself. In a handler `login()` and `start()` are shorter.
   *
   * @throws SessionDataError, SessionUsageError; SessionConflictError `SESSION_LIMIT` when the limit of the user rejects it
   */
  createSession(options: CreateSessionOptions = {}): Promise<IssuedSession> {
    return this.log.loggingMisuse(() => this.#create(optionsOf(options)));
  }

  #create(options: CreateSessionOptions): Promise<IssuedSession> {
    const { user, data, ttl, absoluteTimeout, remember, methods } = options;
    const client = clientIdentityOf(options);
    const owner = user === undefined || user === null ? null : this.issuer.newUser(user);
    const lifetime = { ttl, absoluteTimeout, remember };
    const created = { user: owner, client, lifetime, methods, data };
    return this.issuer.create(created, originOf('created', identityOf(client)), this.store.newBudget());
  }

  /**
   * The living session that `token` opens. One read, and one more for each newer id; no write, unless `onReuse` ends it.
   *
   * @param client what the bindings, if any are on, compare
   * @throws SessionTokenError, SessionNotFoundError, SessionInvalidError, SessionSecurityError; SessionUsageError when `client` is wrong
   */
  async getSession(token: string, client: ClientIdentity = {}): Promise<Session> {
    const { session } = await this.#loadByText(token, client, this.store.newBudget());
    return session;
  }

  /**
   * Stores now what was changed on `session`, and only that; other requests' changes of other keys stay. Needed only for changes after
   * the first byte of a response, or outside of a request.
   *
   * @throws SessionNotFoundError when it has ended, SessionDataError, SessionConflictError
   */
  async updateSession(session: Session): Promise<void> {
    await this.log.loggingMisuse(() => this.writer.commit(sessionOf(session), this.store.newBudget()));
  }

  /**
   * Changes a session by compare-and-set, for what depends on the value before: a counter, a list. What changes nothing is not written.
   *
   * @param session the session, which shows the result afterwards, and what was changed on it before is stored too; or the id of one
   * @param change changes the session that it is given. It runs again whenever another writer was faster, so it must be pure otherwise.
   * @returns the session as stored: `session`, or another object for an id
   * @throws SessionNotFoundError, SessionDataError, SessionConflictError
   */
  async update(session: Session | string, change: (session: Session) => void): Promise<Session> {
    const budget = this.store.newBudget();
    return this.log.loggingMisuse(() =>
      typeof session === 'string'
        ? this.writer.update(knownIdOf(session), change, budget)
        : this.writer.updateHeld(sessionOf(session), change, budget),
    );
  }

  /**
   * Removes the flash messages and returns them, oldest first. Of many callers at once each message goes to one.
   *
   * @throws SessionNotFoundError `SESSION_ENDED`, SessionConflictError; SessionUsageError when `session` is none
   */
  async takeFlash(session: Session): Promise<FlashMessage[]> {
    return this.log.loggingMisuse(() => this.writer.takeFlash(sessionOf(session), this.store.newBudget()));
  }

  /**
   * Ends a session, given as such or by its id, which may come from a client. What was changed before on a `session` ends with it, as at
   * `logout()`.
   *
   * @returns true: there was one; false: there was none, which is as good
   * @throws SessionUsageError when `session` is neither
   */
  async deleteSession(session: Session | string, options: EndOptions = {}): Promise<boolean> {
    const { by = null } = await this.log.loggingMisuse(() => optionsOf(options));
    const budget = this.store.newBudget();
    const ending: Ending = { reason: 'deleted', cause: 'deleted', by };
    if (typeof session !== 'string') {
      const held = this.#checked(session);
      return this.#end(held, () => this.endings.end(held, ending, budget));
    }
    if (isSessionId(session)) return this.endings.endById(session, ending, budget);
    this.log.noSessionId();
    return false;
  }

  /**
   * Logs a user out everywhere, or everywhere else. Complete: a login that runs at the same time is either ended too or listed
   * afterwards. It spares `except`; another log-out everywhere that runs at the same time, or failed before, may still end that.
   *
   * @returns how many living sessions it ended
   * @throws SessionDataError when `userId` is none; SessionUsageError when `except` is no session id
   */
  async deleteUserSessions(userId: string, options: EndAllOptions = {}): Promise<number> {
    const ending = await this.log.loggingMisuse(() => {
      assertUserId(userId);
      const { except, by = null } = optionsOf(options);
      return { ...LOGOUT_EVERYWHERE, by, except: sparedIdOf(except) };
    });
    return this.endings.endAllOfUser(userId, this.issuer.tagOfUser(userId), ending, this.store.newBudget());
  }

  /**
   * Changes the user in all living sessions of a user: roles, permissions, a lock, the e-mail address. Change your database first: what logs in
   * from then on brings its own user. Logins that have begun before are found too, by a second look after `backendTimeout`, so it takes that
   * long. Then no session is left in which `change` was not made.
   *
   * Requests that are running keep the user that they have read. They store none of its old fields, only those that they change themselves.
   *
   * @param change changes the user that it is given. It may run several times, so it must be pure otherwise, must not be async, and should set
   * values rather than count. It must not change `userId`.
   * @returns how many sessions were changed
   * @throws SessionBackendError, SessionConflictError, SessionDataError: the message tells how many were changed; call it again.
   * SessionUsageError, and whatever `change` throws
   */
  async updateUserSessions(
    userId: string,
    change: (user: SessionUser) => void,
    options: EndOptions = {},
  ): Promise<number> {
    return this.log.loggingMisuse(() => {
      assertUserId(userId);
      const { by = null } = optionsOf(options);
      return this.userUpdates.run({ userId, tag: this.issuer.tagOfUser(userId), change, by });
    });
  }

  /**
   * A user's living sessions, the latest used first: for a page of devices. Never a token.
   *
   * @throws SessionDataError when `userId` is none
   */
  async listUserSessions(userId: string): Promise<SessionSummary[]> {
    await this.log.loggingMisuse(() => {
      assertUserId(userId);
    });
    const all = await this.store.listByUser(this.issuer.tagOfUser(userId), this.store.newBudget());
    return all
      .filter((stored) => this.store.isAlive(stored))
      .map(({ record, content: { metadata } }) => ({
        sessionId: record.id,
        createdAt: new Date(metadata.createdAt),
        lastAccessed: new Date(record.lastAccessed),
        expiresAt: new Date(expiryOf(record, metadata)),
        ipAddress: metadata.ipAddress,
        userAgent: metadata.userAgent,
        isRemembered: metadata.isRemembered,
      }))
      .sort((a, b) => b.lastAccessed.getTime() - a.lastAccessed.getTime());
  }

  /**
   * Ends a session and keeps its record until it expires, so that a later use can be distinguished from an unknown token.
   *
   * @returns false: it had ended before
   * @throws SessionUsageError when `session` is none
   */
  async invalidateSession(session: Session, options: EndOptions = {}): Promise<boolean> {
    const { by = null } = await this.log.loggingMisuse(() => optionsOf(options));
    return this.#end(session, () => this.endings.invalidate(session, by, this.store.newBudget()));
  }

  /**
   * Gives a session a new id and token, after a change of rights for example. The old id is dead at once, unless there is a `grace`. Creation
   * time and absolute expiry stay. Within a request the client gets the token with the response, and `session` itself becomes the session with the new id.
   * A session that was loaded outside of a request ends instead: use the returned one.
   *
   * @throws SessionConflictError when the session was ended or exchanged meanwhile, or its client has a token of an old id
   * @throws SessionNotFoundError `SESSION_ENDED`, SessionUsageError when the backend cannot keep the old id, or `grace` is none
   */
  async regenerateSessionId(session: Session, options: RegenerateOptions = {}): Promise<LoginResult> {
    return this.log.loggingMisuse(async () => {
      const regeneration = { cause: 'regenerated', graceMs: graceMsOf(options) } as const;
      const request = RequestSession.of(sessionOf(session));
      if (request !== null) return this.exchanges.regenerate(request, session, regeneration);
      return { ...(await this.logins.regenerate(session, regeneration, this.store.newBudget())), csrfToken: null };
    });
  }

  /**
   * Puts off the idle expiry now, due or not, and signs a new token for the same id. The older token stays good as long as the session.
   *
   * @throws as `getSession()`; SessionConflictError for a token of an id that the session no longer has
   */
  async renewSession(token: string, client: ClientIdentity = {}): Promise<IssuedSession> {
    const budget = this.store.newBudget();
    const { session, token: verified } = await this.#loadByText(token, client, budget);
    if (Session.stateOf(session).clientHasOldId)
      throw new SessionConflictError('The session has a newer id: use its token.');
    const outcome = await this.renewal.touch(session, this.renewal.renewedTimes(session), budget);
    if (outcome === 'ended') throw new SessionNotFoundError();
    const { absoluteExpiresAt } = Session.stateOf(session).metadata;
    return { session, token: await this.issuer.sign(verified.claims.secret, absoluteExpiresAt) };
  }

  /**
   * Changes how long a living session lasts, by compare-and-set. Both lifetimes count from this call, which is a use of the session: from now on
   * it ends after `ttl` seconds without use, and `absoluteTimeout` seconds from now in any case. What is left out stays. Within a request a
   * cookie that outlives the browser goes out anew. `session.expiresAt` shows the result.
   *
   * No `absoluteTimeout` makes a session last longer than that of its class in the options, counted from its creation.
   *
   * @param session its unstored changes stay, and are stored as usual
   * @param lifetime seconds; `absoluteTimeout: null` is no limit
   * @throws SessionNotFoundError `SESSION_ENDED`, SessionConflictError
   * @throws SessionUsageError when a value is wrong, longer than the options allow, or a `ttl` is longer than the session may last
   */
  async setLifetime(session: Session, lifetime: SessionLifetime): Promise<void> {
    await this.log.loggingMisuse(async () => {
      const request = RequestSession.of(sessionOf(session));
      await this.renewal.setLifetime(session, lifetime, this.store.newBudget());
      await request?.lifetimeChanged(session);
    });
  }

  /** Removes expired records where the store does not do that by itself (memory) and returns how many; elsewhere 0. */
  async clearExpiredSessions(): Promise<number> {
    return this.store.clearExpired();
  }

  /**
   * An anonymous session for the client of a request, such as for a cart, or the one that it has, with `data` in it. The client gets the
   * token with the response.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   * @throws SessionDataError, SessionUsageError
   * @throws SessionCsrfError when the token is to go in a cookie, and another site may have sent the request
   */
  async start(request: ExecutionContext | object, options: StartOptions = {}): Promise<LoginResult> {
    return this.#inRequest(request, (known) => this.exchanges.start(known, optionsOf(options)));
  }

  /**
   * Signs `user` in: a session under a new id, bound to the client of `request`. A session that it had before is dead at once; data and
   * flash messages of an anonymous one, or of one of the same user, move over unless `regenerateOnLogin` is false. Check the credentials before. A session object of
   * this request becomes the new session, and so does its `data`; nothing of another user's stays in it. A second login waits for the first.
   *
   * With the cookie transport the returned `token` is null, so that no body can leak it, and `csrfToken` is for the pages of the session.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   * @throws SessionConflictError when two logins exchange one session at once, or `SESSION_LIMIT`; SessionDataError, SessionUsageError
   * @throws SessionCsrfError when the token is to go in a cookie, and another site may have sent the request (login CSRF)
   */
  async login(
    request: ExecutionContext | object,
    user: NewSessionUser,
    options: LoginOptions = {},
  ): Promise<LoginResult> {
    return this.#inRequest(request, (known) => this.exchanges.login(known, user, optionsOf(options)));
  }

  /**
   * Notes that the user of a session has proved their identity again, for `@RequireFresh()`. Check the proof before. The session gets a new id and
   * token, and the old id is dead at once. User, data, creation time and absolute expiry stay; `authenticatedAt` is now, and `authMethods` are those
   * of this proof alone. The client gets the token with the response.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   * @throws SessionUsageError when there is no session with a user, or the methods are wrong
   * @throws SessionConflictError when the session was ended or exchanged meanwhile, or its client has a token of an old id
   * @throws SessionCsrfError when the session came in a cookie, and another site may have sent the request
   */
  async reauthenticate(request: ExecutionContext | object, options: ProofOptions = {}): Promise<LoginResult> {
    return this.#inRequest(request, (known) => this.exchanges.reauthenticate(known, optionsOf(options)));
  }

  /**
   * Ends the session of a request, with what was changed on it. A change afterwards is refused with `SESSION_ENDED`. False: there was none. A session
   * that is refused to the client, by a binding or as its id is an old one, ends too; one that was invalidated stays as it is.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   */
  async logout(request: ExecutionContext | object): Promise<boolean> {
    return this.#inRequest(request, (known) => this.exchanges.logout(known));
  }

  /**
   * To be called when the user of a request has changed their password or another credential: gives the session of the request a new id, whose
   * token the client gets, and then ends all other sessions of the user (ASVS 7.4.3). Store the new credential first: a login with the old one
   * that is still running may otherwise succeed afterwards.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   * @throws SessionUsageError when the request has no session with a user
   * @throws SessionCsrfError when the session came in a cookie, and another site may have sent the request
   * @throws SessionConflictError when the session was ended or exchanged meanwhile; then nothing else is done
   * @throws SessionBackendError: the client may have its new token by then, and the other sessions may still live. Call it again.
   */
  async credentialsChanged(request: ExecutionContext | object): Promise<CredentialsChange> {
    return this.#inRequest(request, (known) => this.exchanges.credentialsChanged(known));
  }

  /**
   * The session of a request; null: none. It works wherever a request is at hand: in guards, middleware, passport strategies, filters, and
   * after the response.
   *
   * With an `ExecutionContext`, or behind `SessionGuard` and the session decorators, the session is checked (CSRF) and renewed as there.
   * With a request before its route is known, as in a middleware, it is read only: both follow at the route, and at the latest before a
   * change is stored.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   * @throws SessionCsrfError when the route is known, the session came in a cookie, and another site may have sent the request
   */
  async current(request: ExecutionContext | object): Promise<Session | null> {
    return this.requests.of(request).current();
  }

  /**
   * The session of a request, as `SessionGuard` and `@CurrentSession()` require it: with a user or without. The CSRF check is made also where the
   * route is not known; then `@SkipCsrf()` has no effect.
   *
   * @param request the request, or the `ExecutionContext` of a guard or interceptor
   * @throws SessionCsrfError when the session came in a cookie, and another site may have sent the request
   * @throws SessionError 401 with the exact reason in `code` when there is no session; 503 when the store fails
   */
  require(request: ExecutionContext | object): Promise<Session> {
    return this.requests.loaded(request).then((loaded) => loaded.required());
  }

  /**
   * The same for a session with a user, as `@CurrentUser()` requires it.
   *
   * @throws SessionInvalidError 401 `SESSION_ANONYMOUS` when the session has no user; else as `require()`
   */
  requireUser(request: ExecutionContext | object): Promise<Session> {
    return this.requests.loaded(request).then((loaded) => loaded.requiredWithUser());
  }

  /**
   * A token that distinguishes requests of a page of `session` from those of another site; see `enableCsrf`. Another text at each call, each as good
   * for as long as the session has its id: renewal leaves it, login and regeneration end it. It returns one with `enableCsrf: false` too.
   *
   * @throws SessionUsageError when `session` is none
   */
  csrfToken(session: Session): string {
    return this.csrfTokens.issue(this.#checked(session).sessionId);
  }

  /**
   * A signal for what must not go on without the session, such as a stream: aborted when the session has expired or was ended. Its
   * `reason` is a `SessionNotFoundError`, `SESSION_ENDED` or `SESSION_EXPIRED`. A new id leaves it, except by `login()`, `reauthenticate()` and
   * `credentialsChanged()`: what was opened before these ends.
   *
   * A session of a request is watched until the response is closed. One that was loaded outside of a request is watched as long as the session or the
   * signal is referenced, or has a listener: remove the listener when you no longer need it.
   *
   * @throws SessionUsageError when `session` is none
   */
  whileAlive(session: Session): AbortSignal {
    return this.signals.whileAlive(this.#checked(session));
  }

  /**
   * Emits nothing and completes when the session has ended, as `whileAlive()`; it does not fail. For `takeUntil(…)` with `endWith(…)`. Each subscription
   * is a watch of its own, which ends with it, or with the response.
   *
   * @throws SessionUsageError when `session` is none
   */
  untilEnded(session: Session): Observable<never> {
    return this.signals.untilEnded(this.#checked(session));
  }

  /** @throws as `getSession()` */
  async #loadByText(token: string, client: ClientIdentity, budget: StoreBudget) {
    const known = await this.log.loggingMisuse(() => clientIdentityOf(client));
    return this.loader.loadByText(token, known, budget);
  }

  /** @throws SessionUsageError, which it logs, when `session` is none */
  #checked(session: Session): Session {
    try {
      return sessionOf(session);
    } catch (error) {
      this.log.misuse(null, error);
      throw error;
    }
  }

  /** Runs `use` with what is known of a request, and logs a wrong use with its route. */
  #inRequest<T>(subject: object, use: (request: RequestSession) => Promise<T>): Promise<T> {
    const request = this.requests.of(subject);
    return this.log.loggingMisuse(() => use(request), request.request);
  }

  /** Ends a session that the caller holds. If it is that of a request, the response tells the client. */
  async #end(session: Session, end: () => Promise<boolean>): Promise<boolean> {
    const request = RequestSession.of(this.#checked(session));
    const hasEnded = await end();
    request?.ended(session);
    return hasEnded;
  }
}
