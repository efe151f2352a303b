import type { ServerResponse } from 'node:http';

import type { ResponseGate, ResponseLayer } from '../http/response-layer.js';
import type { SendingMethod } from '../http/sent-response.js';
import { HeldCalls } from './held-calls.js';
import { adoptHead, detachHeaders } from './written-headers.js';

/** What a response is held for. */
export interface HeldFor {
  /**
   * Whether a response with this status must not leave yet. Cheap: it is asked at every response.
   */
  hasWork(status: number): boolean;
  /** Stores it. A rejection replaces the response, which has this status. */
  work(status: number): Promise<void>;
  /** Adds headers; the status and the application's own headers are settled by now. */
  writeHeaders(response: ServerResponse): void;
  /** The response in place of the application's with `status`, after `work` failed with `error`. Null: the application's may go out. */
  replacement(error: unknown, status: number): ReplacementResponse | null;
  /** The application has called its response after the end, and nobody listens for the error. */
  ignored(error: Error): void;
  /** Sending what was held failed with `error`. The client gets another response if nothing has left, else the connection is cut. */
  broken(error: unknown): void;
}

export interface ReplacementResponse {
  readonly status: number;
  readonly body: object;
}

/** What the client has got: the application's own response, another one in its place, or nothing. */
export type Delivery =
  { readonly got: 'response'; readonly status: number } | { readonly got: 'replacement' } | { readonly got: 'nothing' };

type Original = (this: ServerResponse, ...args: unknown[]) => unknown;

const HOLD = Symbol('nestjs-sessionx:hold');

/** A response with a hold on it. */
type HeldResponse = Omit<ServerResponse, SendingMethod> & Record<SendingMethod, Original> & { [HOLD]: ResponseHold };

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
export class ResponseHold implements ResponseGate {
  #state: 'open' | 'holding' | 'released' | 'replaced' = 'open';
  #held: HeldCalls | null = null;
  #whenDelivered: ((delivery: Delivery) => void) | null = null;
  /** What lies below this gate; null: that of the layer which all responses of the application have. */
  readonly #originals: Readonly<Record<SendingMethod, Original>> | null;

  /** @param layer calls this gate for all responses that it covers; null: there is none */
  constructor(
    private readonly response: ServerResponse,
    private readonly purpose: HeldFor,
    private readonly layer: ResponseLayer | null = null,
  ) {
    this.#originals = layer?.covers(response) === true ? null : this.#install(response as HeldResponse);
  }

  /** Whether the calls come by the layer, and not by methods on the response itself. */
  get isInLayer(): boolean {
    return this.#originals === null;
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

  /** For the four functions below. */
  called(method: SendingMethod, args: readonly unknown[]): unknown {
    if (this.#held !== null && this.#state !== 'released') return this.#held.take(method, args);
    return this.#state === 'open' ? this.#first(method, args) : this.#pass(method, args);
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
      return this.purpose.hasWork(method === 'writeHead' ? Number(status) : this.response.statusCode);
    } catch {
      return true;
    }
  }

  /** A call that Node refuses before there is a head starts nothing. */
  #startHolding(method: SendingMethod, args: readonly unknown[]): unknown {
    const taken = method === 'writeHead' ? (adoptHead(this.response, args) ?? args) : args;
    detachHeaders(this.response);
    const held = new HeldCalls(this.response, (error) => {
      this.purpose.ignored(error);
    });
    try {
      return held.take(method, taken);
    } finally {
      if (held.headersSent) this.#hold(held);
    }
  }

  #hold(held: HeldCalls): void {
    this.#state = 'holding';
    this.#held = held;
    held.show();
    this.purpose.work(held.statusCode).then(
      () => {
        this.#release(held);
      },
      (error: unknown) => {
        const replacement = this.purpose.replacement(error, held.statusCode);
        if (replacement === null) this.#release(held);
        else this.#replace(held, replacement);
      },
    );
  }

  #release(held: HeldCalls): void {
    this.#state = 'released';
    try {
      held.release((method, args) => this.#pass(method, args));
    } catch (error) {
      this.purpose.broken(error);
      if (this.response.headersSent) this.response.destroy();
      else this.#replace(held, INTERNAL_ERROR);
    }
  }

  #replace(held: HeldCalls, replacement: ReplacementResponse): void {
    this.#state = 'released';
    this.#delivered({ got: 'replacement' });
    try {
      held.replace(() => {
        this.#respond(replacement);
      });
    } catch (error) {
      this.purpose.broken(error);
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
    response.writeHead(status);
    response.end(text);
  }

  #pass(method: SendingMethod, args: readonly unknown[]): unknown {
    let passed = args;
    if (method === 'writeHead' && !this.response.headersSent) {
      const adopted = adoptHead(this.response, args);
      if (adopted !== null) {
        passed = adopted;
        this.purpose.writeHeaders(this.response);
      }
    }
    const result = this.#send(method, passed);
    if (this.#whenDelivered !== null && method !== 'writeHead') this.#noteDelivery();
    return result;
  }

  #send(method: SendingMethod, args: readonly unknown[]): unknown {
    if (this.#originals !== null) return Reflect.apply(this.#originals[method], this.response, args);
    return this.layer?.pass(this.response, method, args);
  }

  /** Own properties, so that they lie over the prototype's methods and over what middleware has put there before. */
  #install(held: HeldResponse): Readonly<Record<SendingMethod, Original>> {
    const originals = originalsOf(held);
    held[HOLD] = this;
    // The functions are the same for all responses, which keeps them cheap.
    held.writeHead = writeHead;
    held.flushHeaders = flushHeaders;
    held.write = write;
    held.end = end;
    return originals;
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

/** What a hold stands before: the response's own methods, or the hold of another SessionModule that the request has come by. */
function originalsOf(response: HeldResponse): Readonly<Record<SendingMethod, Original>> {
  const below = (response as Partial<Pick<HeldResponse, typeof HOLD>>)[HOLD];
  if (below === undefined) {
    const { writeHead, flushHeaders, write, end } = response;
    return { writeHead, flushHeaders, write, end };
  }
  const pass =
    (method: SendingMethod): Original =>
    (...args) =>
      below.called(method, args);
  return { writeHead: pass('writeHead'), flushHeaders: pass('flushHeaders'), write: pass('write'), end: pass('end') };
}

function writeHead(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('writeHead', args);
}

function flushHeaders(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('flushHeaders', args);
}

function write(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('write', args);
}

function end(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('end', args);
}
