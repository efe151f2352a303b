import type { ExecutionContext } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';

import type { ContextReaders } from '../contexts/context-readers.js';
import { handshakeOf, messageRequest } from '../http/handshake.js';
import { PrivateSlot } from '../http/private-slot.js';
import type { ContextRequest } from '../options/context-reader.interface.js';
import { Connection } from './connection.js';
import { MessageScope } from './message-scope.js';
import { MessageSession, type MessageSessionServices } from './message-session.js';

/** Keeps the one {@link MessageSession} of each message, and the {@link Connection} that messages share. */
export class MessageSessions {
  readonly #byMessage = new PrivateSlot<MessageSession>();
  readonly #connections = new PrivateSlot<Connection>();
  /** By the request, until it is known what it has opened. */
  readonly #upgrades = new PrivateSlot<Connection | null>();

  /** @param application of Express or Fastify, which knows trusted proxies; null: not known yet */
  constructor(
    private readonly services: MessageSessionServices,
    private readonly contexts: ContextReaders,
    private readonly application: () => object | null,
  ) {}

  /** One message of a connection, or a request that has no response. */
  of({ message, ...found }: ContextRequest, context: ExecutionContext): MessageSession {
    const key = message ?? found.request;
    const known = this.#byMessage.get(key);
    // A reader may take one object for several messages, which must not give one client the session of another.
    if (known?.isOpenedBy(found) === true) return known;
    const session = new MessageSession(this.services, this.#connectionOf(found, false), context);
    this.#byMessage.set(key, session);
    MessageScope.uses(context, session);
    return session;
  }

  /** The same by what a handler has of a message: its socket, its context. `null`: it is of none. */
  ofSubject(subject: object): MessageSession | null {
    const known = this.#byMessage.get(subject);
    if (known !== undefined) return known;
    const found = this.contexts.readSubject(subject);
    return found && this.#ofFound(found, subject);
  }

  #ofFound({ message, ...found }: ContextRequest, subject: object): MessageSession {
    const running = [...MessageScope.runningOn(subject)].map(({ context }) => context);
    const [only] = running;
    const read = only !== undefined && running.length === 1 ? this.contexts.read(only) : null;
    if (only !== undefined && read !== null) return this.of(read, only);
    const known = message === undefined ? undefined : this.#byMessage.get(message);
    if (known?.isOpenedBy(found) === true) return known;
    const session = new MessageSession(this.services, this.#connectionOf(found, true), null);
    if (message !== undefined) this.#byMessage.set(message, session);
    for (const context of running) MessageScope.uses(context, session);
    return session;
  }

  /** The session of a request that asks for an upgrade; `null`: it has no token. */
  ofUpgrade(request: IncomingMessage): MessageSession | null {
    const connection = new Connection(handshakeOf(request, this.application()), undefined, true);
    const search = connection.search(this.services.finder);
    if (!(search instanceof Promise) && search.token === null) return null;
    this.#upgrades.set(request, connection);
    return new MessageSession(this.services, connection, null);
  }

  /** Whether something has asked for the session of the message that a reader has found. */
  knows({ message, request }: ContextRequest): boolean {
    return this.#byMessage.get(message ?? request) !== undefined;
  }

  /** @param isSubject what a handler has of a connection may know less of it than the reader: not the token that the client has sent */
  #connectionOf(
    { request, token, lifetime, connection: key = request }: ContextRequest,
    isSubject: boolean,
  ): Connection {
    if (lifetime === 'request') return new Connection(messageRequest(request), token, false);
    const known = this.#connections.get(key);
    if (known !== undefined && ((isSubject && token === undefined) || known.isOpenedBy({ request, token })))
      return known;
    const opener = messageRequest(request);
    const seen = opener === request ? handshakeOf(request, this.application()) : opener;
    const connection = new Connection(seen, token, true, key);
    this.#connections.set(key, connection);
    const upgrade = this.#upgrades.get(request) ?? null;
    if (upgrade === null || token !== undefined) return connection;
    this.#upgrades.set(request, null);
    return connection.continueFrom(upgrade);
  }
}
