import type { ServerResponse } from 'node:http';

import { GraphqlSessionError } from '../contexts/graphql-error.js';
import { nameOf } from '../errors/message-of.js';
import { isRefusal, SessionError } from '../errors/session-error.js';
import type { GateOwner, ReplacementResponse } from '../http/gate-owner.interface.js';
import { FIRST_ERROR_STATUS, OK } from '../http/http-status.js';
import { INTERNAL_ERROR_RESPONSE } from '../http/response-gate.js';
import type { Vary } from '../http/vary.js';
import type { SessionEndings } from '../sessions/session-endings.js';
import type { SessionWriter } from '../sessions/session-writer.js';
import { Session } from '../sessions/session.js';
import type { SessionStore } from '../store/session-store.js';
import type { FlashDelivery } from './flash-delivery.js';
import { isChanged } from './late-changes.js';
import type { RequestLog } from './request-log.js';
import type { RequestWithSession } from './request-with-session.js';

/** What a {@link SessionCommit} works with. */
export interface CommitServices {
  readonly store: SessionStore;
  readonly writer: SessionWriter;
  readonly endings: SessionEndings;
  readonly log: RequestLog;
}

/** The request whose sessions are stored. */
export interface CommittedRequest extends RequestWithSession {
  /** Whether the use of the session is still to be noted, because no route has admitted it. */
  readonly needsRenewal: boolean;
  renewWithoutRoute(): Promise<void>;
  /** Whether the session is to get a new id before the head, which brings its token. */
  readonly needsRotation: boolean;
  /** A failure is logged, and the client keeps its token. */
  rotate(): Promise<void>;
}

/** Stores what a request has changed in its session, before the first byte of the response. */
export class SessionCommit implements GateOwner {
  /** A failed write may have an unknown outcome, so the error response that follows does not try it again; null: none has failed. */
  #failure: { readonly error: unknown } | null = null;
  /** Settles when the reply that the handler of a message has made, and that waits for the commit, has left or has failed; null: none waits. */
  #reply: Promise<void> | null = null;

  constructor(
    private readonly services: CommitServices,
    private readonly request: CommittedRequest,
  ) {}

  needsCommit(status: number): boolean {
    // Whatever the application makes of a failed commit, it must not look like a success.
    if (this.#failure !== null) return status < FIRST_ERROR_STATUS;
    const { session, sessionResponseInUse, flashInUse, needsRenewal, needsRotation, formerSessions, exchangeUnderWay } =
      this.request;
    // A timeout may send its response while a login is in the store: the client is to get the token.
    if (exchangeUnderWay !== null) return true;
    if (session === null) return false;
    if (needsRenewal || needsRotation || sessionResponseInUse?.renewsCookie === true) return true;
    if (hasChanges(session) || flashInUse?.loses(session, status) === true) return true;
    return formerSessions.some(hasChanges);
  }

  async commit(status: number): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    while (this.request.exchangeUnderWay !== null) await this.request.exchangeUnderWay;
    await this.commitChanges(status);
    if (this.request.needsRenewal) await this.request.renewWithoutRoute();
    // Last, so that nothing can keep the token from the client: its grace has begun.
    if (this.request.needsRotation) await this.request.rotate();
    if (this.request.session !== null && this.request.sessionResponseInUse?.renewsCookie === true) {
      await this.#confirmRenewal(this.request.session);
    }
  }

  /**
   * Stores what has changed, if anything has. After a failure it does nothing more.
   *
   * @param status that of the response, if it is known; flash messages that it does not deliver are put back
   * @throws SessionError when that fails, and its outcome may be unknown. The token on its way is withdrawn, and a session that this request
   * has made is ended
   */
  async commitChanges(status = OK): Promise<void> {
    if (this.#failure !== null) return;
    const { session, formerSessions, flashInUse } = this.request;
    if (session !== null && flashInUse?.loses(session, status) === true) await flashInUse.putBack(session);
    try {
      for (const former of formerSessions) await this.#commitOne(former);
      if (session !== null) await this.#commitOne(session);
    } catch (error) {
      this.#failure = { error };
      await this.#takeBackToken(isRefusal(error));
      throw error;
    }
  }

  async #commitOne(session: Session): Promise<void> {
    try {
      await this.services.writer.commit(session, this.request.budget);
    } catch (error) {
      if (isRefusal(error)) this.request.lost(error, session);
      throw error;
    }
  }

