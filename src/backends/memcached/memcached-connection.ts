import type { Response } from 'memjs';

import { noRequest } from '../../no-request.js';
import { Outage } from '../../outage.js';
import { describeDriverFailure } from '../driver-failure.js';
import type { BackendContext } from '../session-backend.interface.js';
import { Waits } from '../waits.js';
import type { BinaryRequest } from './binary-request.js';
import { MemcachedCall, type CallContext } from './memcached-call.js';
import { MemcachedError } from './memcached-error.js';
import { MemcachedLink, type LinkOptions } from './memcached-link.js';
import { addressOf, type MemcachedServerOptions } from './memcached-options.js';
import { ReconnectPause } from './reconnect-pause.js';

/** memjs counts on past 2^31 into numbers that it cannot send; from there on every call would fail. */
const LAST_SEQUENCE = 2 ** 31 - 1;
/** Firewalls forget a connection after a minute of silence at the earliest. */
const IDLE_MS = 30_000;

/** One for each request. */
type ResponsesTo<Requests extends readonly BinaryRequest[]> = { readonly [Index in keyof Requests]: Response };

interface ConnectionOptions {
  readonly lastSequence?: number;
  /** A connection that was idle for so long is exchanged before it is used, as a write cannot be tried again. */
  readonly idleMs?: number;
}

/**
 * The connection to one Memcached server, by memjs, which by itself may leave a call without an end, send a write twice, and take the
 * rest of one response for the response to another call. So: each call has a deadline, no write is sent again, each response must name
 * what was requested, and after the first failure the client is thrown away with all that it has under way; the next call makes a new one.
 * While new ones fail too, there are pauses between them, in which calls fail at once.
 */
export class MemcachedConnection {
  readonly #address: string;
  readonly #links = new Set<MemcachedLink>();
  readonly #waits = new Waits();
  readonly #pause = new ReconnectPause();
  readonly #callContext: CallContext;
  readonly #linkOptions: LinkOptions;
  readonly #idleMs: number;
  readonly #outage: Outage;
  #link: MemcachedLink | undefined;
  #underWay = 0;
  #onIdle: (() => void) | undefined;
  #closed = false;

  constructor(
    private readonly target: MemcachedServerOptions,
    private readonly context: Pick<BackendContext, 'timeoutMs' | 'logger' | 'clock'>,
    { lastSequence = LAST_SEQUENCE, idleMs = IDLE_MS }: ConnectionOptions = {},
  ) {
    const { timeoutMs } = context;
    this.#outage = new Outage(context.clock);
    this.#address = addressOf(target);
    this.#idleMs = idleMs;
    this.#linkOptions = { timeoutMs, lastSequence, onEnd: (link) => this.#linkEnded(link) };
    this.#callContext = {
      timeoutMs,
      waits: this.#waits,
      freshLink: (doubtful) => this.#freshLink(doubtful),
      onSuccess: () => this.#responded(),
      onFailure: (error) => this.#failed(error),
    };
  }

  /** @throws MemcachedError or an error of the socket, within `timeoutMs`; whether the request was carried out is then unknown */
  async call(request: BinaryRequest): Promise<Response> {
    const [response] = await this.callTogether([request]);
    return response;
  }

  /** The same for requests that are sent together. @returns the responses in the same order */
  callTogether<const Requests extends readonly BinaryRequest[]>(requests: Requests): Promise<ResponsesTo<Requests>> {
    if (this.#closed) return Promise.reject(new MemcachedError('CLOSED', 'The connection to Memcached is closed.'));
    const link = this.#usableLink();
    if (link === null) {
      return Promise.reject(new MemcachedError('UNREACHABLE', 'Memcached was out of reach a moment ago.'));
    }
    this.#underWay++;
    return new Promise((resolve, reject) => {
      const ended = (responses: readonly Response[]): void => resolve(responses as ResponsesTo<Requests>);
      new MemcachedCall(requests, this.#callContext, ended, reject).begin(link);
    });
  }

  /** Waits for the responses that are under way, each of which has its deadline, and lets no further call in. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    for (const link of this.#links) link.discard();
    this.#waits.rest();
  }

  /** Null: the server was out of reach, and is not tried again yet. */
  #usableLink(): MemcachedLink | null {
    const link = this.#link;
    if (link === undefined) return this.#newLink();
    const isStale = link.isIdle && performance.now() - link.usedAt >= this.#idleMs;
    if (!isStale && !link.isUsedUp) return link;
    return this.#freshLink(link);
  }

  #freshLink(doubtful: MemcachedLink): MemcachedLink | null {
    if (this.#link === doubtful) this.#link = undefined;
    doubtful.retire();
    return this.#link ?? this.#newLink();
  }

  #newLink(): MemcachedLink | null {
    if (this.#closed || this.#pause.isOn) return null;
    const link = noRequest.runInAsyncScope(() => new MemcachedLink(this.target, this.#linkOptions));
    this.#links.add(link);
    this.#link = link;
    return link;
  }

  /** One call is over. */
  #ended(): void {
    if (--this.#underWay === 0) this.#onIdle?.();
  }

  #linkEnded(link: MemcachedLink): void {
    this.#links.delete(link);
    if (this.#link === link) this.#link = undefined;
    if (!link.isProven && !this.#closed) this.#pause.failed();
  }

  /** Said once for an outage. */
  #failed(error: Error): void {
    this.#ended();
    if (this.#closed || !this.#outage.failed()) return;
    this.context.logger.warn(
      `Memcached at ${this.#address} is out of reach (${describeDriverFailure(error)}); it is tried again with each call, after a pause where that fails too.`,
    );
  }

  #responded(): void {
    this.#ended();
    this.#pause.responded();
    if (this.#outage.succeeded()) this.context.logger.log(`Memcached at ${this.#address} is back.`);
  }
}
