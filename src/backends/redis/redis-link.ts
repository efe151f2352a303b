import { Redis, type Cluster } from 'ioredis';
import { once } from 'node:events';
import { setImmediate as eventLoopTurn, setTimeout as sleep } from 'node:timers/promises';

import { SessionBackendError } from '../../errors/session-errors.js';
import { LineLimit } from '../../line-limit.js';
import { noRequest } from '../../no-request.js';
import { driverFailureNote } from '../driver-failure.js';
import type { BackendContext } from '../session-backend.interface.js';
import { CommandBatch } from './command-batch.js';
import { databaseCheck } from './readiness/database-check.js';
import { evictionCheck } from './readiness/eviction-check.js';
import { Readiness } from './readiness/readiness.js';
import { rightsCheck } from './readiness/rights-check.js';
import { shardingCheck } from './readiness/sharding-check.js';
import { isCluster } from './redis-connection.js';
import { scriptsOn, type RedisScripts } from './redis-scripts.js';
import { ServerClocks, type ServerClock } from './server-clocks.js';
import { takeSurplusReplies } from './surplus-replies.js';

type Listeners = readonly (readonly [event: string, listener: (argument: unknown) => void])[];

/** ioredis has got a reply while no call waits for one. */
const REPLY_WITHOUT_CALL = 'Command queue state error';

/** The key of a user's index, with which the keys of their sessions begin. */
const INDEX_KEY = /^.*\{([\w-]{16})\}/;
const MOST_FOREIGN_INDEXES = 1000;
const PARTS_OF_A_TIMEOUT = 4;

/** A client, the scripts on it, and what is known of its connection. */
export class RedisLink {
  readonly scripts: RedisScripts;
  readonly batch: CommandBatch;
  readonly #readiness: Readiness;
  readonly #listeners: Listeners;
  readonly #clocks = new ServerClocks();
  readonly #seenMasters = new WeakSet<Redis>();
  readonly #foreignIndexes = new Set<string>();
  #checking: Promise<void> = Promise.resolve();
  #renewal: Promise<void> | undefined;
  /** A server that comes and goes, or one whose replies are no replies to our calls, would make many lines. */
  readonly #lines: LineLimit;
  /** Whether the log says that it is out of reach. */
  #isLossLogged = false;

