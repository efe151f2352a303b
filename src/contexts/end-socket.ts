import type { SessionError } from '../errors/session-error.js';
import { UNAUTHORIZED } from '../http/http-status.js';
import { clientErrorOf } from './client-error.js';
import { sendException } from './message-error.js';

/** Codes for applications (RFC 6455, section 7.4.2) are made of this and of the status that HTTP would have. */
const APPLICATION_CODES = 4000;
const SESSION_ENDED_CODE = APPLICATION_CODES + UNAUTHORIZED;
const SESSION_ENDED = 'session-ended';

/** A socket of socket.io, or of `ws`. */
interface EndableSocket {
  emit?: (event: string, payload: object) => unknown;
  disconnect?: (closesAll?: boolean) => unknown;
  close?: (code: number, reason: string) => unknown;
  removeAllListeners?: (event: string) => unknown;
}

/**
 * Closes a connection whose session has ended. `ws` has a code for the reason; socket.io has none, so its client gets an event before, and all its
 * namespaces end, because they share the connection.
 */
export function endSocket(socket: EndableSocket): void {
  if (typeof socket.disconnect === 'function') {
    socket.emit?.(SESSION_ENDED, {});
    socket.disconnect(true);
  } else {
    socket.close?.(SESSION_ENDED_CODE, SESSION_ENDED);
    // `ws` waits for the reply to that, and hands on what a client sends instead.
    socket.removeAllListeners?.('message');
  }
}

/**
 * Closes a connection that its handler has refused with `error`, which its client gets before. Of socket.io, other namespaces of the client stay:
 * they have handlers of their own.
 */
export function refuseSocket(socket: EndableSocket, error: SessionError): void {
  sendException(socket, error);
  // Nest listens to the messages of a socket when its handler has returned.
  queueMicrotask(() => {
    if (typeof socket.disconnect === 'function') {
      socket.disconnect();
      return;
    }
    const { code, statusCode } = clientErrorOf(error);
    socket.close?.(APPLICATION_CODES + statusCode, code);
    socket.removeAllListeners?.('message');
  });
}
