import { Injectable } from '@nestjs/common';

import type { ClientIdentity } from './http/client-identity.js';
import { CsrfTokens } from './csrf/csrf-tokens.js';
import { SessionNotFoundError } from './errors/session-errors.js';
import { originOf, UNKNOWN_CLIENT } from './events/session-event.js';
import { SessionEvents } from './events/session-events.js';
import { routeOf } from './http/route-of.js';
import { RequestServices } from './requests/request-services.js';
import type { LoginOptions, StartOptions } from './requests/request-options.js';
import { RequestSessions } from './requests/request-sessions.js';
import type { FlashMessage } from './records/flash-message.js';
import type { AnsweredSession } from './sessions/answered-session.js';
import { SessionIssuer, type IssuedSession, type SessionLifetime } from './sessions/session-issuer.js';
import { SessionLoader } from './sessions/session-loader.js';
import { SessionLogin } from './sessions/session-login.js';
import { SessionRenewal } from './sessions/session-renewal.js';
import type { SessionSummary } from './sessions/session-summary.js';
import type { NewSessionUser, SessionData } from './records/session-user.js';
import { SessionWriter, type Ending } from './sessions/session-writer.js';
import { Session } from './sessions/session.js';
import { knownIdOf, sessionOf, sparedIdOf } from './sessions/session-arguments.js';
import { assertUserId } from './sessions/user-input.js';
import { SessionStore } from './store/session-store.js';
import { isSessionId } from './tokens/session-secret.js';
import type { VerifiedToken } from './tokens/token-verifier.js';

/** What `createSession()` takes; everything may be left out. */
export interface CreateSessionOptions extends SessionLifetime, ClientIdentity {
  /** Default: none, an anonymous session. */
  readonly user?: NewSessionUser | null;
  readonly data?: Partial<SessionData>;
}

/** For the audit log of the application. */
export interface EndOptions {
  /** Who ends the session, such as the `userId` of an administrator: `by` of the `ended` event. Default: null. */
  readonly by?: string | null;
}

export interface EndAllOptions extends EndOptions {
  /** The `sessionId` of the one that stays, which is the caller's own: it never comes from a client. Default: none stays. */
  readonly except?: string;
}

/**
 * Creates, reads, changes and ends sessions. Each method may throw `SessionBackendError` (503) when the store fails or does not answer
 * within `backendTimeout`; the outcome of a write is then unknown.
 */
@Injectable()
export class SessionService {
  constructor(
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly loader: SessionLoader,
    private readonly writer: SessionWriter,
    private readonly logins: SessionLogin,
    private readonly renewal: SessionRenewal,
    private readonly events: SessionEvents,
    private readonly requests: RequestSessions,
    private readonly services: RequestServices,
    private readonly csrfTokens: CsrfTokens,
  ) {}

  /**
   * Makes a session outside of a request, or for a client that you answer yourself. In a handler `login()` and `start()` are shorter.
   *
   * @throws SessionDataError, SessionUsageError
   */
  async createSession(options: CreateSessionOptions = {}): Promise<IssuedSession> {
    return this.#logMisuse(() => this.#create(options));
  }

