import type { ServerResponse } from 'node:http';

import { isStoringForbidden, withCacheHeadersKept } from './cache-headers.js';
import { installGate, isCovered, NODE_METHODS, type Sending, type SendingMethods } from './gate-methods.js';
import { INTERNAL_SERVER_ERROR } from './http-status.js';
import { overlay } from './overlay.js';
import type { LayeredGate, ResponseLayer } from './response-layer.js';
import type { SendingArguments, SendingMethod } from './sent-response.js';
import { WaitingCalls } from './waiting-calls.js';
import type { Delivery, GateOwner, ReplacementResponse } from './gate-owner.interface.js';
import { adoptHead, detachHeaders, isHeadersObject } from './written-headers.js';

export const INTERNAL_ERROR_RESPONSE: ReplacementResponse = {
  status: INTERNAL_SERVER_ERROR,
  body: { statusCode: INTERNAL_SERVER_ERROR, message: 'Internal Server Error' },
};

/**
 * Headers that speak of the body that was to come, that a failed request must not set, or that a proxy would act upon. What speaks of the
 * connection and of the client's rights stays: CORS, security headers.
 */
const OF_THE_LOST_RESPONSE =
  /^(content-(?!security-policy).*|transfer-encoding|etag|last-modified|cache-control|expires|pragma|age|accept-ranges|(repr-)?digest|set-cookie|clear-site-data|location|refresh|retry-after|www-authenticate|trailer|link|x-accel-.*|x-sendfile)$/i;

/** Undocumented, as it is. */
interface BufferedResponse {
  readonly outputData?: unknown;
}

/**
 * Stands between the application and the first byte of a response, from any sender: Nest, `@Res()`, a stream, a redirect, an exception
 * filter, a hijacked reply. All of them end in four methods of Node's response. If there is something to commit, calls wait until that is
 * done, and are then made in their order; if it fails, they are dropped and another response is sent. With nothing to commit, nothing
 * waits.
 *
 * To the application, a response that waits looks as if its head were sent: status and headers are those of the first call, and what Node
 * refuses from then on is refused at once.
 */
export class ResponseGate implements LayeredGate {
  #state: 'open' | 'making head' | 'waiting' | 'released' | 'replaced' = 'open';
  /** Whether the head has gone through here to Node. */
  #headIsMade = false;
  #calls: WaitingCalls | null = null;
  #streams = false;
  #whenDelivered: ((delivery: Delivery) => void) | null = null;
  readonly #response: ServerResponse;
  readonly #owner: GateOwner;
  /** The methods that lie below this gate. */
  readonly #below: SendingMethods;

  /** @param layer of the application's responses; null: there is none, or it does not cover this one */
  constructor(response: ServerResponse, owner: GateOwner, layer: ResponseLayer | null = null) {
    this.#response = response;
    this.#owner = owner;
    this.#below = layer?.take(response, this) === true ? layer.below : installGate(response, this);
  }

