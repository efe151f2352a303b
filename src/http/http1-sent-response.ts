import { ServerResponse } from 'node:http';

import { NODE_METHODS } from './gate-methods.js';
import type { SendingArguments, SendingMethod, SentResponse } from './sent-response.js';

type Callback = (...args: readonly unknown[]) => void;

/** Fields of a response of Node's that have no types, and that libraries read all the same (`express-session`, `on-headers`). */
interface NodeFields {
  _header: string | null;
  _trailer: string;
  _send: (data: unknown, encoding: unknown) => boolean;
  statusMessage: string | undefined;
  finished: boolean;
}

type NodeResponse = Omit<ServerResponse, keyof NodeFields> & NodeFields;

/** The headers that decide how Node sends a body. The others it has checked when they were set. */
const OF_THE_BODY = ['Content-Length', 'Transfer-Encoding', 'Trailer'];

/** Another response of Node's to the same request, which no socket is behind: Node does all that it does with a call, except for sending. */
export class Http1SentResponse extends ServerResponse implements SentResponse {
  readonly #response: NodeResponse;
  readonly #beforeHead: () => void;
  readonly #ignored: (error: Error) => void;
  /** What the application has set before the head was made; empty: Node's own. */
  readonly #statusMessage: string;
  readonly #sendDate: boolean;
  #send: NodeFields['_send'] | null = null;
  #trailer: string | null = null;

  /**
   * @param beforeHead is called before a call makes the head without `writeHead`
   * @param ignored is told of a call which Node would report by an `error` event of the response
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
    if (this.#send !== null) this.#response.finished = this.writableEnded;
    return !isRefused;
  }

  show(): void {
    const response = this.#response;
    const own = this as unknown as NodeResponse;
    response.statusCode = this.statusCode;
    response.statusMessage = this.statusMessage;
    // By these two, Node refuses what comes too late.
    response._header = own._header;
    response.finished = this.writableEnded;
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

  /** Node calls this to make a head that nobody has made. */
  override writeHead(): this {
    this.#beforeHead();
    this.#makeHead([this.#response.statusCode]);
    return this;
  }

  override emit(event: string | symbol, ...args: readonly unknown[]): boolean {
    if (event === 'error') this.#ignored(args[0] as Error);
    return true;
  }

  /** In place of Node's. Behind that one, a socket refuses encodings that it does not know. */
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
    response._header = null;
    response.finished = false;
    response.statusCode = this.statusCode;
    response.statusMessage = this.#statusMessage;
    response.sendDate = this.#sendDate;
    // Those that came after the end go nowhere.
    if (this.#trailer !== null) response._trailer = this.#trailer;
  }

  /** That of a call which is accepted waits for the call itself. */
  #callbackOf(method: SendingMethod, callback: Callback, isRefused: boolean): Callback | undefined {
    if (!isRefused) return undefined;
    if (method !== 'end') return callback;
    // A second end is told at once that it is one, or when the first is over: that differs between versions of Node.
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
    'This response waits until its session is stored: call its own write() and end(), not functions that were taken from it earlier.',
  );
}
