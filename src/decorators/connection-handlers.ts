import type { Type } from '@nestjs/common';

import { sendException } from '../contexts/message-error.js';
import { SessionError } from '../errors/session-error.js';
import { PrivateSlot } from '../http/private-slot.js';

/** What Nest calls for a connection, with the socket, and without filters: what they throw would end the process. */
const HANDLERS = ['handleConnection', 'handleDisconnect'] as const;

type Handler = (this: unknown, ...args: unknown[]) => unknown;

const wrapped = new PrivateSlot<true>();

/** Sends our errors of the handlers of a gateway's connections to the client, as those of messages. Keeps nothing of an application. */
export function sendErrorsOf({ prototype }: Type): void {
  const owner = prototype as Record<string, unknown>;
  for (const name of HANDLERS) {
    const handler = owner[name];
    if (typeof handler !== 'function' || wrapped.get(handler) === true) continue;
    Object.defineProperty(owner, name, {
      value: sendingErrors(handler as Handler),
      configurable: true,
      writable: true,
    });
  }
}

/** `handler`, whose errors of ours become the event `exception`. The socket stays open. */
export function sendingErrors(handler: Handler): Handler {
  const value: Handler = function (...args) {
    const send = (error: unknown): void => {
      const [socket] = args;
      if (!(error instanceof SessionError) || typeof socket !== 'object' || socket === null) throw error;
      sendException(socket, error);
    };
    try {
      const result = handler.apply(this, args);
      return result instanceof Promise ? result.catch(send) : result;
    } catch (error) {
      send(error);
      return undefined;
    }
  };
  wrapped.set(value, true);
  return value;
}
