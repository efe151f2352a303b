import { Injectable, Logger } from '@nestjs/common';

import { quoted } from '../errors/quoted.js';
import { SessionBackendError, SessionUsageError } from '../errors/session-errors.js';
import type { RequestClient } from '../http/client-identity.js';
import type { TokenSource } from '../options/session-options.js';
import type { NewSessionUser } from '../records/session-user.js';
import { REPLACED } from '../sessions/cross-slot-login.js';
import { authMethodsOf, type ProofOptions } from '../sessions/proof-of-identity.js';
import type { CredentialsChange, LoginResult } from '../sessions/session-results.js';
import { SessionBinding } from '../sessions/session-binding.js';
import { SessionEndings, type Ending } from '../sessions/session-endings.js';
import { SessionIssuer } from '../sessions/session-issuer.js';
import { SessionLogin, type Regeneration } from '../sessions/session-login.js';
import { Session } from '../sessions/session.js';
import { TokenTransports } from '../transports/token-transports.js';
import { AddressNotice } from './address-notice.js';
import type { LoginOptions, StartOptions } from './request-options.js';
import type { RequestSession } from './request-session.js';

const LOGOUT: Ending = { reason: 'logout', cause: 'logout', by: null };
const CREDENTIALS_CHANGED = 'credentials-changed';
/** The client has its new token, and may call again. */
const ONLY_NEW_ID =
  ' The session of the request has its new id, and other sessions of the user may still live: call credentialsChanged() again.';
const REPLACED_AT_LOGIN: Ending = { ...REPLACED, cause: 'login' };

/** What exchanges the session of a request for another one: start, login, logout, a new id or proof. Those of one request run one after the other. */
@Injectable()
export class SessionExchanges {
  readonly #addresses: AddressNotice;

  constructor(
    private readonly issuer: SessionIssuer,
    private readonly logins: SessionLogin,
    private readonly endings: SessionEndings,
    private readonly transports: TokenTransports,
    binding: SessionBinding,
  ) {
    this.#addresses = new AddressNotice(new Logger('SessionModule'), binding.bindsAddress);
  }

