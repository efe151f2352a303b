import type { Cluster, Redis } from 'ioredis';

import { isSessionId, type SessionId } from '../../tokens/session-secret.js';
import type { BackendContext, EndedListener, EndedSubscription } from '../session-backend.interface.js';
import { reconnectPause, sessionRedisOptions } from './redis-client-options.js';
import { isCluster } from './redis-connection.js';
import { isRefused } from './redis-refusal.js';
import { ENDED_CHANNEL } from './scripts/script-parts.js';

/** How often it is checked whether the server is still there: on this connection no command is waited for. */
const CHECK_EVERY_MS = 10_000;

type Context = Pick<BackendContext, 'keyPrefix' | 'timeoutMs' | 'logger'>;

/**
 * The channel on which scripts tell which sessions have ended, and the connection for it: a subscriber can do nothing else. There is one while
 * there is a listener. Where it is lost another one is made after a pause; what was published meanwhile is lost.
 */
export class EndedChannel {
  readonly #context: Context;
  readonly #listeners = new Set<{ readonly listener: EndedListener }>();
  #client: Redis | undefined;
  /** Attempts since it was last subscribed. */
  #attempts = 0;
  #nextAttempt: NodeJS.Timeout | undefined;
  #checks: NodeJS.Timeout | undefined;
  #settled: Promise<void> | undefined;
  #settle: () => void = () => undefined;
  /** Whether the log says that the user has no right to the channel. */
  #isRefused = false;
  #isClosed = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** @param like the client whose server, user and key prefix are meant */
  async subscribe(like: Redis | Cluster, listener: EndedListener): Promise<EndedSubscription> {
    if (this.#isClosed) return { close: () => Promise.resolve() };
    const entry = { listener };
    this.#listeners.add(entry);
    this.#settled ??= this.#open(like);
    await this.#settled;
    return {
      close: () => {
        if (this.#listeners.delete(entry) && this.#listeners.size === 0) this.#drop();
        return Promise.resolve();
      },
    };
  }

  /** From now on there are no listeners. */
  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    this.#drop();
  }

  #drop(): void {
    this.#settled = undefined;
    this.#stop();
  }

  /** Drops the connection, also one that is being made, and makes no other one. */
  #stop(): void {
    clearInterval(this.#checks);
    clearTimeout(this.#nextAttempt);
    this.#client?.disconnect();
    this.#client = undefined;
    this.#settle();
  }

  /** Resolves when it is subscribed, refused or closed, or when a call may take no longer: it goes on trying then. */
  #open(like: Redis | Cluster): Promise<void> {
    this.#attempts = 0;
    this.#checks = setInterval(() => this.#check(like), CHECK_EVERY_MS).unref();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#context.timeoutMs);
      this.#settle = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#connect(like);
    });
  }

  /** Each attempt is by a client of its own: with a password that the application has set since, and perhaps on another node of a cluster. */
  #connect(like: Redis | Cluster): void {
    const client = subscriberLike(like, this.#context.timeoutMs);
    this.#client = client;
    if (client === undefined) {
      this.#connectLater(like);
      return;
    }
    const channel = keyPrefixOf(like) + this.#context.keyPrefix + ENDED_CHANNEL;
    client.on('message', (from: string, message: string) => {
      if (from === channel) this.#received(message);
    });
    // The connection for commands reports an outage.
    client.on('error', () => undefined);
    client.on('end', () => {
      if (client === this.#client) this.#connectLater(like);
    });
    client.on('ready', () => {
      client.subscribe(channel).then(
        () => {
          if (client === this.#client) this.#subscribed();
        },
        (error: unknown) => {
          if (client === this.#client) this.#failed(client, error);
        },
      );
    });
    client.connect().catch(() => undefined);
  }

  #connectLater(like: Redis | Cluster): void {
    this.#client = undefined;
    this.#nextAttempt = setTimeout(() => this.#connect(like), reconnectPause(++this.#attempts)).unref();
  }

  /** A server that is frozen keeps its connections open, and a node that has left its cluster gets no notices any more. */
  #check(like: Redis | Cluster): void {
    const client = this.#client;
    if (client === undefined) return;
    if (isOf(like, client)) client.ping().catch(() => undefined);
    else client.disconnect();
  }

  #subscribed(): void {
    this.#attempts = 0;
    this.#settle();
  }

  #failed(client: Redis, error: unknown): void {
    if (!isRefused(error)) {
      // Perhaps it is loading.
      client.disconnect();
      return;
    }
    this.#stop();
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.#context.logger.warn(
      `The Redis user has no right to the channel <backendKeyPrefix>${ENDED_CHANNEL}, so open connections learn of the end of their session only every ` +
        'liveCheckInterval seconds: give the user +subscribe, +publish and the channel, see docs/redis.md.',
    );
  }

  #received(message: string): void {
    const [tag = '', ...members] = message.split(' ');
    const ids = members.map((member) => tag + member).filter((id): id is SessionId => isSessionId(id));
    if (ids.length === 0) return;
    for (const { listener } of [...this.#listeners]) listener(ids);
  }
}

/**
 * A connection of ours to where `like` is connected to, with the options that sessions need. In a cluster that is one of its nodes, as each of them
 * gets what is published anywhere; ioredis's own subscriber of a cluster tries the next one without a pause. Undefined: no node is known now.
 */
function subscriberLike(like: Redis | Cluster, timeoutMs: number): Redis | undefined {
  const nodes = nodesOf(like);
  return nodes[Math.floor(Math.random() * nodes.length)]?.duplicate({
    ...sessionRedisOptions(timeoutMs),
    // The channel is named in full.
    keyPrefix: '',
    // ioredis subscribes by itself without a look at a failure, which would end the process.
    autoResubscribe: false,
    enableReadyCheck: false,
    readOnly: false,
    retryStrategy: () => null,
    lazyConnect: true,
  });
}

function isOf(like: Redis | Cluster, { options: { host, port } }: Redis): boolean {
  return !isCluster(like) || like.nodes().some(({ options }) => options.host === host && options.port === port);
}

function nodesOf(like: Redis | Cluster): readonly Redis[] {
  return isCluster(like) ? like.nodes() : [like];
}

function keyPrefixOf(client: Redis | Cluster): string {
  const own = client.options.keyPrefix ?? '';
  if (own !== '' || !isCluster(client)) return own;
  return client.options.redisOptions?.keyPrefix ?? '';
}
