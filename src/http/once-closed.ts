import type { EventEmitter } from 'node:events';

import { PrivateSlot } from './private-slot.js';

/** A response or a socket. */
export interface Closable extends Pick<EventEmitter, 'once'> {
  readonly destroyed?: boolean;
  readonly closed?: boolean;
}

const waiting = new PrivateSlot<Set<() => void>>();

/**
 * Calls `callback` once when `source` is closed, or at once if it is. However many wait for one source, it has one listener, so that Node does not warn
 * of a leak.
 *
 * @returns ends the wait
 */
export function onceClosed(source: Closable, callback: () => void): () => void {
  if (source.closed === true || source.destroyed === true) {
    callback();
    return nothing;
  }
  let callbacks = waiting.get(source);
  if (callbacks === undefined) {
    const all = new Set<() => void>();
    callbacks = all;
    waiting.set(source, all);
    source.once('close', () => {
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

function nothing(): void {
  // It is closed.
}