  /** Makes an anonymous session, or returns the one that is there, with `data` in it. */
  start(request: RequestSession, options: StartOptions): Promise<LoginResult> {
    return request.queueExchange(() => this.#start(request, options));
  }

  async #start(request: RequestSession, { data = {}, transport: requested }: StartOptions): Promise<LoginResult> {
    this.#assertOffered(requested);
    // Before it is merged: a key named __proto__, as a body may have, would become the prototype.
    this.issuer.assertData(data);
    await request.load();
    request.assertMayWrite();
    const session = request.admitted();
    if (session !== null) {
      Object.assign(session.data, data);
      // The caller gets the token, and one of the old id would soon be dead. The token of a cookie is not returned.
      if (!request.tokenIsInCookie) await request.rotateNow();
      return request.sessionResponse.resultFor(session);
    }
    const transport = this.#transportFor(request, requested);
    const eventOrigin = request.eventOrigin('start', transport);
    const created = { user: null, client: this.#clientOf(request), data };
    return request.adopt(await this.issuer.create(created, eventOrigin, request.budget), transport);
  }

  /** Exchanges the session of the request, if there is one, for one of `user`. */
  login(request: RequestSession, user: NewSessionUser, options: LoginOptions): Promise<LoginResult> {
    return request.queueExchange(() => this.#login(request, user, options));
  }

  async #login(
    request: RequestSession,
    user: NewSessionUser,
    { transport: requested, methods, ...lifetime }: LoginOptions,
  ): Promise<LoginResult> {
    this.#assertOffered(requested);
    await request.load();
    request.assertMayLogin();
    const previous = request.livingSession;
    const transport = this.#transportFor(request, requested);
    const client = this.#clientOf(request);
    const eventOrigin = request.eventOrigin('login', transport);
    const login = { user: this.issuer.newUser(user), client, lifetime, methods, origin: eventOrigin };
    await this.#endRivals(request, REPLACED_AT_LOGIN);
    await this.#endRefused(request, REPLACED_AT_LOGIN);
    return request.adopt(await this.logins.login(previous, login, request.budget), transport);
  }

  /** Ends the session of the request, also one that is refused to its client. False: there was none. */
  logout(request: RequestSession): Promise<boolean> {
    return request.queueExchange(() => this.#logout(request));
  }

  async #logout(request: RequestSession): Promise<boolean> {
    await request.load();
    request.assertMayWrite();
    const { session, refusedId } = request;
    const { token, rivalIds } = request.search;
    if (token !== null && request.tokenIsInCookie && refusedId !== null)
      request.csrf.checkTokenOfRefused(token.verified.sessionId);
    if (session === null && rivalIds !== null) request.csrf.checkOrigin(null);
    // Beside a session, if start() has made that.
    const count = await this.#endRivals(request, LOGOUT);
    const hadRefused = await this.#endRefused(request, LOGOUT);
    const hadSession = session !== null && (await this.endings.end(session, LOGOUT, request.budget));
    if (session !== null) request.ended(session);
    else if (rivalIds !== null || hadRefused) request.sessionResponse.ended();
    return count > 0 || hadRefused || hadSession;
  }

  /** Gives the session of the request a new id, and the client its token. */
  regenerate(request: RequestSession, session: Session, regeneration: Regeneration): Promise<LoginResult> {
    return request.queueExchange(() => this.#regenerate(request, session, regeneration));
  }

  async #regenerate(request: RequestSession, session: Session, regeneration: Regeneration): Promise<LoginResult> {
    request.assertMayWrite();
    const transport = request.transportFor(undefined);
    return request.adopt(await this.logins.regenerate(session, regeneration, request.budget), transport, 'regenerated');
  }

  /** Gives the session of the request a new id, and then ends all others of its user. */
  credentialsChanged(request: RequestSession): Promise<CredentialsChange> {
    return request.queueExchange(() => this.#credentialsChanged(request));
  }

  async #credentialsChanged(request: RequestSession): Promise<CredentialsChange> {
    await request.load();
    const session = request.admitted();
    const userId = session && Session.stateOf(session).userId;
    if (session === null || userId === null) {
      throw new SessionUsageError(
        'credentialsChanged() needs a request with a signed-in user. Put SessionGuard on the route, or call deleteUserSessions(userId).',
      );
    }
    const result = await this.#regenerate(request, session, {
      cause: CREDENTIALS_CHANGED,
      graceMs: 0,
      startsLineage: true,
    });
    const eventOrigin = request.eventOrigin(CREDENTIALS_CHANGED);
    const others = {
      reason: CREDENTIALS_CHANGED,
      origin: eventOrigin,
      by: null,
      except: result.session.sessionId,
    } as const;
    try {
      const tag = this.issuer.tagOfUser(userId);
      return { ...result, ended: await this.endings.endAllOfUser(userId, tag, others, request.budget) };
    } catch (error) {
      if (error instanceof SessionBackendError) error.message += ONLY_NEW_ID;
      throw error;
    }
  }

  /** Notes that the user of the session has proved their identity, under a new id. */
  reauthenticate(request: RequestSession, { methods }: ProofOptions): Promise<LoginResult> {
    return request.queueExchange(() => this.#reauthenticate(request, authMethodsOf(methods)));
  }

  async #reauthenticate(request: RequestSession, provenBy: readonly string[]): Promise<LoginResult> {
    await request.load();
    request.assertMayWrite();
    const session = request.admitted();
    if (session === null || session.isAnonymous) throw withoutUserError();
    return this.#regenerate(request, session, {
      cause: 'reauthenticated',
      graceMs: 0,
      provenBy,
      startsLineage: true,
    });
  }

  /**
   * Ends the session whose token the request carries, though it is refused to its client: who has the token may end it. Otherwise a thief who has got
   * a newer id for it, or works from the network to which it is bound, would stay signed in.
   */
  async #endRefused(request: RequestSession, ending: Ending): Promise<boolean> {
    const { refusedId } = request;
    if (refusedId === null) return false;
    const eventOrigin = request.eventOrigin(ending.cause);
    return this.endings.endById(refusedId, ending, request.budget, eventOrigin);
  }

  /** Ends the sessions that several cookies of the request name: the client has one session or none. Returns how many lived. */
  async #endRivals(request: RequestSession, ending: Ending): Promise<number> {
    const { rivalIds } = request.search;
    if (rivalIds === null) return 0;
    const eventOrigin = request.eventOrigin(ending.cause, 'cookie');
    const ends = [...rivalIds].map((id) => this.endings.endById(id, ending, request.budget, eventOrigin));
    return (await Promise.all(ends)).filter(Boolean).length;
  }

  /** @throws SessionUsageError when the options do not name `transport` */
  #assertOffered(transport: TokenSource | undefined): void {
    if (transport === undefined || this.transports.has(transport)) return;
    // In spite of its type it may be what a client has sent.
    const given: unknown = transport;
    const what = typeof given === 'string' ? quoted(given) : `a value of the type ${typeof given}`;
    throw new SessionUsageError(`The session cannot be sent by ${what}: add it to tokenSourcePriority.`);
  }

  /**
   * The transport by which the token of a new session goes.
   *
   * A browser that is made to take a cookie by another site works in the attacker's session from then on (login CSRF). So a cookie is set,
   * or the sessions of several cookies are ended, only for a same-origin request. A request with a session needs no check here: a token in
   * a header proves the origin, and one in a cookie has been checked.
   */
  #transportFor(request: RequestSession, requested: TokenSource | undefined): TokenSource {
    const transport = request.transportFor(requested);
    const { token, rivalIds } = request.search;
    if (token === null && (transport === 'cookie' || rivalIds !== null)) request.csrf.checkOrigin(null);
    return transport;
  }

  #clientOf(request: RequestSession): RequestClient {
    this.#addresses.check(request.request);
    return request.client;
  }
}

function withoutUserError(): SessionUsageError {
  return new SessionUsageError(
    'reauthenticate() needs a session with a user: put SessionGuard on the route, or call login() for a user who is not signed in.',
  );
}
