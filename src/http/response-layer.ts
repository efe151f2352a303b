import type { ServerResponse } from 'node:http';

import type { SendingGate, SendingMethods } from './gate-methods.js';

/** An application of Express, as far as its responses are concerned. */
export interface ExpressApplication {
  /** The prototype of all its responses. */
  readonly response: object;
}

/**
 * Gives all responses of an Express application the gate's four methods, by one layer in the chain of their prototypes. Express sets the
 * prototype of each response, after which no two share a hidden class: each property that is put on one copies the whole class.
 */
export class ResponseLayer {
  /** Takes each method from the prototype below when it is called, because a prototype may be patched later. */
  readonly below: SendingMethods;
  readonly #layer: object;

  /** @param gateOf finds the gate of a response that this layer covers; undefined: it has none */
  constructor({ response: prototype }: ExpressApplication, gateOf: (response: object) => SendingGate | undefined) {
    const below = Object.getPrototypeOf(prototype) as SendingMethods;
    const methods: SendingMethods = {
      writeHead(status, reason, headers) {
        const gate = gateOf(this);
        if (gate === undefined) return below.writeHead.call(this, status, reason, headers);
        return gate.called('writeHead', status, reason, headers);
      },
      flushHeaders() {
        const gate = gateOf(this);
        return gate === undefined ? below.flushHeaders.call(this) : gate.called('flushHeaders');
      },
      write(chunk, encoding, callback) {
        const gate = gateOf(this);
        if (gate === undefined) return below.write.call(this, chunk, encoding, callback);
        return gate.called('write', chunk, encoding, callback);
      },
      end(chunk, encoding, callback) {
        const gate = gateOf(this);
        if (gate === undefined) return below.end.call(this, chunk, encoding, callback);
        return gate.called('end', chunk, encoding, callback);
      },
    };
    this.below = below;
    this.#layer = Object.setPrototypeOf(methods, below) as object;
    Object.setPrototypeOf(prototype, this.#layer);
  }

  /** Whether every call of `response` comes through here. A method that middleware has replaced lies above, and would be missed. */
  covers(response: ServerResponse): boolean {
    return (
      Object.prototype.isPrototypeOf.call(this.#layer, response) &&
      !Object.hasOwn(response, 'end') &&
      !Object.hasOwn(response, 'write') &&
      !Object.hasOwn(response, 'writeHead') &&
      !Object.hasOwn(response, 'flushHeaders')
    );
  }
}
