import { ServerResponse } from 'node:http';

import { Http1SentResponse } from './http1-sent-response.js';
import { OtherSentResponse } from './other-sent-response.js';
import { overlay } from './overlay.js';
import type { SendingArguments, SendingMethod, SentResponse } from './sent-response.js';

type Call = readonly [method: SendingMethod, args: SendingArguments];

/** Far above the buffers of sockets and compressors (16 to 64 KiB), and small enough for many responses at once. */
const MAX_WAITING_BYTES = 256 * 1024;

/** The calls by which the application has sent a response that waits. */
export class WaitingCalls {
  readonly #sent: SentResponse;
  #calls: Call[] = [];
  #bytes = 0;
  #areDropped = false;
  #showDestroy: (() => void) | null = null;
  /** With what the application has destroyed the response after its end; null: it has not. */
  #destroyed: { readonly error: Error | undefined } | null = null;

  /**
   * @param beforeHead is called before a call makes the head without `writeHead`
   * @param ignored is called for a call after the end, if the response has no listener for errors
   */
  constructor(
    private readonly response: ServerResponse,
    beforeHead: () => void,
    ignored: (error: Error) => void,
  ) {
    const refused = (error: Error): void => {
      if (response.listenerCount('error') > 0) response.emit('error', error);
      else ignored(error);
    };
    this.#sent =
      response instanceof ServerResponse
        ? new Http1SentResponse(response, beforeHead, refused)
        : new OtherSentResponse(response, beforeHead);
  }

  /** Whether one of the calls has made the head of the response. */
  get headersSent(): boolean {
    return this.#sent.headersSent;
  }

  /** The status that it was made with. */
  get statusCode(): number {
    return this.#sent.statusCode;
  }

  /** @returns what Node returns for a call on a response that is being sent @throws what Node throws */
  take(method: SendingMethod, args: SendingArguments): unknown {
    const isAccepted = this.#sent.accepts(method, args);
    if (isAccepted && this.#areDropped) callBack(method, args);
    if (isAccepted && !this.#areDropped) this.#keep(method, args);
    switch (method) {
      case 'write':
        // Returns false only after 256 KiB, which is more than any buffer below it: `compression` moves the listeners for `drain` to
        // its own stream, which emits it only after that stream was full.
        return isAccepted && !this.#isFull;
      case 'flushHeaders':
        return undefined;
      default:
        return this.response;
    }
  }

  show(): void {
    this.#sent.show();
    this.#deferDestroy();
  }

  /**
   * Without us, a response that has ended is with the client before `destroy()` closes the connection. Fastify calls it when a stream that it
   * sends meets a response that another call has ended.
   */
  #deferDestroy(): void {
    const { response } = this;
    const destroy = (error?: Error): ServerResponse => {
      if (this.#sent.writableEnded) {
        this.#destroyed ??= { error };
        return response;
      }
      this.#restoreDestroy();
      return response.destroy(error);
    };
    this.#showDestroy = overlay(response, { destroy: { value: destroy, writable: true } });
  }

  /** Before the calls are made: where one of them fails, the connection has to be closed. */
  #restoreDestroy(): void {
    this.#showDestroy?.();
    this.#showDestroy = null;
  }

  #destroyNow(): void {
    if (this.#destroyed !== null) this.response.destroy(this.#destroyed.error);
  }

  /** Makes the calls, in their order. */
  release(call: (method: SendingMethod, args: SendingArguments) => unknown): void {
    const showLaterStatus = this.#sent.hide();
    this.#restoreDestroy();
    const calls = this.#calls;
    this.#calls = [];
    let tookAll: unknown = true;
    for (const [method, args] of calls) {
      const result = call(method, args);
      if (method === 'write') tookAll = result;
    }
    // The first call was refused after it had made the head.
    if (calls.length === 0) call('writeHead', [this.response.statusCode]);
    showLaterStatus();
    // A caller that got false from write() waits for this. If a buffer below is full, the event comes from there.
    if (tookAll !== false) this.#drain();
    this.#destroyNow();
  }

  /** Drops these calls and all later ones. `send()` sends another response. */
  replace(send: () => void): void {
    this.#areDropped = true;
    this.#sent.discard();
    this.#restoreDestroy();
    send();
    for (const [method, args] of this.#calls) callBack(method, args);
    this.#calls = [];
    // A stream that is piped into the response ends with it. One that waits for `drain` has to go on first.
    this.#drain();
    this.#destroyNow();
  }

  #keep(method: SendingMethod, args: SendingArguments): void {
    this.#calls.push([method, args]);
    const [chunk] = args;
    if (method === 'write') this.#bytes += typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk.length : 0;
  }

  get #isFull(): boolean {
    return this.#bytes >= MAX_WAITING_BYTES && !this.#areDropped;
  }

  #drain(): void {
    if (this.#bytes >= MAX_WAITING_BYTES) this.response.emit('drain');
  }
}

function callBack(method: SendingMethod, args: SendingArguments): void {
  const callback = args.findLast((argument) => typeof argument === 'function');
  if (callback !== undefined && (method === 'write' || method === 'end')) process.nextTick(callback);
}
