import { Inject } from '@nestjs/common';

import { ConnectionEndings } from '../requests/connection-endings.js';
import { refusingByErrors } from './connection-handlers.js';
import { GATEWAY_METADATA } from './nest-metadata.js';

const ENDINGS = Symbol('nestjs-sessionx:connection-endings');

/** What Nest calls with a socket that has connected. */
interface Gateway {
  handleConnection?: (...args: readonly unknown[]) => unknown;
}

/**
 * Ends the connections of a gateway with their sessions, also those of clients that never send a message.
 *
 * Nest injects the providers of the application into each instance, whatever its class has inherited, and right after its constructor: then it is known
 * what handles its connections.
 *
 * @param prototype of any class: gateways are marked as such by a decorator that may come later
 */
export function endConnectionsOf(prototype: object): void {
  Inject(ConnectionEndings)(prototype, ENDINGS);
  Object.defineProperty(prototype, ENDINGS, {
    set(this: Gateway, endings: ConnectionEndings) {
      if (Reflect.getMetadata(GATEWAY_METADATA, this.constructor) === true) wrap(this, endings);
    },
    configurable: true,
  });
}

function wrap(gateway: Gateway, endings: ConnectionEndings): void {
  const { handleConnection: own } = gateway;
  const refusing = typeof own === 'function' ? refusingByErrors(own) : undefined;
  const { name } = gateway.constructor;
  const value = function (this: unknown, ...args: readonly unknown[]): unknown {
    const [socket] = args;
    if (typeof socket === 'object' && socket !== null) endings.begin(socket, name);
    return refusing?.apply(this, args as unknown[]);
  };
  Object.defineProperty(gateway, 'handleConnection', { value, configurable: true, writable: true });
}
