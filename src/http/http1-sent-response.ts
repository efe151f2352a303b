import { ServerResponse } from 'node:http';

import { NODE_METHODS } from './gate-methods.js';
import { overlay } from './overlay.js';
import type { SendingArguments, SendingMethod, SentResponse } from './sent-response.js';

type Callback = (...args: readonly unknown[]) => void;

/** Fields of Node's response that have no types, and that libraries read nevertheless (`express-session`, `on-headers`). */
interface NodeFields {
  _header: string | null;
  _trailer: string;
  _send: (data: unknown, encoding: unknown) => boolean;
  statusMessage: string | undefined;
}

type NodeResponse = Omit<ServerResponse, keyof NodeFields> & NodeFields;

/** The headers that decide how Node sends a body. Node has checked the others when they were set. */
const OF_THE_BODY = ['Content-Length', 'Transfer-Encoding', 'Trailer'];

/** A second response of Node to the same request, without a socket: Node does with each call what it always does, but sends nothing. */
export class Http1SentResponse extends ServerResponse implements SentResponse {
  readonly #response: NodeResponse;
  readonly #beforeHead: () => void;
  readonly #ignored: (error: Error) => void;
  /** The message that the application has set before the head was made. Empty: that of Node. */
  readonly #statusMessage: string;
  readonly #sendDate: boolean;
  #send: NodeFields['_send'] | null = null;
  #uncover: (() => void) | null = null;
  #trailer: string | null = null;

  /**
   * @param beforeHead is called before a call makes the head without `writeHead`
   * @param ignored is called where Node would emit an `error` event on the response
   */
  constructor(response: ServerResponse, beforeHead: () => void, ignored: (error: Error) => void) {
    super(response.req);
    this.#response = response as unknown as NodeResponse;
    this.#beforeHead = beforeHead;
    this.#ignored = ignored;
    this.#statusMessage = this.#response.statusMessage ?? '';
    this.#sendDate = response.sendDate;
  }

  accepts(method: SendingMethod, args: SendingArguments): boolean {
    this.destroyed = this.#response.destroyed;
    this.strictContentLength = this.#response.strictContentLength;
    const isRefused = this.writableEnded || (this.destroyed && method === 'write');
    const tried = args.map((argument) =>
      typeof argument === 'function' ? this.#callbackOf(method, argument as Callback, isRefused) : argument,
    );
    if (method === 'writeHead') this.#makeHead(tried);
    else Reflect.apply(NODE_METHODS[method], this, tried);
    if (method === 'end') this.#trailer ??= this.#response._trailer;
    return !isRefused;
  }

  show(): void {
    const response = this.#response;
    const own = this as unknown as NodeResponse;
    response.statusCode = this.statusCode;
    response.statusMessage = this.statusMessage;
    // Because of it, Node refuses calls that come too late.
    response._header = own._header;
    // Not `finished`, from which Node derives them: a server that shuts down closes connections whose last response has finished.
    this.#uncover = overlay(response, {
      writableEnded: { get: () => this.writableEnded },
      writableFinished: { get: () => this.writableFinished },
    });
    this.#send = response._send;
    response._send = refuseToSend;
  }

  hide(): () => void {
    const response = this.#response;
    const { statusCode, statusMessage } = response;
    this.#makeReal();
    return () => {
      if (statusCode !== this.statusCode) response.statusCode = statusCode;
      if (statusMessage !== this.statusMessage) response.statusMessage = statusMessage;
    };
  }

  discard(): void {
    this.#makeReal();
    this.#response.statusMessage = '';
  }

  /** Node calls this when a head is needed and the application has made none. */
  override writeHead(): this {
    this.#beforeHead();
    this.#makeHead([this.#response.statusCode]);
    return this;
  }

  override emit(event: string | symbol, ...args: readonly unknown[]): boolean {
    if (event === 'error') this.#ignored(args[0] as Error);
    return true;
  }

  /** Replaces the method of Node, after which a socket would refuse encodings that it does not know. */
  _send(_data: unknown, encoding: unknown): boolean {
    if (typeof encoding === 'string' && encoding !== '' && encoding !== 'buffer' && !Buffer.isEncoding(encoding)) {
      Buffer.from('', encoding as BufferEncoding);
    }
    return true;
  }

  #makeHead(args: readonly unknown[]): void {
    const response = this.#response;
    if (!this.headersSent) {
      this.statusMessage = response.statusMessage ?? '';
      for (const name of OF_THE_BODY) {
        const value = response.getHeader(name);
        if (value !== undefined) this.setHeader(name, value);
      }
    }
    Reflect.apply(NODE_METHODS.writeHead, this, args);
  }

  #makeReal(): void {
    const response = this.#response;
    if (this.#send !== null) response._send = this.#send;
    this.#send = null;
    this.#uncover?.();
    this.#uncover = null;
    response._header = null;
    response.statusCode = this.statusCode;
    response.statusMessage = this.#statusMessage;
    response.sendDate = this.#sendDate;
    // Trailers that were added after the end are not sent.
    if (this.#trailer !== null) response._trailer = this.#trailer;
  }

  /** The callback of a call that is accepted waits until the call is made on the response itself. */
  #callbackOf(method: SendingMethod, callback: Callback, isRefused: boolean): Callback | undefined {
    if (!isRefused) return undefined;
    if (method !== 'end') return callback;
    // Versions of Node differ in when they call back for a second end: at once, or when the first one is over.
    let isCalled = false;
    const once: Callback = (...args) => {
      if (isCalled) return;
      isCalled = true;
      callback(...args);
    };
    this.#response.once('finish', once);
    return once;
  }
}

function refuseToSend(): never {
  throw new Error(
    'This response waits until its changes are stored: call its own write() and end(), not functions that were taken from it earlier.',
  );
}
