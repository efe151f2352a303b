import type { ExecutionContext } from '@nestjs/common';

import type { Clock } from '../clock.js';
import type { SessionError } from '../errors/session-error.js';
import { isClosed, onceClosed } from '../http/once-closed.js';
import type { ContextRequest } from '../options/context-reader.interface.js';
import type { TokenSource } from '../options/session-options.js';
import type { StoredSession } from '../records/stored-session.js';
import type { IssuedSession, LoginResult } from '../sessions/session-results.js';
import type { KnownId, SessionSuccessors } from '../sessions/session-successors.js';
import { Session } from '../sessions/session.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import type { Connection } from './connection.js';
import { RequestSession, type RequestSessionServices } from './request-session.js';
import type { TokenSearch } from './token-finder.js';

/** What a {@link MessageSession} works with. */
export interface MessageSessionServices extends RequestSessionServices {
  readonly clock: Clock;
  readonly successors: SessionSuccessors;
  /** Milliseconds for which the messages of a connection share one look-up. */
  readonly sharedForMs: number;
}

/**
 * The life of one message's session: of a connection, or of a request without a response. It differs from that of a request in its end: an interceptor
 * stores the changes, and no response carries a token, so the caller of `login()` gets it.
 */
export class MessageSession extends RequestSession {
  readonly #services: MessageSessionServices;
  readonly #connection: Connection;

  /** @param context null: not a message, but the connection itself, by its socket */
  constructor(services: MessageSessionServices, connection: Connection, context: ExecutionContext | null) {
    super(services, connection.request, context, connection);
    this.#services = services;
    this.#connection = connection;
  }

  /** The handshake has one path for all messages. */
  override get route(): string {
    return this.context === null ? 'A connection' : `${this.context.getClass().name}.${this.context.getHandler().name}`;
  }

  /** Whether what a reader has found is about this message. */
  isOpenedBy(found: Pick<ContextRequest, 'request' | 'token'>): boolean {
    return this.#connection.isOpenedBy(found);
  }

  protected override findToken(): TokenSearch | Promise<TokenSearch> {
    return this.#connection.search(this.#services.finder);
  }

  protected override readStored(
    token: VerifiedToken,
    use: (stored: StoredSession | null) => this | Promise<this>,
  ): Promise<this> {
    const { clock, sharedForMs } = this.#services;
    const { search } = this;
    const now = clock.now();
    const recent = sharedForMs > 0 ? this.#connection.recent(search, now - sharedForMs) : null;
    return this.#readKnown(token, recent, use).then((loaded) => {
      const { session } = this;
      // It may not have the newer token, as the client has not.
      if (session !== null && session.sessionId !== token.sessionId) Session.stateOf(session).clientHasOldId = true;
      this.#connection.lookedUp(search, session, recent === null ? now : null);
      return loaded;
    });
  }

  /** @param recent what another message has read a moment ago; null: nothing */
  #readKnown(
    token: VerifiedToken,
    recent: StoredSession | null,
    use: (stored: StoredSession | null) => this | Promise<this>,
  ): Promise<this> {
    if (recent !== null) return Promise.resolve(recent).then(use);
    const known = this.#connection.knownBy(this.search);
    if (known === null) return super.readStored(token, use);
    const { store } = this.#services;
    return store.read(known.id, this.budget, (stored) => {
      if (stored !== null && store.isAlive(stored)) return use(stored);
      return this.#presentOf(known).then((present) => use(present ?? stored));
    });
  }

  /**
   * A new id that the session has got elsewhere keeps the connection. Only where a message has had this session before: at a handshake an old id
   * opens nothing.
   */
  async #presentOf(known: KnownId): Promise<StoredSession | null> {
    const present = await this.#services.successors.successorOf(known, this.budget);
    if (present !== null) return present;
    // Without a user and an alias, only its watch knows the id that this process has given it, perhaps meanwhile.
    const watched = this.#connection.end?.known ?? null;
    const hasMoved = watched !== null && watched.lineage === known.lineage && watched.id !== known.id;
    return hasMoved ? this.#presentOf(watched) : null;
  }

  override adopt(issued: IssuedSession, transport: TokenSource, kind: 'new' | 'regenerated' = 'new'): LoginResult {
    const result = super.adopt(issued, transport, kind);
    this.#connection.signedIn(issued.session, issued.token, this.#services.finder);
    return result;
  }

  /** What ends the session of the connection may give it another one. */
  override queueExchange<T>(task: () => Promise<T>): Promise<T> {
    const { end } = this.#connection;
    return end === undefined ? super.queueExchange(task) : end.during(() => super.queueExchange(task));
  }

  override ended(session: Session): void {
    super.ended(session);
    this.#connection.forget();
  }

  override lost(error: SessionError, session: Session): void {
    super.lost(error, session);
    this.#connection.forget();
  }

  /** A message of a microservice has no connection that could be closed. */
  override whenClosed(callback: () => void): (() => void) | null {
    const { closable } = this.#connection;
    return closable === null ? null : onceClosed(closable, callback);
  }

  /** Nest drops what a handler returns then, which runs on. */
  override get clientHasGone(): boolean {
    const { closable } = this.#connection;
    return closable !== null && isClosed(closable);
  }

  override accessed(): void {
    // Of a message: no head of a response goes out after which a change would be late.
    if (this.context === null) this.lateChanges.expect();
    else if (this.clientHasGone) this.commit.handlerRunsOn();
  }

  override isRecent(): boolean {
    return this.context !== null;
  }

  protected override prepareShownOnce(): boolean {
    return true;
  }

  override prepareOneTime(): boolean {
    return true;
  }

  override prepareFlash(): boolean {
    return !this.clientHasGone;
  }
}
