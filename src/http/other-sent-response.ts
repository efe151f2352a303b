import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';

import { overlay } from './overlay.js';
import type { SendingArguments, SendingMethod, SentResponse } from './sent-response.js';

/** For a response that is not of HTTP/1, such as those of Node's HTTP/2 server. A stream checks the chunks, as it does there. */
export class OtherSentResponse implements SentResponse {
  headersSent = false;
  statusCode = 0;
  #uncover: (() => void) | null = null;
  readonly #chunks = new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });

  constructor(
    private readonly response: ServerResponse,
    private readonly beforeHead: () => void,
  ) {}

  get writableEnded(): boolean {
    return this.#chunks.writableEnded;
  }

  accepts(method: SendingMethod, args: SendingArguments): boolean {
    if (this.headersSent && method === 'writeHead') throw headersSentError();
    if (!this.headersSent) this.#makeHead(method);
    const callback = args.find((argument) => typeof argument === 'function');
    if (this.writableEnded) {
      if (callback !== undefined) process.nextTick(callback, method === 'write' ? writeAfterEndError() : undefined);
      return false;
    }
    const [chunk, encoding] = args.map((argument) => (typeof argument === 'function' ? undefined : argument));
    if (method === 'write' || (method === 'end' && chunk !== undefined && chunk !== null)) {
      this.#chunks.write(chunk, encoding as BufferEncoding);
    }
    if (method === 'end') this.#chunks.end();
    return true;
  }

  #makeHead(method: SendingMethod): void {
    if (method !== 'writeHead') this.beforeHead();
    this.statusCode = this.response.statusCode;
    this.headersSent = true;
  }

  show(): void {
    const refusal = {
      value: () => {
        throw headersSentError();
      },
    };
    const isEnded = { get: () => this.writableEnded };
    this.#uncover = overlay(this.response, {
      headersSent: { value: true },
      _header: { value: true },
      finished: isEnded,
      writableEnded: isEnded,
      setHeader: refusal,
      setHeaders: refusal,
      appendHeader: refusal,
      removeHeader: refusal,
    });
  }

  hide(): () => void {
    const { response } = this;
    const { statusCode } = response;
    this.discard();
    return () => {
      if (statusCode !== this.statusCode) response.statusCode = statusCode;
    };
  }

  discard(): void {
    this.#uncover?.();
    this.#uncover = null;
    this.response.statusCode = this.statusCode;
  }
}

function headersSentError(): Error {
  return Object.assign(new Error('Response has already been initiated.'), { code: 'ERR_HTTP2_HEADERS_SENT' });
}

function writeAfterEndError(): Error {
  return Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' });
}
