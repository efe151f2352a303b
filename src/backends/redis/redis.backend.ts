import { Redis, type Cluster, type RedisOptions } from 'ioredis';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { DamagedRecordError, NewerRecordError } from '../../records/record-errors.js';
import { decodeRecord, tryDecodeRecord } from '../../records/record-text.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { describeDriverFailure } from '../../store/driver-failure.js';
import { memberOf, tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  ReplaceOptions,
  ReplaceResult,
  SessionBackend,
} from '../session-backend.interface.js';
import { CommandBatch } from './command-batch.js';
import { createArguments, replaceArguments, touchArguments, versionText } from './redis-arguments.js';
import { inspectClient, sessionRedisOptions } from './redis-client-options.js';
import { redisConnection, type RedisConnection } from './redis-connection.js';
import { withScripts, type RedisScripts } from './redis-scripts.js';
import { UserIndex } from './user-index.js';

type Client = (Redis | Cluster) & RedisScripts;

/**
 * Sessions in Redis 6.2 or later (standalone, Sentinel, Cluster), by ioredis.
 *
 * Keys are `<prefix>{<tag>}` for the index of a user, a sorted set of the 43-character rests of his session ids scored by their expiry
 * (ms since the epoch), and `<prefix>{<tag>}<rest>` for a record, a string of the form of `encodeRecord`. The braces make Redis Cluster put all keys of one user
 * into one slot, so that each script works on one node. Lifetimes are relative, so the clocks of Redis and of this process may differ.
 *
 * Redis must run with `maxmemory-policy noeviction`: an evicted index would hide a user's sessions from "log out everywhere".
 */
export class RedisBackend implements SessionBackend {
  readonly #connection: RedisConnection;
  #client: Client | undefined;
  #batch: CommandBatch | undefined;
  #context: BackendContext | undefined;
  #lost = false;

  /**
   * @param connection the URL or the options of a connection that the module opens and closes; or a client of the application's, made with
   * {@link sessionRedisOptions} or {@link sessionClusterOptions}, which the application closes
   * @throws TypeError when it is none of these
   */
  constructor(connection: string | RedisOptions | Redis | Cluster) {
    this.#connection = redisConnection(connection);
  }

  /** @throws TypeError when the options of the given client, or the prefix, would break a promise */
  async open(context: BackendContext): Promise<void> {
    this.#context = context;
    const client =
      this.#connection.ownedBy === 'module'
        ? newClient(this.#connection.options, context.timeoutMs)
        : this.#connection.client;
    inspect(client, context);
    this.#client = withScripts(client);
    this.#batch = new CommandBatch(client);
    this.#report(client, context);
    await becomeReady(client, context.timeoutMs);
  }

  async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const { client, key } = this.#at(record.id);
    const startedAt = performance.now();
    const isOver = () => performance.now() - startedAt >= options.deadline;
    const evictedBefore: SessionId[] = [];
    const deadline = await this.#serverDeadline(record.id, options.deadline);
    for (;;) {
      const [outcome, ...evicted] = await client.sessionxCreate(
        key,
        ...createArguments(record, options, this.#now(), deadline),
      );
      switch (outcome) {
        case 'created': {
          const ids = evicted.map((member) => (tagOf(record.id) + member) as SessionId);
          return { outcome, evicted: evictedBefore.concat(ids) };
        }
        case 'exists':
        case 'limit':
        case 'changed':
        case 'missing':
        case 'late':
          return { outcome };
        case 'newer':
          throw new NewerRecordError();
        case 'crowded': {
          const room = await this.#indexOf(tagOf(record.id)).makeRoom(options, isOver);
          if (room.outcome !== 'room') return room;
          for (const id of room.evicted) evictedBefore.push(id);
          break;
        }
        default:
          throw new Error('sessionxCreate returned an outcome that is unknown');
      }
    }
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    const { client, key } = this.#at(id);
    try {
      const text = await client.get(key);
      return text === null ? null : decodeRecord(id, text);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('WRONGTYPE')) {
        throw new DamagedRecordError('it is not a string');
      }
      throw error;
    }
  }

