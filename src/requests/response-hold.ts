import type { ServerResponse } from 'node:http';

import { setHeaders } from './written-headers.js';

/** What a response is held for. */
export interface HeldFor {
  /**
   * Whether a response with this status must not leave yet. Cheap: it is asked at every response.
   */
  hasWork(status: number): boolean;
  /** Stores it. A rejection replaces the response. */
  work(): Promise<void>;
  /** Adds headers; the status and the application's own headers are settled by now. */
  writeHeaders(response: ServerResponse): void;
  /** The response in place of the application's, after `work` failed with `error`. */
  replacement(error: unknown): ReplacementResponse;
}

export interface ReplacementResponse {
  readonly status: number;
  readonly body: object;
}

type Method = 'writeHead' | 'flushHeaders' | 'write' | 'end';
type Original = (this: ServerResponse, ...args: unknown[]) => unknown;
type Call = readonly [method: Method, args: unknown[]];

const HOLD = Symbol('nestjs-sessionx:hold');

/** A response with a hold on it. */
type HeldResponse = Omit<ServerResponse, Method> & Record<Method, Original> & { [HOLD]: ResponseHold };

/** Far above the buffers of sockets and compressors (16 to 64 KiB), far below what would hurt. */
const MOST_HELD_BYTES = 256 * 1024;

/** Headers that speak of the body that was to come, or that a failed request must not set. */
const OF_THE_LOST_RESPONSE =
  /^(content-.*|transfer-encoding|etag|last-modified|cache-control|expires|pragma|age|accept-ranges|set-cookie|location|refresh|trailer|link)$/i;

/**
 * Stands between the application and the first byte of a response, whoever sends it: Nest, `@Res()`, a stream, a redirect, an exception
 * filter, a hijacked reply. All of them end in four methods of Node's response. If there is something to store, calls wait until it is
 * stored, and are then made in their order; if that fails, they are dropped and another response is sent. With nothing to store,
 * nothing waits.
 */
export class ResponseHold {
  #state: 'open' | 'holding' | 'released' | 'replaced' = 'open';
  #headersWritten = false;
  #held: Call[] = [];
  #heldBytes = 0;
  readonly #originals: Readonly<Record<Method, Original>>;

  constructor(
    private readonly response: ServerResponse,
    private readonly purpose: HeldFor,
  ) {
    const held = response as HeldResponse;
    this.#originals = originalsOf(held);
    // Own properties, so that they lie over the prototype's methods and over what middleware has put there before. The functions are the
    // same for all responses, which keeps them cheap.
    held[HOLD] = this;
    held.writeHead = writeHead;
    held.flushHeaders = flushHeaders;
    held.write = write;
    held.end = end;
  }

  /** For the four functions below. */
  called(method: Method, args: unknown[]): unknown {
    if (this.#state === 'open') {
      if (this.response.headersSent || !this.#mustWait(method, args)) this.#state = 'released';
      else this.#startHolding();
    }
    const state = this.#state as 'holding' | 'released' | 'replaced';
    switch (state) {
      case 'released':
        return this.#pass(method, args);
      case 'holding':
        if (method === 'write') assertChunk(args[0]);
        this.#held.push([method, args]);
        return method === 'write' ? this.#takesMore(args) : this.response;
      case 'replaced':
        return this.#swallow(method, args);
      default:
        return state satisfies never;
    }
  }

  /**
   * The answer of a held `write`. It says "wait" late, above every buffer that may lie below: `compression` moves the listeners for
   * `drain` to a stream of its own, and only what fills that one makes it speak.
   */
  #takesMore([chunk]: readonly unknown[]): boolean {
    this.#heldBytes += typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk.length : 0;
    return !this.#isFull();
  }

