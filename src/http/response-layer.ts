import { ServerResponse, type IncomingMessage } from 'node:http';

import type { SendingGate, SendingMethods } from './gate-methods.js';
import { slotOf } from './http-messages.js';
import { PrivateSlot } from './private-slot.js';
import type { SendingMethod } from './sent-response.js';

/** An application of Express, as far as its responses are concerned. */
export interface ExpressApplication {
  /** The prototype of all its responses. */
  readonly response: object;
}

/** A gate whose response has no methods of its own. */
export interface LayeredGate extends SendingGate {
  /** Whether `response` is that of the gate, or a proxy of it. */
  isFor(response: object): boolean;
}

/** By request. */
const gates = new PrivateSlot<LayeredGate>();
const METHODS: readonly SendingMethod[] = ['writeHead', 'flushHeaders', 'write', 'end'];

/**
 * Gives all responses of Express the gate's four methods, by one layer in the chain of their prototypes. Express sets the prototype of each
 * response, after which no two share a hidden class: each property that is put on one copies the whole class.
 *
 * The layer lies below what all applications of Express inherit from, because a request may go from one to another: a middleware may be an
 * application itself, which gives the response a prototype of its own. There is one for all applications of a process.
 */
export class ResponseLayer {
  static readonly #known = new WeakMap<object, ResponseLayer>();
  readonly #methods: SendingMethods;

  /** @returns `null` for responses that are none of Node's */
  static of({ response }: ExpressApplication): ResponseLayer | null {
    for (let base: object | null = response; base !== null;) {
      const below = Object.getPrototypeOf(base) as object | null;
      const known = below === null ? undefined : ResponseLayer.#known.get(below);
      if (known !== undefined) return known;
      if (below === ServerResponse.prototype) return new ResponseLayer(base);
      base = below;
    }
    return null;
  }

  /** @param base the last object before Node's own prototype */
  private constructor(base: object) {
    const below = (): SendingMethods => this.below;
    this.#methods = {
      writeHead(status, reason, headers) {
        const gate = gateOf(this);
        if (gate === undefined) return below().writeHead.call(this, status, reason, headers);
        return gate.called('writeHead', status, reason, headers);
      },
      flushHeaders() {
        const gate = gateOf(this);
        return gate === undefined ? below().flushHeaders.call(this) : gate.called('flushHeaders');
      },
      write(chunk, encoding, callback) {
        const gate = gateOf(this);
        if (gate === undefined) return below().write.call(this, chunk, encoding, callback);
        return gate.called('write', chunk, encoding, callback);
      },
      end(chunk, encoding, callback) {
        const gate = gateOf(this);
        if (gate === undefined) return below().end.call(this, chunk, encoding, callback);
        return gate.called('end', chunk, encoding, callback);
      },
    };
    Object.setPrototypeOf(this.#methods, Object.getPrototypeOf(base) as object);
    Object.setPrototypeOf(base, this.#methods);
    ResponseLayer.#known.set(this.#methods, this);
  }

  /** What lies below now: another copy of this package may have put its layer there, and a prototype may be patched later. */
  get below(): SendingMethods {
    return Object.getPrototypeOf(this.#methods) as SendingMethods;
  }

  /**
   * Lets `gate` take the calls of `response`.
   *
   * @returns false: not every call would come here, because middleware has replaced a method, or another gate has the place
   */
  take(response: ServerResponse, gate: LayeredGate): boolean {
    const methods = response as unknown as SendingMethods;
    if (!METHODS.every((name) => methods[name] === this.#methods[name])) return false;
    const slot = slotOf(response.req);
    if (gates.get(slot) !== undefined) return false;
    gates.set(slot, gate);
    return true;
  }
}

function gateOf(response: object): LayeredGate | undefined {
  const { req } = response as { readonly req?: IncomingMessage };
  const gate = req === undefined ? undefined : gates.get(slotOf(req));
  return gate?.isFor(response) === true ? gate : undefined;
}