  async replace(record: SessionRecord, ifVersion: number, { deadline }: ReplaceOptions = {}): Promise<ReplaceResult> {
    const { client, key } = this.#at(record.id);
    const latest = deadline === undefined ? null : await this.#serverDeadline(record.id, deadline);
    return known(await client.sessionxReplace(key, ...replaceArguments(record, ifVersion, this.#now(), latest)));
  }

  async touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    const { client, key } = this.#at(id);
    return known(await client.sessionxTouch(key, ...touchArguments(id, times, this.#now()))) === 'touched';
  }

  async delete(
    id: SessionId,
    { ifVersion }: { readonly ifVersion?: number } = {},
  ): Promise<'deleted' | 'changed' | 'missing'> {
    const { client, key } = this.#at(id);
    const version = ifVersion === undefined ? '' : versionText(ifVersion);
    return known(await client.sessionxDelete(key, version, memberOf(id)));
  }

  async listByUser(tag: UserTag): Promise<SessionRecord[]> {
    const { client, index } = this.#of(tag);
    const found = await client.sessionxListByUser(index, this.#now());
    const records: SessionRecord[] = [];
    for (let position = 0; position < found.length; position += 2) {
      const [member = '', text = ''] = found.slice(position, position + 2);
      // What is no record of ours is no session either; reading it by its id reports it.
      const record = tryDecodeRecord((tag + member) as SessionId, text);
      if (record !== null) records.push(record);
    }
    return records;
  }

  async deleteByUser(tag: UserTag, { except }: { readonly except?: SessionId } = {}): Promise<SessionId[]> {
    const { client, index } = this.#of(tag);
    const kept = except !== undefined && tagOf(except) === tag ? memberOf(except) : '';
    const [outcome, ...ended] = await client.sessionxDeleteByUser(index, kept, this.#now());
    known(outcome);
    return ended.map((member) => (tag + member) as SessionId);
  }

  async ping(): Promise<void> {
    await this.#opened().client.ping();
  }

  /** Waits for answers that are under way, but not for a server that hangs: there, QUIT never returns. */
  async close(): Promise<void> {
    if (this.#client === undefined || this.#connection.ownedBy === 'application') return;
    const { client, context } = this.#opened();
    const patience = new AbortController();
    const quit = client.quit().catch(() => 'not connected, so there is nothing to wait for');
    await Promise.race([quit, sleep(context.timeoutMs, undefined, { signal: patience.signal })]);
    patience.abort();
    client.disconnect();
  }

  #opened(): { client: Client; context: BackendContext } {
    if (this.#client === undefined || this.#context === undefined)
      throw new Error('RedisBackend was used before open()');
    return { client: this.#client, context: this.#context };
  }

  #of(tag: UserTag): { client: Client; index: string } {
    const { client, context } = this.#opened();
    this.#batch?.open();
    return { client, index: `${context.keyPrefix}{${tag}}` };
  }

  #indexOf(tag: UserTag): UserIndex {
    const { client, index } = this.#of(tag);
    return new UserIndex(client, index, tag, () => this.#now());
  }

  #at(id: SessionId): { client: Client; key: string } {
    const { client, index } = this.#of(tagOf(id));
    return { client, key: index + memberOf(id) };
  }

  /** Only the server can tell whether it comes to a command too late, and only by its own clock. */
  async #serverDeadline(id: SessionId, deadlineMs: number): Promise<number> {
    const startedAt = performance.now();
    const { client, key } = this.#at(id);
    const serverTime = await client.sessionxServerTime(key);
    return Math.floor(serverTime + deadlineMs - (performance.now() - startedAt));
  }

  #now(): number {
    return this.#opened().context.clock.now();
  }

  /** Without a listener ioredis prints each failed attempt with its error, which may hold a password; once for an outage is enough. */
  #report(client: Redis | Cluster, { logger }: BackendContext): void {
    client.on('error', (error: unknown) => {
      if (!this.#lost)
        logger.warn(`Redis is out of reach (${describeDriverFailure(error)}); trying again until it is back.`);
      this.#lost = true;
    });
    client.on('ready', () => {
      if (this.#lost) logger.log('Redis is back.');
      this.#lost = false;
    });
  }
}

/**
 * Our options win over the given ones: each of them keeps a promise.
 *
 * @throws TypeError where ioredis cannot use the given options; its own error may show them
 */
function newClient(options: RedisOptions, timeoutMs: number): Redis {
  try {
    return new Redis({ ...options, ...sessionRedisOptions(timeoutMs), lazyConnect: true });
  } catch (error) {
    throw unusableOptions(error);
  }
}

function unusableOptions(error: unknown): TypeError {
  const failure = describeDriverFailure(error);
  return new TypeError(`RedisBackend: ioredis cannot use the given options (${failure}); see its documentation.`);
}

/** @throws NewerRecordError when a script has met a record of a newer form, and has done nothing */
function known<Outcome extends string>(outcome: Outcome | 'newer'): Outcome {
  if (outcome === 'newer') throw new NewerRecordError();
  return outcome;
}

/** @throws TypeError that lists the options which would break a promise; lesser ones are logged */
function inspect(client: Redis | Cluster, { timeoutMs, logger }: BackendContext): void {
  const { refused, warned } = inspectClient(client, timeoutMs);
  if (refused.length > 0) {
    const faults = refused.map((fault) => `- ${fault}`).join('\n');
    throw new TypeError(
      `RedisBackend refuses this client; make it with sessionRedisOptions() or sessionClusterOptions():\n${faults}`,
    );
  }
  for (const fault of warned)
    logger.warn(`RedisBackend: ${fault}; sessionRedisOptions() and sessionClusterOptions() have what fits.`);
}

/** Commands for a connection that is not up yet would fail, so the start waits for it a moment; a server that is down does not stop it. */
async function becomeReady(client: Redis | Cluster, timeoutMs: number): Promise<void> {
  const patience = new AbortController();
  const { signal } = patience;
  const down = () => 'reported by the error event, and tried again by ioredis';
  await Promise.race([allReady(client, signal).catch(down), sleep(timeoutMs, undefined, { signal }).catch(down)]);
  patience.abort();
}

/** A Cluster client is ready before the connections to its nodes are; it refuses commands for a node to which it is still connecting. */
async function allReady(client: Redis | Cluster, signal: AbortSignal): Promise<void> {
  await connected(client, signal);
  if (client.isCluster) await Promise.all((client as Cluster).nodes('master').map((node) => connected(node, signal)));
}

async function connected(client: Redis | Cluster, signal: AbortSignal): Promise<void> {
  if (client.status === 'wait') await client.connect();
  else if (client.status !== 'ready') await once(client, 'ready', { signal });
}
