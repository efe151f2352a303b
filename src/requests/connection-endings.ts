import { Injectable, type ExecutionContext, type OnApplicationShutdown } from '@nestjs/common';

import { endSocket } from '../contexts/end-socket.js';
import { SessionBackendError, SessionUsageError } from '../errors/session-errors.js';
import { isClosed, onceClosed } from '../http/once-closed.js';
import { noRequest } from '../no-request.js';
import { SessionOptions } from '../options/session-options.js';
import { SessionWatches } from '../sessions/session-watches.js';
import { ConnectionEnd } from './connection-end.js';
import type { Connection } from './connection.js';
import { RequestLog } from './request-log.js';
import type { RequestSession } from './request-session.js';
import { RequestSessions } from './request-sessions.js';

/** Looked up at once, after an outage of the store. */
const CONNECTIONS_AT_ONCE = 100;

/** Ends connections with their sessions: those that `@EndsWithSession()` names. A connection without a session stays. */
@Injectable()
export class ConnectionEndings implements OnApplicationShutdown {
  readonly #intervalMs: number;
  /** Connections whose session the store could not tell, and their sockets. */
  readonly #unknown = new Map<Connection, object>();
  #timer: NodeJS.Timeout | undefined;
  #isShutDown = false;

  constructor(
    private readonly requests: RequestSessions,
    private readonly watches: SessionWatches,
    private readonly log: RequestLog,
    { liveCheckInterval }: SessionOptions,
  ) {
    this.#intervalMs = liveCheckInterval * 1000;
  }

  onApplicationShutdown(): void {
    this.#isShutDown = true;
    clearTimeout(this.#timer);
    this.#unknown.clear();
  }

  /**
   * From now on, ends the connection of a socket or a message with its session. Never throws, and nothing waits for it.
   *
   * @param name of the gateway, for the log
   */
  begin(subject: ExecutionContext | object, name: string): void {
    let request: RequestSession;
    try {
      request = this.requests.of(subject);
    } catch {
      this.log.misuse(name, unknownSocketError());
      return;
    }
    const { connection } = request;
    if (connection === null || connection.end !== undefined) return;
    const { socket } = connection;
    if (socket === null) return;
    const end = new ConnectionEnd(this.watches, () => {
      endSocket(socket);
    });
    connection.endBy(end);
    const { closable } = connection;
    if (closable !== null) {
      onceClosed(closable, () => {
        this.#unknown.delete(connection);
        end.stop();
      });
    }
    if (!end.isWatching) void this.#lookUp(connection, socket, request);
  }

  async #lookUp(connection: Connection, socket: object, request: RequestSession | null = null): Promise<void> {
    try {
      await (request ?? this.requests.of(socket)).load();
    } catch (error) {
      if (error instanceof SessionBackendError) this.#lookUpLater(connection, socket);
      // A refusal is none: then the connection has no session.
      else this.log.misuse(null, error);
    }
  }

  #lookUpLater(connection: Connection, socket: object): void {
    const { closable } = connection;
    if (this.#isShutDown || (closable !== null && isClosed(closable))) return;
    this.#unknown.set(connection, socket);
    this.#timer ??= noRequest.runInAsyncScope(() =>
      setTimeout(() => void this.#lookUpAgain(), this.#intervalMs).unref(),
    );
  }

  async #lookUpAgain(): Promise<void> {
    const all = [...this.#unknown].filter(([{ end }]) => end?.isWatching === false);
    this.#unknown.clear();
    this.#timer = undefined;
    for (let first = 0; first < all.length && !this.#isShutDown; first += CONNECTIONS_AT_ONCE) {
      const part = all.slice(first, first + CONNECTIONS_AT_ONCE);
      await Promise.all(part.map(([connection, socket]) => this.#lookUp(connection, socket)));
    }
  }
}

function unknownSocketError(): SessionUsageError {
  return new SessionUsageError(
    '@EndsWithSession() does not know which request has opened this socket, so it cannot end with its session. Behind sockets of ws use SessionWsAdapter.',
  );
}
