import { ServerResponse } from 'node:http';

import type { SendingGate, SendingMethods } from './gate-methods.js';
import { slotOf } from './http-messages.js';
import { PrivateSlot } from './private-slot.js';

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

/**
 * Gives all responses of Express the gate's four methods, by one layer in the chain of their prototypes. Express sets the prototype of each
 * response, after which no two share a hidden class: each property that is put on one copies the whole class.
 *
 * The layer lies below what all applications of Express inherit from, because a request may go from one to another: a middleware may be an
 * application itself, which gives the response a prototype of its own.
 */
export class ResponseLayer {
  static readonly #known = new WeakMap<object, ResponseLayer>();
  /** Takes each method from the prototype below when it is called, because a prototype may be patched later. */
  readonly below = ServerResponse.prototype as unknown as SendingMethods;
  readonly #layer: object;

  /** @returns `null` for responses that are none of Node's */
  static of({ response }: ExpressApplication): ResponseLayer | null {
    const base = baseOf(response);
    if (base === null) return null;
    const layer = ResponseLayer.#known.get(base) ?? new ResponseLayer(base);
    ResponseLayer.#known.set(base, layer);
    return layer;
  }

  private constructor(base: object) {
    const { below } = this;
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
    this.#layer = Object.setPrototypeOf(methods, below) as object;
    Object.setPrototypeOf(base, this.#layer);
  }

  /**
   * Lets `gate` take the calls of `response`.
   *
   * @returns false: not every call would come through here. A method that middleware has replaced lies above; another module may have its gate here
   */
  take(response: ServerResponse, gate: LayeredGate): boolean {
    const isBelow =
      Object.prototype.isPrototypeOf.call(this.#layer, response) &&
      !Object.hasOwn(response, 'end') &&
      !Object.hasOwn(response, 'write') &&
      !Object.hasOwn(response, 'writeHead') &&
      !Object.hasOwn(response, 'flushHeaders');
    if (!isBelow || gateOf(response) !== undefined) return false;
    gates.set(slotOf(response.req), gate);
    return true;
  }
}

/** The last object before Node's own prototype. */
function baseOf(response: object): object | null {
  for (let base: object | null = response; base !== null;) {
    const below = Object.getPrototypeOf(base) as object | null;
    if (below === ServerResponse.prototype) return base;
    base = below;
  }
  return null;
}

function gateOf(response: object): LayeredGate | undefined {
  const { req } = response as { readonly req?: object };
  const gate = req === undefined ? undefined : gates.get(slotOf(req));
  return gate?.isFor(response) === true ? gate : undefined;
}