  constructor(
    readonly client: Redis | Cluster,
    /** Whether the module has opened the connection, and so may drop and closes it. */
    readonly isOwn: boolean,
    private readonly context: BackendContext,
    onEviction: 'report' | 'refuse',
    /** Called when replies on a client of the application's are out of step: it is not ours to drop. */
    private readonly replace: () => Promise<void>,
  ) {
    this.#lines = new LineLimit(context.clock);
    this.batch = new CommandBatch(client);
    this.scripts = scriptsOn(client, {
      onServerTime: (key, serverTime) => {
        this.clockOf(key).set(serverTime);
      },
      outOfStep: () => this.#outOfStep(),
      foreignValue: (key) => this.#foreignIndex(key),
    });
    this.#readiness = new Readiness(checksOf(client, context, onEviction), context.logger);
    this.#listeners = isCluster(client) ? this.#ofCluster(client) : this.#ofServer(client);
    for (const [event, listener] of this.#listeners) client.on(event, listener);
    if (isOwn && !isCluster(client)) {
      takeSurplusReplies(client, () => {
        void this.#renew();
      });
    }
  }

  /** Why the application must not start; null: nothing is known that forbids it. */
  get bootRefusal(): string | null {
    return this.#readiness.bootRefusal;
  }

  /** @throws SessionBackendError while calls must not be made */
  assertReady(): void {
    const { refusal } = this.#readiness;
    if (refusal !== null)
      throw new SessionBackendError('BACKEND_UNAVAILABLE', `The session store is not ready: ${refusal}`);
  }

  /** Commands for a connection that is not up yet would fail, so the start waits for it a moment; a server that is down does not stop it. */
  async open(): Promise<void> {
    if (this.client.status === 'ready') this.#check();
    await this.#within(async (signal) => {
      await connected(this.client, signal);
      // ioredis emits the event `ready` of a cluster after connect() has returned, and another event may begin the checks anew.
      await eventLoopTurn();
      let seen: Promise<void>;
      do await (seen = this.#checking);
      while (seen !== this.#checking);
    });
    if (this.client.status !== 'ready') this.#warnLost(' (no response yet)');
  }

  /** Whether replies were out of step just now; resolves when there is a fresh connection. */
  get renewal(): Promise<void> | undefined {
    return this.#renewal;
  }

  /** The clock of the server that has `key`, as far as the client knows which it is. */
  clockOf(key: string): ServerClock {
    if (!isCluster(this.client)) return this.#clocks.of('');
    const slot = new Redis.Command('get', [key]).getSlot();
    return this.#clocks.of(this.client.slots[slot]?.[0] ?? '');
  }

  /** Waits for responses that are under way, but not for a server that hangs: there, QUIT never returns. */
  async close(): Promise<void> {
    this.#readiness.stop();
    if (!this.isOwn) {
      for (const [event, listener] of this.#listeners) this.client.off(event, listener);
      return;
    }
    const timeout = new AbortController();
    const quit = this.client.quit().catch(() => 'not connected, so there is nothing to wait for');
    await Promise.race([quit, sleep(this.context.timeoutMs, undefined, { signal: timeout.signal })]);
    timeout.abort();
    this.client.disconnect();
  }

  #outOfStep(): SessionBackendError {
    void this.#renew();
    return new SessionBackendError(
      'BACKEND_UNAVAILABLE',
      'The session store failed: the connection to Redis gave the reply to another call.',
    );
  }

  /** Says once for each user whose index it is, and what is there; it is not ours to remove. */
  #foreignIndex(key: string): SessionBackendError {
    const [index, tag] = INDEX_KEY.exec(key) ?? [];
    if (index !== undefined && tag !== undefined && !this.#foreignIndexes.has(tag)) {
      if (this.#foreignIndexes.size >= MOST_FOREIGN_INDEXES) this.#foreignIndexes.clear();
      this.#foreignIndexes.add(tag);
      const report = (kind: string): void => {
        this.context.logger.error(foreignIndexReport(tag, kind));
      };
      this.client.type(index).then(report, () => {
        report('value of another type');
      });
    }
    return foreignIndexError();
  }

  #renew(): Promise<void> {
    this.#renewal ??= noRequest
      .runInAsyncScope(() => (this.isOwn ? this.#reconnect() : this.replace()))
      .finally(() => {
        this.#renewal = undefined;
      });
    return this.#renewal;
  }

  /** Drops the connection with all that is under way on it, as none of its replies can be trusted. */
  #reconnect(): Promise<void> {
    this.#lines.log('out of step', (more) => {
      this.context.logger.warn(
        `The connection to Redis gave a reply to another call; it is dropped and made anew${more}. A proxy in between may be at fault.`,
      );
    });
    return this.#within(async (signal) => {
      const closed = once(this.client, 'close', { signal });
      if (isCluster(this.client)) this.client.disconnect(true);
      else this.client.stream.destroy();
      await closed;
      await connected(this.client, signal);
      await this.#checking;
    });
  }

  #ofServer(client: Redis): Listeners {
    const { db = 0 } = client.options;
    return [
      ...this.#ofAny(),
      ['ready', () => this.#check()],
      [
        'select',
        (selected: unknown) => {
          if (selected === db) this.#check();
          else this.#readiness.refuse(switchedTo(selected, db));
        },
      ],
    ];
  }

  #ofCluster(client: Cluster): Listeners {
    return [
      ...this.#ofAny(),
      ['ready', () => this.#check()],
      [
        // A master that was a replica, or has come back, is another server to check.
        'refresh',
        () => {
          if (client.status === 'ready' && client.nodes('master').some((node) => !this.#seenMasters.has(node)))
            this.#check();
        },
      ],
      ['+node', () => this.#clocks.forget()],
      ['-node', () => this.#clocks.forget()],
    ];
  }

  /** Without a listener ioredis prints each failed attempt with its error, which may hold a password; once for an outage is enough. */
  #ofAny(): Listeners {
    return [
      [
        'error',
        (error: unknown) => {
          // ioredis passes such a reply over, so a connection of the application's is in step again. Of our own see takeSurplusReplies.
          if (error instanceof Error && error.message.startsWith(REPLY_WITHOUT_CALL)) return;
          this.#warnLost(driverFailureNote(error));
        },
      ],
      [
        'ready',
        () => {
          if (this.#isLossLogged) this.context.logger.log('Redis is back.');
          this.#isLossLogged = false;
        },
      ],
      [
        'close',
        () => {
          this.#clocks.forget();
          this.#readiness.disconnected();
        },
      ],
    ];
  }

  /** Comes again with each attempt, so a loss that is too soon for a line gets it when its time has come. */
  #warnLost(note: string): void {
    if (this.#isLossLogged) return;
    this.#lines.log('lost', (more) => {
      this.context.logger.warn(`Redis is out of reach${note}${more}; trying again until it is back.`);
      this.#isLossLogged = true;
    });
  }

  #check(): void {
    const { client } = this;
    if (!isCluster(client)) {
      this.#checking = this.#readiness.connected();
      return;
    }
    const masters = client.nodes('master');
    for (const node of masters) this.#seenMasters.add(node);
    this.#checking = this.#within((signal) => Promise.all(masters.map((node) => connected(node, signal)))).then(() =>
      this.#readiness.connected(),
    );
  }

  /** Waits for `task` no longer than a call may take, and for its failure as for its success: the error event reports it. */
  async #within(task: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const timeout = new AbortController();
    const { signal } = timeout;
    const end = () => undefined;
    await Promise.race([task(signal).then(end, end), this.#timeLimit(signal).catch(end)]);
    timeout.abort();
  }

  /** In parts, so that a pause of the whole process, after which timers come before replies, takes no more than one of them. */
  async #timeLimit(signal: AbortSignal): Promise<void> {
    const partMs = this.context.timeoutMs / PARTS_OF_A_TIMEOUT;
    for (let part = 0; part < PARTS_OF_A_TIMEOUT; part++) await sleep(partMs, undefined, { signal });
  }
}

