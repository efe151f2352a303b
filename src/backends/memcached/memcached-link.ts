import type { Response } from 'memjs';
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';

import { atEndOfTurn } from '../end-of-turn.js';
import { encodeRequests, isResponseTo, type BinaryRequest } from './binary-request.js';
import { MemcachedError } from './memcached-error.js';
import type { MemcachedServerOptions } from './memcached-options.js';
import { ResponseStream } from './response-stream.js';

/** By this the kernel keeps an idle connection known to firewalls, and finds out that it is dead: after this and ten seconds. */
const KEEP_ALIVE_S = 15;

export interface LinkOptions {
  /** The longest that a call may take. */
  readonly timeoutMs: number;
  /** The last number that a request may have. */
  readonly lastSequence: number;
  /** Called once, when it takes no further request, whichever side ended it. */
  readonly onEnd: (link: MemcachedLink) => void;
}

/** Called once, with the responses to all requests of a call, or with an error. */
type CallEnd = (error: Error | null, responses: readonly Response[] | null) => void;

/** One connection of memjs to a server, until it is discarded. */
export class MemcachedLink {
  readonly #server: ResponseStream;
  readonly #options: LinkOptions;
  /** Begins anywhere, so that a response that was meant for another connection does not fit by chance. */
  #sequence: number;
  #socket: Socket | undefined;
  #isBatching = false;
  #inFlight = 0;
  #hasEnded = false;
  #isRetired = false;
  /** Whether a response has ever come by it. */
  isProven = false;
  /** When it was last of use, by `performance.now()`. */
  usedAt = performance.now();

  constructor({ host, port, username, password }: MemcachedServerOptions, options: LinkOptions) {
    this.#options = options;
    this.#sequence = randomInt(Math.ceil(options.lastSequence / 2));
    // Longer than our own timeout, which is that of the first call.
    const conntimeout = (2 * options.timeoutMs) / 1000;
    const times = { conntimeout, keepAlive: true, keepAliveDelay: KEEP_ALIVE_S };
    this.#server = new ResponseStream(host, port, username, password, times);
    // Where none are given, memjs takes those of its environment variables, which may be meant for another server.
    Object.assign(this.#server, { username, password });
    this.#server.sock(false, (socket) => {
      this.#socket = socket;
      // Without this a batch would wait for the response to the one before.
      socket.setNoDelay(true);
      // memjs leaves the calls under way without an end when the server closes the connection.
      socket.once('close', () => this.discard());
    });
  }

  /** Whether its numbers are used up. */
  get isUsedUp(): boolean {
    return this.#sequence >= this.#options.lastSequence;
  }

  get isIdle(): boolean {
    return this.#inFlight === 0;
  }

  /** How much the server has said; it grows with anything that comes. */
  get bytesReceived(): number {
    return this.#socket?.bytesRead ?? 0;
  }

  /**
   * Sends requests together. Memcached responds in order. memjs tells by number that a response belongs to one of them; which one, each tells by
   * its key. What does not fit shows that the connection is out of step.
   */
  send(requests: readonly BinaryRequest[], end: CallEnd): void {
    if (this.#hasEnded) {
      end(connectionLostError(), null);
      return;
    }
    this.#batch();
    this.#inFlight++;
    const first = this.#sequence + 1;
    this.#sequence += requests.length;
    const responses: Response[] = [];
    const take = (response: Response): void => {
      const request = requests[responses.length];
      if (request === undefined || !isResponseTo(request, response)) {
        this.discard(new MemcachedError('FOREIGN_RESPONSE', 'Memcached gave the response to another request.'));
      } else if (responses.push(response) === requests.length) {
        this.#succeed(responses, end);
      }
    };
    for (let sequence = first; sequence <= this.#sequence; sequence++) this.#server.onResponse(sequence, take);
    // memjs forgets it after the last response.
    this.#server.onError(this.#sequence, (error: unknown) => {
      if (responses.length < requests.length) this.#fail(error, end);
    });
    this.#server.sock(false, (socket) => socket.write(encodeRequests(requests, first)));
  }

  #succeed(responses: readonly Response[], end: CallEnd): void {
    this.#inFlight--;
    this.isProven = true;
    this.usedAt = performance.now();
    end(null, responses);
    if (this.#isRetired && this.#inFlight === 0) this.discard();
  }

  #fail(error: unknown, end: CallEnd): void {
    this.#inFlight--;
    end(error instanceof Error ? error : authenticationError(), null);
    this.discard();
  }

  /** Sends the requests of one turn of the event loop with one system call, which costs as much as all else of a request. */
  #batch(): void {
    if (this.#isBatching || this.#socket === undefined) return;
    this.#isBatching = true;
    this.#socket.cork();
    atEndOfTurn(this.#sendBatch);
  }

  /** One function for all turns: every request comes by here. */
  readonly #sendBatch = (): void => {
    this.#isBatching = false;
    this.#socket?.uncork();
  };

  /** Ends when nothing is under way on it any more. */
  retire(): void {
    this.#isRetired = true;
    if (this.#inFlight === 0) this.discard();
  }

  /** Destroys the socket and fails what is under way on it; to do it twice does nothing. */
  discard(reason = connectionLostError()): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.onEnd(this);
    this.#server.error(reason);
  }
}

function connectionLostError(): MemcachedError {
  return new MemcachedError('CONNECTION_LOST', 'The connection to Memcached was given up.');
}

/** The one failure that memjs reports as a string. */
function authenticationError(): MemcachedError {
  return new MemcachedError('AUTHENTICATION_FAILED', 'Memcached does not take the user name and password.');
}
