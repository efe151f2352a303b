import { Client, Server, type Response } from 'memjs';
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';

import { encodeRequest, isAnswerTo, type BinaryRequest } from './binary-request.js';
import { MemcachedError } from './memcached-error.js';
import type { MemcachedServerOptions } from './memcached-options.js';

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

/** One memjs client, with one server and one socket, until it is discarded. */
export class MemcachedLink {
  readonly #client: Client;
  readonly #server: Server;
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
    // Longer than our own deadlines, which do more than memjs's.
    const seconds = (2 * options.timeoutMs) / 1000;
    const times = { timeout: seconds, conntimeout: seconds, keepAlive: true, keepAliveDelay: KEEP_ALIVE_S };
    this.#server = new Server(host, port, username, password, times);
    // Where none are given, memjs takes those of its environment variables, which may be meant for another server.
    Object.assign(this.#server, { username, password });
    this.#client = new Client([this.#server], { retries: 1, failover: false, logger: { log: ignore } });
    this.#server.sock(false, (socket) => {
      this.#socket = socket;
      // A session and its list are asked for in two requests: without this the second would wait for the response to the first.
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

  /** @param end called once, with the response to this very request or with an error */
  send(request: BinaryRequest, end: (error: Error | null, response: Response | null) => void): void {
    if (this.#hasEnded) {
      end(connectionLost(), null);
      return;
    }
    this.#batch();
    this.#inFlight++;
    const sequence = ++this.#sequence;
    const bytes = encodeRequest(request, sequence);
    this.#client.perform(request.key, bytes, sequence, (error: unknown, response: Response) => {
      this.#inFlight--;
      if (error !== null) {
        end(error instanceof Error ? error : authenticationFailed(), null);
        this.discard();
      } else if (isAnswerTo(request, response)) {
        this.isProven = true;
        this.usedAt = performance.now();
        end(null, response);
        if (this.#isRetired && this.#inFlight === 0) this.discard();
      } else {
        end(new MemcachedError('FOREIGN_ANSWER', 'Memcached answered something that was not asked.'), null);
        this.discard();
      }
    });
  }

  /** Sends the requests of one turn of the event loop with one system call, which costs as much as all else of a request. */
  #batch(): void {
    if (this.#isBatching || this.#socket === undefined) return;
    this.#isBatching = true;
    this.#socket.cork();
    setImmediate(this.#sendBatch);
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
  discard(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.onEnd(this);
    this.#server.error(connectionLost());
  }
}

function connectionLost(): MemcachedError {
  return new MemcachedError('CONNECTION_LOST', 'The connection to Memcached was given up.');
}

/** The one failure that memjs reports as a string. */
function authenticationFailed(): MemcachedError {
  return new MemcachedError('AUTHENTICATION_FAILED', 'Memcached does not take the user name and password.');
}

function ignore(): void {
  // memjs logs each failure, to the console by default; what is worth saying is said by the connection, once.
}