  async #create({ user, data, ttl, absoluteTimeout, ...client }: CreateSessionOptions): Promise<IssuedSession> {
    const owner = user === undefined || user === null ? null : this.issuer.newUser(user);
    const tag = owner ? this.issuer.tagOfUser(owner.userId) : this.issuer.newAnonymousTag();
    const content = this.issuer.newContent(this.issuer.newFacts(client, { ttl, absoluteTimeout }), owner, data);
    const draft = await this.issuer.draft(tag, content);
    const origin = originOf('created', content.facts);
    const stored = await this.issuer.create(draft, origin, this.store.newBudget());
    this.issuer.announce(stored, origin);
    return this.issuer.issue(draft, stored);
  }

  /**
   * The living session that `token` opens. One read, no write.
   *
   * @param client what the bindings, if any are on, compare
   * @throws SessionTokenError, SessionNotFoundError, SessionInvalidError, SessionSecurityError
   */
  async getSession(token: string, client: ClientIdentity = {}): Promise<Session> {
    return this.loader.load(await this.#verify(token, client), client, this.store.newBudget());
  }

  /**
   * Stores now what was changed on `session`, and only that; other requests' changes of other keys stay. Needed only for changes after
   * the first byte of a response, or outside of a request.
   *
   * @throws SessionNotFoundError when it has ended, SessionDataError, SessionConflictError
   */
  async updateSession(session: Session): Promise<void> {
    await this.#logMisuse(() => this.writer.commit(sessionOf(session), this.store.newBudget()));
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
    return this.#logMisuse(() =>
      typeof session === 'string'
        ? this.writer.update(knownIdOf(session), change, budget)
        : this.writer.updateHeld(sessionOf(session), change, budget),
    );
  }

  /** Removes the flash messages and returns them, oldest first. Of many callers at once each message goes to one. */
  async takeFlash(session: Session): Promise<FlashMessage[]> {
    return this.#logMisuse(() => this.writer.takeFlash(sessionOf(session), this.store.newBudget()));
  }

  /**
   * Ends a session, given as such or by its id, which may come from a client. What was changed before on a `session` ends with it, as at
   * `logout()`.
   *
   * @returns true: there was one; false: there was none, which is as good
   */
  async deleteSession(session: Session | string, { by = null }: EndOptions = {}): Promise<boolean> {
    const budget = this.store.newBudget();
    const ending: Ending = { reason: 'deleted', cause: 'deleted', by };
    if (session instanceof Session) return this.#end(session, () => this.writer.end(session, ending, budget));
    return isSessionId(session) && this.writer.endById(session, ending, budget);
  }

  /**
   * Logs a user out everywhere, or everywhere else. Complete: a login that runs at the same time is either ended too or listed
   * afterwards.
   *
   * @returns how many living sessions it ended
   * @throws SessionUsageError when `except` is no session id
   */
  async deleteUserSessions(userId: string, { except, by = null }: EndAllOptions = {}): Promise<number> {
    const spared = await this.#logMisuse(() => {
      assertUserId(userId);
      return sparedIdOf(except);
    });
    const kept = spared === undefined ? {} : { except: spared };
    const ended = await this.store.deleteByUser(this.issuer.tagOfUser(userId), this.store.newBudget(), kept);
    const origin = originOf('logout-everywhere', UNKNOWN_CLIENT);
    for (const sessionId of ended) {
      this.events.emit({ type: 'ended', reason: 'logout-everywhere', sessionId, userId, by, ...origin });
    }
    return ended.length;
  }

  /** A user's living sessions, the latest used first: for a page of devices. Never a token. */
  async listUserSessions(userId: string): Promise<SessionSummary[]> {
    await this.#logMisuse(() => {
      assertUserId(userId);
    });
    const all = await this.store.listByUser(this.issuer.tagOfUser(userId), this.store.newBudget());
    return all
      .filter((stored) => this.store.isAlive(stored))
      .map(({ record, content: { facts } }) => ({
        sessionId: record.id,
        createdAt: new Date(facts.createdAt),
        lastAccessed: new Date(record.lastAccessed),
        expiresAt: new Date(this.store.expiryOf(record, { facts })),
        ipAddress: facts.ipAddress,
        userAgent: facts.userAgent,
      }))
      .sort((a, b) => b.lastAccessed.getTime() - a.lastAccessed.getTime());
  }

  /** Ends a session and keeps its record until it expires, so that a later use is told apart from an unknown token. */
  async invalidateSession(session: Session, { by = null }: EndOptions = {}): Promise<boolean> {
    return this.#end(session, () => this.writer.invalidate(session, by, this.store.newBudget()));
  }

  /**
   * Gives a session a new id and token, after a change of rights for example; the old id is dead at once. Creation time and absolute
   * expiry stay. Within a request the client gets the token with the response, and `session` itself becomes the session with the new id.
   * A session that was loaded outside of a request ends instead: use the returned one.
   *
   * @throws SessionConflictError when the session was ended or exchanged meanwhile, SessionNotFoundError `SESSION_ENDED`
   */
  async regenerateSessionId(session: Session): Promise<AnsweredSession> {
    return this.#logMisuse(async () => {
      const { request } = Session.stateOf(sessionOf(session));
      if (request !== null) return request.regenerate(session);
      return { ...(await this.logins.regenerate(session, this.store.newBudget())), csrfToken: null };
    });
  }

  /**
   * Puts off the idle expiry now, due or not, and signs a new token for the same id. The older token stays good as long as the session.
   *
   * @throws as `getSession()`
   */
  async renewSession(token: string, client: ClientIdentity = {}): Promise<IssuedSession> {
    const budget = this.store.newBudget();
    const verified = await this.#verify(token, client);
    const session = await this.loader.load(verified, client, budget);
    const outcome = await this.renewal.touch(session, this.renewal.renewedTimes(session), budget);
    if (outcome === 'ended') throw new SessionNotFoundError();
    return { session, token: await this.issuer.sign(verified.claims.secret) };
  }

  /** Removes expired records where the store does not do that by itself (memory) and returns how many; elsewhere 0. */
  async clearExpiredSessions(): Promise<number> {
    return this.store.clearExpired();
  }

  /**
   * An anonymous session for the client of `request`, such as for a cart, or the one that it has, with `data` in it. The client gets the
   * token with the answer.
   *
   * @throws SessionUsageError on a route without `@UseSession()`, guard or session decorator
   * @throws SessionCsrfError when it would be answered in a cookie, and another site may have sent the request
   */
  async start(request: object, options: StartOptions = {}): Promise<AnsweredSession> {
    return this.#logMisuse(() => this.requests.existing(request).start(options), request);
  }

  /**
   * Signs `user` in: a session under a new id, bound to the client of `request`. A session that it had before is dead at once; data and
   * flash messages of an anonymous one move over unless `regenerateOnLogin` is false. Check the credentials before. A session object of
   * this request becomes the new session, and so does its `data`; nothing of another user's stays in it. A second login waits for the first.
   *
   * With the cookie transport the returned `token` is null, so that no body can leak it, and `csrfToken` is for the pages of the session.
   *
   * @throws SessionConflictError when two logins exchange one session at once, SessionDataError, SessionUsageError
   * @throws SessionCsrfError when it is answered in a cookie, and another site may have sent the request (login CSRF)
   */
  async login(request: object, user: NewSessionUser, options: LoginOptions = {}): Promise<AnsweredSession> {
    return this.#logMisuse(() => this.requests.existing(request).login(user, options), request);
  }

  /**
   * Ends the session of `request`, with what was changed on it. A change afterwards is refused with `SESSION_ENDED`. False: there was none.
   *
   * @throws SessionUsageError as `login()`
   */
  async logout(request: object): Promise<boolean> {
    return this.requests.existing(request).logout();
  }

  /** The session of `request`; null: none. @throws SessionUsageError as `login()` */
  async current(request: object): Promise<Session | null> {
    return this.requests.existing(request).optional();
  }

  /**
   * A token by which requests of a page of `session` are told from another site's; see `enableCsrf`. Another text at each call, each as good
   * for as long as the session has its id: renewal leaves it, login and regeneration end it.
   */
  csrfToken(session: Session): string {
    return this.csrfTokens.issue(sessionOf(session).sessionId);
  }

  async #verify(token: string, client: ClientIdentity): Promise<VerifiedToken> {
    const verdict = await this.services.verifier.verify(typeof token === 'string' ? token : '');
    if (!verdict.valid) throw this.loader.tokenError(verdict.fault, client);
    return verdict;
  }

  /**
   * Logs what is wrong with the arguments of `call`, or with the session in it.
   *
   * @param request where it is known
   */
  async #logMisuse<T>(call: () => T | Promise<T>, request: object | null = null): Promise<T> {
    try {
      return await call();
    } catch (error) {
      this.services.log.misuse(request && routeOf(request), error);
      throw error;
    }
  }

  /** Ends a session that the caller holds, and tells the client of it where it is that of a request. */
  async #end(session: Session, end: () => Promise<boolean>): Promise<boolean> {
    const { request } = await this.#logMisuse(() => Session.stateOf(sessionOf(session)));
    const hasEnded = await end();
    request?.ended(session);
    return hasEnded;
  }
}
