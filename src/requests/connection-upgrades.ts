import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';

import { SessionError } from '../errors/session-error.js';
import { SessionBackendError } from '../errors/session-errors.js';
import { SERVICE_UNAVAILABLE } from '../http/http-status.js';
import { PrivateSlot } from '../http/private-slot.js';
import { INTERNAL_ERROR_RESPONSE } from '../http/response-gate.js';
import { RequestSessions } from './request-sessions.js';
import { RETRY_AFTER_S } from './session-response-writer.js';

type Emit = (this: Server, event: string, ...args: unknown[]) => boolean;

/**
 * Checks requests for an upgrade before anything is upgraded: a page of another site must not open a connection with the cookie of the user (RFC 6455,
 * section 10.2), and no client should wait on a connection whose session is not known because the store is down. A request without a token passes at
 * once, and one whose token opens no session passes too: what is behind it may need none.
 */
@Injectable()
export class ConnectionUpgrades implements BeforeApplicationShutdown {
  readonly #known = new PrivateSlot<true>();
  /** Those that are being checked. */
  readonly #waiting = new Set<Duplex>();
  #isShutDown = false;

  constructor(private readonly requests: RequestSessions) {}

  /** A server that closes waits for all its sockets. */
  beforeApplicationShutdown(): void {
    this.#isShutDown = true;
    for (const socket of this.#waiting) refuse(socket, shutDownError());
    this.#waiting.clear();
  }

  /** Checks the upgrades of `server` from now on. Costs nothing until something listens to them. */
  check(server: Server): void {
    if (this.#known.get(server) === true) return;
    this.#known.set(server, true);
    if (server.listenerCount('upgrade') > 0) {
      this.#intercept(server);
      return;
    }
    const added = (event: string | symbol): void => {
      if (event !== 'upgrade') return;
      server.removeListener('newListener', added);
      this.#intercept(server);
    };
    server.on('newListener', added);
  }

  /** A listener could not keep the event from those after it, and the check has to wait for the store. */
  #intercept(server: Server): void {
    const emit = server.emit.bind(server) as Emit;
    const intercepted: Emit = (event, ...args) => {
      if (event !== 'upgrade') return emit.call(server, event, ...args);
      const [request, socket] = args as [IncomingMessage, Duplex];
      void this.#admit(request, socket, () => emit.call(server, event, ...args));
      return true;
    };
    server.emit = intercepted;
  }

  async #admit(request: IncomingMessage, socket: Duplex, upgrade: () => void): Promise<void> {
    // It stays, as not all who take over a socket listen to its errors: the adapter of Nest ends one that it refuses without.
    socket.on('error', ignore);
    this.#waiting.add(socket);
    let refusal: unknown = this.#isShutDown ? shutDownError() : null;
    try {
      if (refusal === null) await this.requests.ofUpgrade(request)?.load();
    } catch (error) {
      refusal = error;
    }
    // Refused meanwhile.
    if (!this.#waiting.delete(socket)) return;
    if (refusal !== null) {
      refuse(socket, refusal);
    } else if (!socket.destroyed) {
      upgrade();
    }
  }
}

function ignore(): void {
  // Other users of the socket see that it was closed.
}

function shutDownError(): SessionBackendError {
  return new SessionBackendError('BACKEND_UNAVAILABLE', 'The application of this connection is shutting down.');
}

function refuse(socket: Duplex, error: unknown): void {
  const status = error instanceof SessionError ? error.getStatus() : INTERNAL_ERROR_RESPONSE.status;
  const body = JSON.stringify(error instanceof SessionError ? error.getResponse() : INTERNAL_ERROR_RESPONSE.body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Cache-Control: no-store',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(status === SERVICE_UNAVAILABLE ? [`Retry-After: ${RETRY_AFTER_S}`] : []),
  ];
  // A client that keeps its side open must not keep this one, and what it has sent already must not reset the connection before the response is read.
  socket.once('finish', () => socket.destroy());
  socket.resume();
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}
