import type { ServerResponse } from 'node:http';

import { installGate, isCovered, type Originals } from './gate-methods.js';
import { overlay } from './overlay.js';
import type { SendingGate, ResponseLayer } from './response-layer.js';
import type { SendingMethod } from './sent-response.js';
import { WaitingCalls } from './waiting-calls.js';
import type { Delivery, GateOwner, ReplacementResponse } from './gate-owner.interface.js';
import { adoptHead, detachHeaders } from './written-headers.js';

export const INTERNAL_ERROR: ReplacementResponse = {
  status: 500,
  body: { statusCode: 500, message: 'Internal Server Error' },
};

/**
 * Headers that speak of the body that was to come, that a failed request must not set, or that a proxy would act upon. What speaks of the
 * connection and of the client's rights stays: CORS, security headers.
 */
const OF_THE_LOST_RESPONSE =
  /^(content-(?!security-policy).*|transfer-encoding|etag|last-modified|cache-control|expires|pragma|age|accept-ranges|(repr-)?digest|set-cookie|clear-site-data|location|refresh|retry-after|www-authenticate|trailer|link|x-accel-.*|x-sendfile)$/i;

/**
 * Stands between the application and the first byte of a response, whoever sends it: Nest, `@Res()`, a stream, a redirect, an exception
 * filter, a hijacked reply. All of them end in four methods of Node's response. If there is something to store, calls wait until it is
 * stored, and are then made in their order; if that fails, they are dropped and another response is sent. With nothing to store,
 * nothing waits.
 *
 * To the application, a response that waits is one whose head is sent: status and headers are those of the first call, and what Node
 * refuses from then on is refused at once.
 */
export class ResponseGate implements SendingGate {
  #state: 'open' | 'heading' | 'holding' | 'released' | 'replaced' = 'open';
  #held: WaitingCalls | null = null;
  #streams = false;
  #whenDelivered: ((delivery: Delivery) => void) | null = null;
  /** What lies below this gate; null: that of the layer which all responses of the application have. */
  readonly #originals: Originals | null;

  /** @param layer calls this gate for all responses that it covers; null: there is none */
  constructor(
    private readonly response: ServerResponse,
    private readonly owner: GateOwner,
    private readonly layer: ResponseLayer | null = null,
  ) {
    this.#originals = layer?.covers(response) === true ? null : installGate(response, this);
  }

  /** Whether the calls come by the layer, and not by methods on the response itself. */
  get isInLayer(): boolean {
    return this.#originals === null;
  }

  /** Whether the application has begun its response, be it that nothing has left. */
  get hasBegun(): boolean {
    return this.#state !== 'open' && this.#state !== 'heading';
  }

  /**
   * Calls `listener` once, when the first byte has gone out or the connection is closed without it. Costs nothing where nobody asks.
   */
  whenDelivered(listener: (delivery: Delivery) => void): void {
    this.#whenDelivered = listener;
    if (this.response.destroyed) this.#delivered({ got: 'nothing' });
    else if (this.#state === 'released') this.#noteDelivery();
    this.response.once('close', () => {
      this.#delivered({ got: 'nothing' });
    });
  }

  called(method: SendingMethod, args: readonly unknown[]): unknown {
    switch (this.#state) {
      case 'open':
        return this.#first(method, args);
      case 'heading':
        if (method === 'writeHead') adoptHead(this.response, args);
        return this.response;
      case 'released':
        return this.#pass(method, args);
      case 'holding':
      case 'replaced':
        return this.#held?.take(method, args);
      default:
        return this.#state satisfies never;
    }
  }

  #first(method: SendingMethod, args: readonly unknown[]): unknown {
    if (!this.response.headersSent && this.#mustWait(method, args)) return this.#startHolding(method, args);
    this.#state = 'released';
    try {
      return this.#pass(method, args);
    } catch (error) {
      // Nothing has left: the response to this error comes by here anew.
      if (!this.response.headersSent) this.#state = 'open';
      throw error;
    }
  }

  /** A question that fails is work that fails: the response is then an error, never the application's. */
  #mustWait(method: SendingMethod, [status]: readonly unknown[]): boolean {
    try {
      return this.owner.needsCommit(method === 'writeHead' ? Number(status) : this.response.statusCode);
    } catch {
      return true;
    }
  }