  isFor(response: object): boolean {
    if (response === this.#response) return true;
    // What Node keeps of a response until it can be sent is its own. Another response to the same request, as one that is only recorded, has another.
    const { outputData } = response as BufferedResponse;
    return outputData !== undefined && outputData === (this.#response as BufferedResponse).outputData;
  }

  /** Whether the application has begun its response, even if nothing has left yet. */
  get hasBegun(): boolean {
    return this.#state !== 'open' && this.#state !== 'making head';
  }

  /** Node's response. */
  get response(): ServerResponse {
    return this.#response;
  }

  /** Calls `listener` once, when the first byte has gone out or the connection is closed without it. Costs nothing where it is not called. */
  whenDelivered(listener: (delivery: Delivery) => void): void {
    this.#whenDelivered = listener;
    if (this.#response.destroyed) this.#delivered({ got: 'nothing' });
    else if (this.#state === 'released') this.#noteDelivery();
    this.#response.once('close', () => {
      this.#delivered({ got: 'nothing' });
    });
  }

  /** The application has called `method` of the response, with at most the three arguments that Node knows. */
  called(method: SendingMethod, first?: unknown, second?: unknown, third?: unknown): unknown {
    switch (this.#state) {
      case 'open':
        return this.#mustWait(method, first)
          ? this.#startWaiting(method, [first, second, third])
          : this.#begin(method, first, second, third);
      case 'making head':
        if (method === 'writeHead') adoptHead(this.#response, first, second, third);
        return this.#response;
      case 'released':
        return this.#pass(method, first, second, third);
      case 'waiting':
      case 'replaced':
        return this.#calls?.take(method, [first, second, third]);
      default:
        return this.#state satisfies never;
    }
  }

  /** If the check fails, the commit would fail too: the response is then an error, never the application's. */
  #mustWait(method: SendingMethod, first: unknown): boolean {
    const response = this.#response;
    try {
      if (!this.#owner.needsCommit(method === 'writeHead' ? Number(first) : response.statusCode)) return false;
    } catch {
      // As if there were something to commit.
    }
    // Other code may have sent the head by a method that was taken from the response before this gate lay over it.
    return !response.headersSent;
  }

  #begin(method: SendingMethod, first: unknown, second: unknown, third: unknown): unknown {
    this.#state = 'released';
    try {
      return this.#pass(method, first, second, third);
    } catch (error) {
      // Nothing has left: the response to this error comes through here anew.
      if (!this.#response.headersSent) this.#state = 'open';
      throw error;
    }
  }

  /** A call that Node refuses before there is a head starts nothing. */
  #startWaiting(method: SendingMethod, args: SendingArguments): unknown {
    const calls = new WaitingCalls(
      this.#response,
      () => {
        this.#beforeHead();
      },
      (error) => {
        this.#owner.ignored(error);
      },
    );
    let taken = args;
    if (method === 'writeHead') {
      taken = adoptHead(this.#response, ...args) ?? args;
      detachHeaders(this.#response);
    }
    try {
      return calls.take(method, taken);
    } finally {
      // Node makes no head for a client that has gone. What its request has changed is stored all the same.
      if (calls.headersSent || this.#response.destroyed) this.#wait(calls);
    }
  }

  /** Node makes a head by calling `writeHead`, so that what lies above this gate adds its headers. */
  #beforeHead(): void {
    const response = this.#response;
    if (isCovered(response)) {
      this.#state = 'making head';
      try {
        response.writeHead(response.statusCode);
      } finally {
        this.#state = 'open';
      }
    }
    detachHeaders(response);
  }

  #wait(calls: WaitingCalls): void {
    this.#state = 'waiting';
    this.#calls = calls;
    calls.show();
    this.#owner.commit(calls.statusCode).then(
      () => {
        this.#release(calls);
      },
      (error: unknown) => {
        const replacement = this.#owner.replacement(error, calls.statusCode);
        if (replacement === null) this.#release(calls);
        else this.#replace(calls, replacement);
      },
    );
  }

  #release(calls: WaitingCalls): void {
    this.#state = 'released';
    // What lies above has made its part of the head.
    const uncover = isCovered(this.#response)
      ? overlay(this.#response, { writeHead: { value: this.#headMethod(), writable: true } })
      : null;
    try {
      calls.release((method, args) => this.#pass(method, ...args));
    } catch (error) {
      this.#owner.broken(error);
      if (this.#response.headersSent) this.#response.destroy();
      else this.#replace(calls, INTERNAL_ERROR_RESPONSE);
    } finally {
      uncover?.();
    }
  }

  #headMethod(): Sending {
    return (status, reason, headers) => this.#pass('writeHead', status, reason, headers);
  }

  #replace(calls: WaitingCalls, replacement: ReplacementResponse): void {
    this.#state = 'released';
    this.#delivered({ got: 'replacement' });
    try {
      calls.replace(() => {
        this.#respond(replacement);
      });
    } catch (error) {
      this.#owner.broken(error);
      this.#response.destroy();
    }
    this.#state = 'replaced';
  }

  #respond({ status, body }: ReplacementResponse): void {
    const response = this.#response;
    for (const name of response.getHeaderNames()) if (OF_THE_LOST_RESPONSE.test(name)) response.removeHeader(name);
    const text = JSON.stringify(body);
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    // Past what lies above: express-session and compression have taken the response for ended already.
    this.#pass('writeHead', status);
    this.#pass('end', text);
  }

  #pass(method: SendingMethod, first?: unknown, second?: unknown, third?: unknown): unknown {
    const response = this.#response;
    let result: unknown;
    switch (method) {
      case 'writeHead':
        return this.#makeHead(first, second, third);
      case 'flushHeaders':
        result = this.#below.flushHeaders.call(response);
        break;
      case 'write':
        this.#streams = true;
        result = this.#below.write.call(response, first, second, third);
        break;
      case 'end':
        if (this.#streams) this.#owner.streamEnds();
        result = this.#below.end.call(response, first, second, third);
        break;
      default:
        return method satisfies never;
    }
    if (this.#whenDelivered !== null) this.#noteDelivery();
    return result;
  }

  #makeHead(status: unknown, second: unknown, third: unknown): unknown {
    // Node refuses a second head.
    if (this.#headIsMade) return this.#below.writeHead.call(this.#response, status, second, third);
    const result = this.#makeFirstHead(status, second, third);
    this.#headIsMade = true;
    return result;
  }

  /** Nearly every response needs only `Vary`. Node then takes the application's headers as they are, without a copy of each one. */
  #makeFirstHead(status: unknown, second: unknown, third: unknown): unknown {
    const response = this.#response;
    const { writeHead } = this.#below;
    const vary = this.#owner.varyAlone(Number(status));
    if (vary !== null && third === undefined && !this.#mustKeepCacheHeaders()) {
      if (second === undefined) {
        vary.addTo(response);
        return writeHead.call(response, status);
      }
      const headers = isHeadersObject(second) && !response.hasHeader('Vary') ? vary.addedTo(second) : null;
      if (headers !== null) return writeHead.call(response, status, headers);
    }
    const adopted = adoptHead(response, status, second, third);
    if (adopted === null) return writeHead.call(response, status, second, third);
    this.#owner.writeHeaders(response);
    if (!this.#mustKeepCacheHeaders()) return writeHead.call(response, ...adopted);
    return withCacheHeadersKept(response, () => writeHead.call(response, ...adopted));
  }

  /** Whether no cache may keep the response, and `writeHead` is not Node's own, so that middleware below may say otherwise. */
  #mustKeepCacheHeaders(): boolean {
    return this.#below.writeHead !== NODE_METHODS.writeHead && isStoringForbidden(this.#response);
  }

  #noteDelivery(): void {
    const { headersSent, statusCode, destroyed } = this.#response;
    if (headersSent) this.#delivered(destroyed ? { got: 'nothing' } : { got: 'response', status: statusCode });
  }

  #delivered(delivery: Delivery): void {
    const listener = this.#whenDelivered;
    this.#whenDelivered = null;
    listener?.(delivery);
  }
}