  /**
   * The client is told that its login failed, so it gets no token; and the session is ended, because it would count against the user's limit.
   * A regenerated session that may live keeps its token: the client could not use it otherwise.
   */
  async #takeBackToken(sessionHasEnded: boolean): Promise<void> {
    const { sessionResponseInUse, headersAreWritten, livingSession, budget } = this.request;
    const kind = sessionResponseInUse?.outgoingKind ?? null;
    const hasNewId = kind === 'regenerated' || kind === 'rotated';
    if (kind === null || headersAreWritten || (hasNewId && !sessionHasEnded)) return;
    sessionResponseInUse?.withdrawToken();
    if (kind !== 'renewed' && kind !== 'rotated' && livingSession !== null)
      await this.services.endings.abandon(livingSession, budget);
  }

  /**
   * Stores what a handler has changed before it threw `error`, as if it had sent the error itself. The client is told `error`, even if the
   * commit fails too.
   */
  async commitAfter(error: unknown): Promise<void> {
    const { log } = this.services;
    log.misuse(this.request.route, error);
    if (this.#reply !== null) await this.#reply;
    await (this.#flashOfMessage ?? this.request.flashInUse)?.handlerThrew();
    try {
      await this.commitChanges();
    } catch (commitError) {
      log.notStored(this.request.route, commitError, `the handler threw ${nameOf(error)}`);
    }
  }

  /**
   * Called when the result of the handler is not awaited any more: it has returned, or its client has gone and what it returns is dropped. Stores what a response
   * that is still to come does not store.
   */
  handlerEnds(): void {
    const { session, hasResponse, gate, clientHasGone } = this.request;
    if (clientHasGone) this.request.lateChanges.storeBy(() => this.#storeLate());
    if (session === null || (hasResponse && !clientHasGone && gate?.hasBegun !== true)) return;
    if (clientHasGone && !hasResponse) void this.#storeLate();
    else if (isChanged(session)) void this.#commitAlone();
  }

  /** Called where the handler of a message runs on though its client has left: what it does until it is through is stored too. */
  handlerRunsOn(): void {
    if (!this.request.clientHasGone) return;
    const { lateChanges } = this.request;
    lateChanges.storeBy(() => this.#storeLate());
    lateChanges.expect();
    void this.#storeLate();
  }

  async #storeLate(): Promise<void> {
    await this.#commitAlone();
    if (this.request.session !== null) await this.#flashOfMessage?.putBack(this.request.session);
  }

  /** Called when the reply to a message waits until `stored`. */
  replyWaitsFor(stored: Promise<void>): void {
    this.#reply = stored.catch(() => undefined);
  }

  /** Called when the reply to a message leaves: it brings the flash messages that the handler has taken. */
  replyLeaves(): void {
    const { session, clientHasGone } = this.request;
    if (session !== null && this.#isOfMessage && !clientHasGone) Session.stateOf(session).flash.delivered();
  }

  /** Of one message: of a session that was asked for by a socket with several, it is not known which of them has taken flash messages. */
  get #isOfMessage(): boolean {
    return !this.request.hasResponse && this.request.context !== null;
  }

  /** Those of a response are put back by its gate. */
  get #flashOfMessage(): FlashDelivery | null {
    return this.#isOfMessage ? this.request.flash : null;
  }

  async #commitAlone(): Promise<void> {
    this.request.budget.renew();
    try {
      await this.commitChanges();
    } catch (error) {
      this.services.log.notStored(this.request.route, error, 'no response waits for them');
    }
  }

  /**
   * While the handler ran, another request may have given the browser the cookie of a new session, which a renewal of this one would
   * overwrite. If that is not known, a renewed cookie is not sent, as the next use of the session renews it.
   */
  async #confirmRenewal({ sessionId }: Session): Promise<void> {
    const { store, log } = this.services;
    const { sessionResponseInUse, budget } = this.request;
    try {
      const stored = await store.read(sessionId, budget);
      if (stored !== null && store.isAlive(stored)) return;
    } catch (error) {
      log.cookieNotRenewed(error);
    }
    sessionResponseInUse?.withdrawToken();
  }

  varyAlone(status: number): Vary | null {
    return this.request.varyAlone(status);
  }

  writeHeaders(response: ServerResponse): void {
    this.request.writeHeaders(response);
  }

  /** A response that is an error already stays as it is, because its reader has to know what went wrong first. */
  replacement(error: unknown, status: number): ReplacementResponse | null {
    const { log } = this.services;
    if (status >= FIRST_ERROR_STATUS) {
      log.notStored(this.request.route, error, `the response is ${status}`);
      return null;
    }
    log.replaced(this.request.route, error);
    return error instanceof SessionError
      ? { status: error.getStatus(), body: this.#bodyFor(error) }
      : INTERNAL_ERROR_RESPONSE;
  }

  #bodyFor(error: SessionError): object {
    if (this.request.context?.getType<string>() !== 'graphql') return error.getResponse() as object;
    const { message, extensions } = new GraphqlSessionError(error);
    return { errors: [{ message, extensions }] };
  }

  /** A handler may keep a part of the session and change it without notice, so streams are looked at when they end. */
  streamEnds(): void {
    const { session, lateChanges } = this.request;
    if (session !== null && isChanged(session)) lateChanges.expect();
  }

  ignored(error: Error): void {
    this.services.log.secondResponse(this.request.route, error);
  }

  broken(error: unknown): void {
    this.services.log.notSent(this.request.route, error);
  }
}

function hasChanges(session: Session): boolean {
  return Session.stateOf(session).hasChanges();
}