  /** A call that Node refuses before there is a head starts nothing. */
  #startHolding(method: SendingMethod, args: readonly unknown[]): unknown {
    const held = new WaitingCalls(
      this.response,
      () => {
        this.#beforeHead();
      },
      (error) => {
        this.owner.ignored(error);
      },
    );
    let taken = args;
    if (method === 'writeHead') {
      taken = adoptHead(this.response, args) ?? args;
      detachHeaders(this.response);
    }
    try {
      return held.take(method, taken);
    } finally {
      if (held.headersSent) this.#hold(held);
    }
  }

  /** Node makes a head by calling `writeHead`, so that what lies above this gate adds its headers. */
  #beforeHead(): void {
    const { response } = this;
    if (isCovered(response)) {
      this.#state = 'heading';
      try {
        response.writeHead(response.statusCode);
      } finally {
        this.#state = 'open';
      }
    }
    detachHeaders(response);
  }

  #hold(held: WaitingCalls): void {
    this.#state = 'holding';
    this.#held = held;
    held.show();
    this.owner.commit(held.statusCode).then(
      () => {
        this.#release(held);
      },
      (error: unknown) => {
        const replacement = this.owner.replacement(error, held.statusCode);
        if (replacement === null) this.#release(held);
        else this.#replace(held, replacement);
      },
    );
  }

  #release(held: WaitingCalls): void {
    const pass = (method: SendingMethod, args: readonly unknown[]): unknown => this.#pass(method, args);
    this.#state = 'released';
    // What lies above has made its part of the head.
    const uncover = isCovered(this.response)
      ? overlay(this.response, { writeHead: { value: headBy(pass), writable: true } })
      : null;
    try {
      held.release(pass);
    } catch (error) {
      this.owner.broken(error);
      if (this.response.headersSent) this.response.destroy();
      else this.#replace(held, INTERNAL_ERROR);
    } finally {
      uncover?.();
    }
  }

  #replace(held: WaitingCalls, replacement: ReplacementResponse): void {
    this.#state = 'released';
    this.#delivered({ got: 'replacement' });
    try {
      held.replace(() => {
        this.#respond(replacement);
      });
    } catch (error) {
      this.owner.broken(error);
      this.response.destroy();
    }
    this.#state = 'replaced';
  }

  #respond({ status, body }: ReplacementResponse): void {
    const { response } = this;
    for (const name of response.getHeaderNames()) if (OF_THE_LOST_RESPONSE.test(name)) response.removeHeader(name);
    const text = JSON.stringify(body);
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    // Past what lies above: express-session and compression have taken the response for ended already.
    this.#pass('writeHead', [status]);
    this.#pass('end', [text]);
  }

  #pass(method: SendingMethod, args: readonly unknown[]): unknown {
    let passed = args;
    if (method === 'writeHead' && !this.response.headersSent) {
      const adopted = adoptHead(this.response, args);
      if (adopted !== null) {
        passed = adopted;
        this.owner.writeHeaders(this.response);
      }
    }
    if (method === 'write') this.#streams = true;
    if (method === 'end' && this.#streams) this.owner.streamEnds();
    const result = this.#send(method, passed);
    if (this.#whenDelivered !== null && method !== 'writeHead') this.#noteDelivery();
    return result;
  }

  #send(method: SendingMethod, args: readonly unknown[]): unknown {
    if (this.#originals !== null) return Reflect.apply(this.#originals[method], this.response, args);
    return this.layer?.pass(this.response, method, args);
  }

  #noteDelivery(): void {
    const { headersSent, statusCode, destroyed } = this.response;
    if (headersSent) this.#delivered(destroyed ? { got: 'nothing' } : { got: 'response', status: statusCode });
  }

  #delivered(delivery: Delivery): void {
    const listener = this.#whenDelivered;
    this.#whenDelivered = null;
    listener?.(delivery);
  }
}

function headBy(pass: (method: SendingMethod, args: readonly unknown[]) => unknown): () => unknown {
  return (...args: readonly unknown[]) => pass('writeHead', args);
}
