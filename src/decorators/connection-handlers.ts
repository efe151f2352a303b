import type { Type } from '@nestjs/common';

import { refuseSocket } from '../contexts/end-socket.js';
import { SessionError } from '../errors/session-error.js';
import { PrivateSlot } from '../http/private-slot.js';

/** What Nest calls for a connection, with the socket, and without filters: what they throw would end the process. */
const HANDLERS = ['handleConnection', 'handleDisconnect'] as const;

type Handler = (this: unknown, ...args: unknown[]) => unknown;

const wrapped = new PrivateSlot<true>();

/** Gives the handlers of a gateway's connections `refusingByErrors()`. Keeps nothing of an application. */
export function refuseByErrorsOf({ prototype }: Type): void {
  const owner = prototype as Record<string, unknown>;
  for (const name of HANDLERS) {
    const handler = owner[name];
    if (typeof handler !== 'function' || wrapped.get(handler) === true) continue;
    Object.defineProperty(owner, name, {
      value: refusingByErrors(handler as Handler),
      configurable: true,
      writable: true,
    });
  }
}

/**
 * `handler`, whose errors of ours refuse the connection: the client gets the event `exception`, and the socket is closed. Left open, it would get
 * what the gateway sends to all.
 */
export function refusingByErrors(handler: Handler): Handler {
  const value: Handler = function (...args) {
    const refuse = (error: unknown): void => {
      const [socket] = args;
      if (!(error instanceof SessionError) || typeof socket !== 'object' || socket === null) throw error;
      refuseSocket(socket, error);
    };
    try {
      const result = handler.apply(this, args);
      return result instanceof Promise ? result.catch(refuse) : result;
    } catch (error) {
      refuse(error);
      return undefined;
    }
  };
  wrapped.set(value, true);
  return value;
}
