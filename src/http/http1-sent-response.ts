import { ServerResponse } from 'node:http';

import { overlay } from './overlay.js';
import type { SendingMethod, SentResponse } from './sent-response.js';

type Callback = (...args: readonly unknown[]) => void;
type Method = SendingMethod | 'addTrailers';
type NodeMethod = (this: NodeResponse, ...args: readonly unknown[]) => unknown;

/** A response of Node's, with fields that have no types and that libraries read all the same (`express-session`, `on-headers`). */
type NodeResponse = Omit<ServerResponse, Method | 'finished' | 'statusMessage'> &
  Record<Method, NodeMethod> & {
    statusMessage: string | undefined;
    _header: string | null;
    _trailer: string;
    finished: boolean;
  };

const NODE = ServerResponse.prototype as unknown as NodeResponse;

/**
 * Node's own methods, run on an object that inherits from the response: they read the response's state, and what they set stays on that
 * object. So a call does all that Node does with it, except for sending.
 */
export class Http1SentResponse implements SentResponse {
  readonly #response: NodeResponse;
  readonly #view: NodeResponse;
  /** What the application has set before the head was made; empty: Node's own. */
  readonly #statusMessage: string;
  readonly #sendDate: boolean;
  #uncover: (() => void) | null = null;

  /**
   * @param beforeHead is called before a call makes the head without `writeHead`
   * @param ignored is told of a call which Node would report by an `error` event of the response
   */
  constructor(response: ServerResponse, beforeHead: () => void, ignored: (error: Error) => void) {
    this.#response = response as unknown as NodeResponse;
    this.#statusMessage = this.#response.statusMessage ?? '';
    this.#sendDate = response.sendDate;
    const view: unknown = Object.create(response, {
      socket: { value: null },
      writeHead: {
        value: () => {
          beforeHead();
          return NODE.writeHead.call(this.#view, response.statusCode);
        },
      },
      _send: { value: checkEncoding },
      emit: {
        value: (event: unknown, error: Error) => {
          if (event === 'error') ignored(error);
        },
      },
    });
    this.#view = view as NodeResponse;
  }

  get headersSent(): boolean {
    return this.#view.headersSent;
  }

  get statusCode(): number {
    return this.#view.statusCode;
  }

  get writableEnded(): boolean {
    return this.#view.writableEnded;
  }

  accepts(method: SendingMethod, args: readonly unknown[]): boolean {
    const { writableEnded, destroyed } = this.#view;
    const isRefused = writableEnded || (destroyed && method === 'write');
    const tried = args.map((argument) =>
      typeof argument === 'function' ? this.#callbackOf(method, argument as Callback, isRefused) : argument,
    );
    Reflect.apply(NODE[method], this.#view, tried);
    if (this.#uncover !== null) this.#response.finished = this.#view.finished;
    return !isRefused;
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

  show(): void {
    const response = this.#response;
    const view = this.#view;
    const { addTrailers } = response;
    response.statusCode = view.statusCode;
    response.statusMessage = view.statusMessage;
    // By these two, Node refuses what comes too late.
    response._header = view._header;
    response.finished = view.finished;
    this.#uncover = overlay(response, {
      _send: { value: refuseToSend },
      addTrailers: {
        value: (trailers: unknown) => {
          // After the end they are checked, and go nowhere.
          addTrailers.call(view.finished ? (Object.create(view) as NodeResponse) : view, trailers);
        },
      },
    });
  }

  hide(): () => void {
    const response = this.#response;
    const view = this.#view;
    const { statusCode, statusMessage } = response;
    this.#makeReal();
    return () => {
      if (statusCode !== view.statusCode) response.statusCode = statusCode;
      if (statusMessage !== view.statusMessage) response.statusMessage = statusMessage;
    };
  }

  discard(): void {
    this.#makeReal();
    this.#response.statusMessage = '';
  }

  #makeReal(): void {
    const response = this.#response;
    this.#uncover?.();
    this.#uncover = null;
    response._header = null;
    response._trailer = this.#view._trailer;
    response.finished = false;
    response.statusCode = this.#view.statusCode;
    response.statusMessage = this.#statusMessage;
    response.sendDate = this.#sendDate;
  }
}

/** In place of Node's `_send`. Behind that one, a socket refuses encodings that it does not know. */
function checkEncoding(_data: unknown, encoding: unknown): boolean {
  if (typeof encoding === 'string' && encoding !== '' && encoding !== 'buffer' && !Buffer.isEncoding(encoding)) {
    Buffer.from('', encoding as BufferEncoding);
  }
  return true;
}

function refuseToSend(): never {
  throw new Error(
    'This response waits until its session is stored: call its own write() and end(), not functions that were taken from it earlier.',
  );
}
