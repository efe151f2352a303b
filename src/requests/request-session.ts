import type { ServerResponse } from 'node:http';

import type { ClientIdentity } from '../binding/session-binding.js';
import { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError, SessionTokenError, SessionUsageError } from '../errors/session-errors.js';
import type { TokenSource } from '../options/session-options.js';
import type { FlashMessage } from '../sessions/flash-message.js';
import type { IssuedSession, SessionLifetime } from '../sessions/session-issuer.js';
import { isRefusal } from '../sessions/session-loader.js';
import type { NewSessionUser, SessionData } from '../sessions/session-user.js';
import { Session } from '../sessions/session.js';
import { toSessionUser } from '../sessions/user-input.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import type { PlatformRequest, PlatformResponse } from './http-messages.js';
import { rawRequestOf, rawResponseOf } from './http-messages.js';
import type { RequestServices } from './request-services.js';
import { ResponseHold, type HeldFor, type ReplacementResponse } from './response-hold.js';
import { AnswerHeaders } from './answer-headers.js';

const FIRST_ERROR_STATUS = 400;

/** Choices for one login. */
export interface LoginOptions extends SessionLifetime {
  /** How the token is given to the client. Default: the way the arriving session came, else the first of `tokenSourcePriority`. */
  readonly transport?: TokenSource;
}

/**
 * All that one request has to do with sessions: the token in it, the one load, the renewal, the changes, the commit and the headers of the
 * answer. Guard, interceptor, decorators, `login` and `logout` are a few lines each on top of it.
 */
export class RequestSession implements HeldFor {
  readonly #services: RequestServices;
  readonly #request: PlatformRequest;
  readonly #budget: StoreBudget;
  readonly #answer: AnswerHeaders;
  #loading: Promise<void> | undefined;
  #starting: Promise<Session> | undefined;
  #session: Session | null = null;
  #source: TokenSource | null = null;
  /** Why there is no session: no token, or a refusal. */
  #refusal: SessionError | null = null;
  /** The outcome of a failed write may be unknown, so it is not tried again by the error response that follows; null: none has failed. */
  #commitError: { readonly error: unknown } | null = null;

  constructor(services: RequestServices, request: PlatformRequest, response: PlatformResponse) {
    this.#services = services;
    this.#request = request;
    this.#budget = services.store.newBudget();
    this.#answer = new AnswerHeaders(services.transports);
    new ResponseHold(rawResponseOf(response), this);
  }

  /** The session of this request; null: there is none. @throws SessionBackendError when that is not known */
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
  async start(data: Partial<SessionData>): Promise<{ session: Session; token: string | null }> {
    const session = (await this.optional()) ?? (await (this.#starting ??= this.#startNew(data)));
    Object.assign(session.data, data);
    return { session, token: this.#answer.token };
  }

  async #startNew(data: Partial<SessionData>): Promise<Session> {
    const { issuer, events } = this.#services;
    const content = issuer.newContent(issuer.newFacts(this.#client(), {}), null, data);
    const issued = await issuer.create(await issuer.draft(issuer.newAnonymousTag(), content), this.#budget);
    events.emit({ type: 'created', sessionId: issued.session.sessionId, userId: null });
    this.#adopt(issued, this.#source ?? this.#services.transports.preferred);
    return issued.session;
  }

  /** Exchanges whatever session there is for one of `user`. */
  async login(user: NewSessionUser, { transport, ...lifetime }: LoginOptions): Promise<IssuedSession> {
    const { transports, logins } = this.#services;
    if (transport !== undefined && !transports.has(transport)) {
      throw new SessionUsageError(`login() cannot answer by '${transport}': add it to tokenSourcePriority.`);
    }
    const previous = await this.optional();
    const login = { user: toSessionUser(user), client: this.#client(), lifetime };
    const issued = await logins.login(previous, login, this.#budget);
    this.#adopt(issued, transport ?? this.#source ?? transports.preferred);
    return issued;
  }

  /** Ends the session of this request, and takes back a token that was prepared for the answer. False: there was none. */
  async logout(): Promise<boolean> {
    const session = await this.optional();
    if (session === null) return false;
    const outcome = await this.#services.store.delete(session.sessionId, this.#budget);
    this.#session = null;
    this.#starting = undefined;
    this.#refuse(new SessionNotFoundError('The session was logged out by this request.'));
    this.#answer.withdrawToken();
    if (outcome === 'missing') return false;
    const { sessionId, user } = session;
    this.#services.events.emit({ type: 'ended', reason: 'logout', sessionId, userId: user?.userId ?? null });
    return true;
  }

  /** A new id for the session of this request; the client is given its token. */
  async regenerate(session: Session): Promise<IssuedSession> {
    const issued = await this.#services.logins.regenerate(session, this.#budget);
    this.#adopt(issued, this.#source ?? this.#services.transports.preferred);
    return issued;
  }

  /** The messages of the session, each handed out once; none without a session. */
  async takeFlash(): Promise<FlashMessage[]> {
    const session = await this.optional();
    return session === null ? [] : this.#services.writer.takeFlash(session, this.#budget);
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
    this.#answer.write(response);
  }

  replacement(error: unknown): ReplacementResponse {
    this.#answer.withdrawToken();
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
    const verified = await this.#findToken();
    if (verified === null) return;
    try {
      this.#session = await this.#services.loader.load(verified, this.#client(), this.#budget);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(error);
      return;
    }
    Session.stateOf(this.#session).request = this;
    const renewed = await this.#touch(this.#session);
    if (renewed || verified.outdated) await this.#renewToken(verified);
  }

  /** The first token that verifies. One that does not, or cannot be read, lets the next source have its turn. */
  async #findToken(): Promise<VerifiedToken | null> {
    const { transports, verifier, loader } = this.#services;
    const request = rawRequestOf(this.#request);
    for (const source of transports.sources) {
      const reading = transports.of(source).read(request);
      if (reading.found === 'nothing') continue;
      if (reading.found === 'fault') {
        this.#refuse(loader.tokenError(reading.code, this.#client()));
        // Two tokens in one place are an attack or a bug; no other place makes up for it.
        if (reading.code === 'TOKEN_AMBIGUOUS') return null;
        continue;
      }
      const pending = verifier.verify(reading.token);
      const verdict = pending instanceof Promise ? await pending : pending;
      if (verdict.valid) {
        this.#source = source;
        this.#answer.token = reading.token;
        return verdict;
      }
      this.#refuse(loader.tokenError(verdict.fault, this.#client()));
    }
    return null;
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

  async #renewToken({ claims }: VerifiedToken): Promise<void> {
    const { issuer, logger } = this.#services;
    try {
      const token = await issuer.sign(claims.secret);
      if (this.#source !== null) this.#answer.giveToken(token, this.#source);
    } catch (error) {
      logger.warn(`A token was not signed anew, the older one stays good: ${messageOf(error)}`);
    }
  }

  #adopt({ session, token }: IssuedSession, source: TokenSource): void {
    this.#session = session;
    this.#source = source;
    this.#refusal = null;
    this.#answer.tokenWasRefused = false;
    this.#loading = Promise.resolve();
    Session.stateOf(session).request = this;
    this.#answer.giveToken(token, source);
  }

  #refuse(error: SessionError): void {
    this.#refusal ??= error;
    this.#answer.tokenWasRefused = true;
  }

  #ended(error: SessionError, session: Session): void {
    this.#session = null;
    this.#refuse(error);
    this.#answer.withdrawToken();
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
