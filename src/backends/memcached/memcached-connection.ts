import { Client, Server, type Response } from 'memjs';

import { describeDriverFailure } from '../../store/driver-failure.js';
import type { BackendContext } from '../session-backend.interface.js';
import { encodeRequest, isAnswerTo, type BinaryRequest } from './binary-request.js';
import { MemcachedError } from './memcached-error.js';
import { addressOf, type MemcachedServerOptions } from './memcached-options.js';

/** memjs counts on past 2^31 into numbers that it cannot send; from there on every call would fail. */
const LAST_SEQUENCE = 2 ** 31 - 1;

/** One memjs client, with one server, until it is discarded. */
interface Link {
  readonly client: Client;
  readonly server: Server;
  inFlight: number;
  retired: boolean;
}

/**
 * The connection to one Memcached server, by memjs, which by itself may leave a call without an end, send a write twice, and take the
 * rest of an answer for the answer to another call. So: each call has a deadline, nothing is sent again, each answer must name what
 * was asked, and after the first failure the client is thrown away with all that it has under way; the next call makes a new one.
 */
export class MemcachedConnection {
  readonly #address: string;
  #link: Link | undefined;
  #lost = false;
  #closed = false;
  readonly #calls = new Set<Promise<Response>>();

  constructor(
    private readonly target: MemcachedServerOptions,
    private readonly context: Pick<BackendContext, 'timeoutMs' | 'logger'>,
    private readonly lastSequence = LAST_SEQUENCE,
  ) {
    this.#address = addressOf(target);
  }

  /** @throws MemcachedError or an error of the socket, within `timeoutMs`; whether the request was carried out is then unknown */
  call(request: BinaryRequest): Promise<Response> {
    if (this.#closed) return Promise.reject(new MemcachedError('CLOSED', 'The connection to Memcached is closed.'));
    const call = this.#call(this.#openLink(), request);
    this.#calls.add(call);
    const forget = () => void this.#calls.delete(call);
    call.then(forget, forget);
    return call;
  }

  /** Waits for the answers that are under way, each of which has its deadline, and lets no further call in. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#calls);
    if (this.#link !== undefined) this.#discard(this.#link);
  }

  async #call(link: Link, request: BinaryRequest): Promise<Response> {
    link.inFlight++;
    let deadline: NodeJS.Timeout | undefined;
    try {
      const response = await new Promise<Response>((resolve, reject) => {
        deadline = setTimeout(
          () => reject(new MemcachedError('NO_ANSWER', 'Memcached did not answer in time.')),
          this.context.timeoutMs,
        );
        perform(link.client, request, resolve, reject);
      });
      if (!isAnswerTo(request, response)) {
        throw new MemcachedError('FOREIGN_ANSWER', 'Memcached answered something that was not asked.');
      }
      this.#answered();
      return response;
    } catch (error) {
      this.#failed(error);
      this.#discard(link);
      throw error;
    } finally {
      clearTimeout(deadline);
      link.inFlight--;
      if (link.retired && link.inFlight === 0) this.#discard(link);
    }
  }

  #openLink(): Link {
    if (this.#link !== undefined && this.#link.client.seq >= this.lastSequence) {
      this.#link.retired = true;
      if (this.#link.inFlight === 0) this.#discard(this.#link);
      this.#link = undefined;
    }
    this.#link ??= this.#newLink();
    return this.#link;
  }

  #newLink(): Link {
    const { host, port, username, password } = this.target;
    // Longer than our own deadlines, which do more than memjs's.
    const seconds = (2 * this.context.timeoutMs) / 1000;
    const options = { timeout: seconds, conntimeout: seconds, retries: 1, failover: false, logger: { log: ignore } };
    const server = new Server(host, port, username, password, { ...options });
    const link = { client: new Client([server], options), server, inFlight: 0, retired: false };
    server.sock(false, (socket) => {
      // A session and its list are asked for in two requests: without this the second would wait for the answer to the first.
      socket.setNoDelay(true);
      // memjs leaves the calls under way without an end when the server closes the connection.
      socket.once('close', () => this.#discard(link));
    });
    return link;
  }

  /** Destroys the socket and fails what is under way on it; to do it twice does nothing. */
  #discard(link: Link): void {
    if (this.#link === link) this.#link = undefined;
    link.server.error(new MemcachedError('CONNECTION_LOST', 'The connection to Memcached was given up.'));
  }

  /** Said once for an outage. */
  #failed(error: unknown): void {
    if (this.#lost || this.#closed) return;
    this.#lost = true;
    this.context.logger.warn(
      `Memcached at ${this.#address} is out of reach (${describeDriverFailure(error)}); each call tries again.`,
    );
  }

  #answered(): void {
    if (!this.#lost) return;
    this.#lost = false;
    this.context.logger.log(`Memcached at ${this.#address} is back.`);
  }
}

function perform(
  client: Client,
  request: BinaryRequest,
  resolve: (response: Response) => void,
  reject: (error: Error) => void,
): void {
  client.incrSeq();
  const sequence = client.seq;
  client.perform(request.key, encodeRequest(request, sequence), sequence, (error: unknown, response: Response) => {
    if (error === null) resolve(response);
    else reject(error instanceof Error ? error : authenticationFailed());
  });
}

/** The one failure that memjs reports as a string. */
function authenticationFailed(): MemcachedError {
  return new MemcachedError('AUTHENTICATION_FAILED', 'Memcached does not take the user name and password.');
}

function ignore(): void {
  // memjs logs each failure, to the console by default; what is worth saying is said above, once.
}
