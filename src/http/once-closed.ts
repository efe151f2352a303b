import type { EventEmitter } from 'node:events';

import { PrivateSlot } from './private-slot.js';

/** A response, or a socket: of the network, of `ws`, or of socket.io. */
export interface Closable extends Pick<EventEmitter, 'once'> {
  readonly destroyed?: boolean;
  readonly closed?: boolean;
  /** A number on a socket of `ws`. */
  readonly readyState?: unknown;
  /** On a socket of socket.io. */
  readonly disconnected?: boolean;
}

/** `WebSocket.CLOSED`. */
const WS_CLOSED = 3;

/** `null`: it was closed; a response of HTTP/2 does not tell later. */
const waiting = new PrivateSlot<Set<() => void> | null>();

/**
 * Calls `callback` once when `source` is closed, or at once if it is. However many wait for one source, it has one listener, so that Node does not warn
 * of a leak.
 *
 * @returns a function that stops waiting
 */
export function onceClosed(source: Closable, callback: () => void): () => void {
  let callbacks = waiting.get(source);
  if (callbacks === null || isClosed(source)) {
    callback();
    return nothing;
  }
  if (callbacks === undefined) {
    const all = new Set<() => void>();
    callbacks = all;
    waiting.set(source, all);
    source.once(typeof source.disconnected === 'boolean' ? 'disconnect' : 'close', () => {
      waiting.set(source, null);
      for (const one of all) one();
      all.clear();
    });
  }
  const entry = (): void => {
    callback();
  };
  const own = callbacks.add(entry);
  return () => {
    own.delete(entry);
  };
}

/** Whether no more events come. */
export function isClosed({ closed, destroyed, disconnected, readyState }: Closable): boolean {
  return closed === true || destroyed === true || disconnected === true || readyState === WS_CLOSED;
}

function nothing(): void {
  // It is closed.
}
