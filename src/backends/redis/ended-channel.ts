import type { Cluster, Redis } from 'ioredis';

import { isSessionId, type SessionId } from '../../tokens/session-secret.js';
import type { BackendContext, EndedListener, EndedSubscription } from '../session-backend.interface.js';
import { sessionRedisOptions } from './redis-client-options.js';
import { isCluster } from './redis-connection.js';
import { isRefused } from './redis-refusal.js';
import { ENDED_CHANNEL } from './scripts/script-parts.js';

/** After so long without a byte the operating system asks whether the server is still there: on this connection no command is waited for. */
const KEEP_ALIVE_MS = 10_000;

/** Between two attempts on a server that is there. */
const RETRY_PAUSE_MS = 1000;

type Context = Pick<BackendContext, 'keyPrefix' | 'timeoutMs' | 'logger'>;

/**
 * The channel on which scripts tell which sessions have ended, and the connection for it: a subscriber can do nothing else. There is one while
 * there is a listener. It subscribes anew whenever it is connected anew; what was published meanwhile is lost.
 */
export class EndedChannel {
  readonly #context: Context;
  readonly #listeners = new Set<{ readonly listener: EndedListener }>();
  #client: Redis | Cluster | undefined;
  #settled: Promise<void> | undefined;
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

  /** Drops the connection, also one that is being made. */
  #drop(): void {
    this.#settled = undefined;
    this.#client?.disconnect();
    this.#client = undefined;
  }

  /** Resolves when it is subscribed, refused or closed, or when a call may take no longer: it goes on trying then. */
  #open(like: Redis | Cluster): Promise<void> {
    const { timeoutMs } = this.#context;
    const client = subscriberLike(like, timeoutMs);
    const channel = keyPrefixOf(like) + this.#context.keyPrefix + ENDED_CHANNEL;
    this.#client = client;
    client.on('message', (from: string, message: string) => {
      if (from === channel) this.#received(message);
    });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      const settle = (): void => {
        clearTimeout(timer);
        resolve();
      };
      // The connection for commands reports an outage.
      client.on('error', () => undefined);
      client.on('end', settle);
      client.on('ready', () => {
        client.subscribe(channel).then(settle, (error: unknown) => {
          this.#failed(client, error);
        });
      });
      client.connect().catch(() => undefined);
    });
  }

  #failed(client: Redis | Cluster, error: unknown): void {
    if (client !== this.#client) return;
    if (!isRefused(error)) {
      // Perhaps it is loading. It subscribes when it is connected anew.
      setTimeout(() => {
        if (client === this.#client) client.disconnect(true);
      }, RETRY_PAUSE_MS).unref();
      return;
    }
    client.disconnect();
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

/** Where `like` is connected to, with the options that sessions need: a connection of ours, and never more than one for this. */
function subscriberLike(like: Redis | Cluster, timeoutMs: number): Redis | Cluster {
  // The channel is named in full. ioredis subscribes by itself without a look at a failure, which would end the process.
  const common = { keyPrefix: '', autoResubscribe: false, enableReadyCheck: false, keepAlive: KEEP_ALIVE_MS };
  if (isCluster(like)) {
    const { redisOptions } = like.options;
    return like.duplicate([], {
      keyPrefix: '',
      lazyConnect: true,
      redisOptions: { ...redisOptions, keyPrefix: '', lazyConnect: true },
    });
  }
  return like.duplicate({
    ...sessionRedisOptions(timeoutMs),
    ...common,
    // Nothing has to come on it for as long as no session ends.
    socketTimeout: undefined,
    lazyConnect: true,
  });
}

function keyPrefixOf(client: Redis | Cluster): string {
  const own = client.options.keyPrefix ?? '';
  if (own !== '' || !isCluster(client)) return own;
  return client.options.redisOptions?.keyPrefix ?? '';
}
