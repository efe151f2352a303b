import type { ServerResponse } from 'node:http';

import type { SendingMethod } from './sent-response.js';

/** The four methods by which a response leaves, whatever else it has. */
export type SendingMethods = Record<SendingMethod, (...args: readonly unknown[]) => unknown>;

/** Takes the calls of one response. */
export interface SendingGate {
  called(method: SendingMethod, args: readonly unknown[]): unknown;
}

/** An application of Express, as far as its responses are concerned. */
export interface ExpressApplication {
  /** The prototype of all its responses. */
  readonly response: object;
}

/**
 * Gives all responses of an Express application the gate's four methods, by one layer in the chain of their prototypes. Express sets the
 * prototype of each response anew, so that no two share a hidden class, and each property put on one of them makes a copy of all it has.
 */
export class ResponseLayer {
  readonly #layer: object;
  readonly #below: SendingMethods;

  /** @param gateOf the gate of a response that this layer covers; undefined: it has none */
  constructor({ response: prototype }: ExpressApplication, gateOf: (response: object) => SendingGate | undefined) {
    const below = Object.getPrototypeOf(prototype) as SendingMethods;
    function call(response: object, method: SendingMethod, args: readonly unknown[]): unknown {
      const gate = gateOf(response);
      // Looked up at each call, as what lies below may be patched later.
      return gate === undefined ? Reflect.apply(below[method], response, args) : gate.called(method, args);
    }
    const methods: SendingMethods = {
      writeHead(...args) {
        return call(this, 'writeHead', args);
      },
      flushHeaders(...args) {
        return call(this, 'flushHeaders', args);
      },
      write(...args) {
        return call(this, 'write', args);
      },
      end(...args) {
        return call(this, 'end', args);
      },
    };
    this.#below = below;
    this.#layer = Object.setPrototypeOf(methods, below) as object;
    Object.setPrototypeOf(prototype, this.#layer);
  }

  /** Whether every call of `response` comes by here. What middleware has put over a method lies above, and would be missed. */
  covers(response: ServerResponse): boolean {
    return (
      Object.prototype.isPrototypeOf.call(this.#layer, response) &&
      !Object.hasOwn(response, 'end') &&
      !Object.hasOwn(response, 'write') &&
      !Object.hasOwn(response, 'writeHead') &&
      !Object.hasOwn(response, 'flushHeaders')
    );
  }

  /** Makes a call of a response below the layer. */
  pass(response: ServerResponse, method: SendingMethod, args: readonly unknown[]): unknown {
    return Reflect.apply(this.#below[method], response, args);
  }
}