  #isFull(): boolean {
    return this.#heldBytes >= MOST_HELD_BYTES;
  }

  /** A question that fails is work that fails: the answer is then an error, never the application's response. */
  #mustWait(method: Method, [status]: readonly unknown[]): boolean {
    try {
      const given = method === 'writeHead' && typeof status === 'number' ? status : this.response.statusCode;
      return this.purpose.hasWork(given);
    } catch {
      return true;
    }
  }

  #startHolding(): void {
    this.#state = 'holding';
    // Code that looks whether the response is under way must see that it is: Nest's filters and Fastify would send a second one.
    const isEnded = () => this.#held.some(([method]) => method === 'end');
    Object.defineProperties(this.response, {
      headersSent: { configurable: true, get: () => true },
      writableEnded: { configurable: true, get: isEnded },
    });
    void this.#settle();
  }

  /** Never rejects: what fails once the first byte is out can only cut the connection. */
  async #settle(): Promise<void> {
    try {
      await this.purpose.work().then(
        () => {
          this.#release();
        },
        (error: unknown) => {
          this.#replace(error);
        },
      );
    } catch (error) {
      this.response.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #release(): void {
    this.#stopHolding();
    let tookAll: unknown = true;
    for (const [method, args] of this.#held.splice(0)) {
      const result = this.#pass(method, args);
      if (method === 'write') tookAll = result;
    }
    // Whoever got false from write() waits for this; if a buffer below is full, it comes from there.
    if (this.#isFull() && tookAll !== false) this.response.emit('drain');
  }

  #replace(error: unknown): void {
    const { status, body } = this.purpose.replacement(error);
    const dropped = this.#held.splice(0);
    this.#stopHolding();
    this.#dropHeaders(dropped);
    const text = JSON.stringify(body);
    this.response.setHeader('Content-Type', 'application/json; charset=utf-8');
    this.response.setHeader('Content-Length', Buffer.byteLength(text));
    this.response.writeHead(status);
    this.response.end(text);
    this.#state = 'replaced';
    for (const [method, args] of dropped) this.#swallow(method, args);
    // A stream that is piped in ends with the response; the one that waits for a drain is let go.
    if (this.#isFull()) this.response.emit('drain');
  }

  #stopHolding(): void {
    this.#state = 'released';
    Reflect.deleteProperty(this.response, 'headersSent');
    Reflect.deleteProperty(this.response, 'writableEnded');
  }

  /** Keeps what speaks of the connection and the client's rights (CORS, security headers), also where it came with `writeHead`. */
  #dropHeaders(dropped: readonly Call[]): void {
    const [head] = dropped.filter(([method]) => method === 'writeHead');
    this.#adoptHeaders(head?.[1] ?? []);
    for (const name of this.response.getHeaderNames()) {
      if (OF_THE_LOST_RESPONSE.test(name)) this.response.removeHeader(name);
    }
  }

  #pass(method: Method, args: unknown[]): unknown {
    let passed = args;
    if (!this.#headersWritten && method === 'writeHead') {
      this.#headersWritten = true;
      passed = this.#adoptHeaders(args);
      if (!this.response.headersSent) this.purpose.writeHeaders(this.response);
    }
    return this.#originals[method].apply(this.response, passed);
  }

  /** Headers given to `writeHead` would win over ours, so they become headers of the response first. Returns the arguments that are left. */
  #adoptHeaders(args: readonly unknown[]): unknown[] {
    const [status] = args;
    const reason = typeof args[1] === 'string' ? args[1] : undefined;
    const headers = reason === undefined ? (args[1] ?? args[2]) : args[2];
    if (typeof status === 'number') this.response.statusCode = status;
    if (typeof headers === 'object' && headers !== null) setHeaders(this.response, headers);
    return reason === undefined ? [this.response.statusCode] : [this.response.statusCode, reason];
  }

  #swallow(method: Method, args: readonly unknown[]): unknown {
    const callback = args.findLast((argument) => typeof argument === 'function');
    if (callback !== undefined && (method === 'write' || method === 'end')) process.nextTick(callback);
    return method === 'write' ? true : this.response;
  }
}

/** What a hold stands before: the response's own methods, or the hold of another SessionModule that the request has come by. */
function originalsOf(response: HeldResponse): Readonly<Record<Method, Original>> {
  const below = (response as Partial<Pick<HeldResponse, typeof HOLD>>)[HOLD];
  if (below === undefined) {
    const { writeHead, flushHeaders, write, end } = response;
    return { writeHead, flushHeaders, write, end };
  }
  const pass =
    (method: Method): Original =>
    (...args) =>
      below.called(method, args);
  return { writeHead: pass('writeHead'), flushHeaders: pass('flushHeaders'), write: pass('write'), end: pass('end') };
}

/** What Node would say at once, and what would otherwise show only when the calls are made. */
function assertChunk(chunk: unknown): void {
  if (typeof chunk === 'string' || chunk instanceof Uint8Array) return;
  throw new TypeError('The chunk of a response is a string, a Buffer or a Uint8Array.');
}

function writeHead(this: ServerResponse, ...args: unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('writeHead', args);
}

function flushHeaders(this: ServerResponse, ...args: unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('flushHeaders', args);
}

function write(this: ServerResponse, ...args: unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('write', args);
}

function end(this: ServerResponse, ...args: unknown[]): unknown {
  return (this as HeldResponse)[HOLD].called('end', args);
}
