/** For applications (RFC 6455, section 7.4.2); like the status 401. */
const SESSION_ENDED_CODE = 4401;
const SESSION_ENDED = 'session-ended';

/** A socket of socket.io, or of `ws`. */
interface EndableSocket {
  emit?: (event: string, payload: object) => unknown;
  disconnect?: (closes: boolean) => unknown;
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
    // `ws` waits for the answer to that, and hands on what a client sends instead.
    socket.removeAllListeners?.('message');
  }
}