function checksOf(client: Redis | Cluster, { keyPrefix }: BackendContext, onEviction: 'report' | 'refuse') {
  const options = isCluster(client) ? (client.options.redisOptions ?? {}) : client.options;
  const mayUseInfo = options.enableReadyCheck !== false;
  const database = options.db ?? 0;
  return [
    ...(isCluster(client) || database === 0 ? [] : [databaseCheck(client, database)]),
    evictionCheck(client, { onEviction, mayUseInfo }),
    rightsCheck(client, keyPrefix),
    // A cluster is addressed by the slot, and its client knows where each lies.
    ...(isCluster(client) ? [] : [shardingCheck(client, keyPrefix)]),
  ];
}

/** A Cluster client is ready before the connections to its nodes are; it refuses commands for a node to which it is still connecting. */
async function connected(client: Redis | Cluster, signal: AbortSignal): Promise<void> {
  if (client.status === 'wait') await client.connect();
  else if (client.status !== 'ready') await once(client, 'ready', { signal });
}

function foreignIndexReport(tag: string, kind: string): string {
  return (
    `The index of a user's sessions, under the key <backendKeyPrefix>{${tag}}, is not the sorted set that it should be but a ${kind}, so requests ` +
    "that change this user's sessions get 503. Another application writes under the same prefix: give each its own backendKeyPrefix. " +
    'It is not removed: look at it, then rename or delete it by hand.'
  );
}

function switchedTo(selected: unknown, db: number): string {
  return (
    `The Redis client was switched to database ${String(selected)} while its options name ${db}, so requests for sessions get 503. ` +
    'Give RedisBackend a client of its own.'
  );
}

function foreignIndexError(): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_UNAVAILABLE',
    "The session store failed: the index of a user's sessions is a value of another application.",
  );
}
