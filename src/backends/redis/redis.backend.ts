import type { Cluster, Redis, RedisOptions } from 'ioredis';

import { NewerRecordError } from '../../records/record-errors.js';
import type { ReadRecord, SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf, tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  DeleteByUserOptions,
  DeleteResult,
  EndedListener,
  EndedSubscription,
  ListByUserOptions,
  ReplaceOptions,
  ReplaceResult,
  SessionBackend,
} from '../session-backend.interface.js';
import { EndedChannel } from './ended-channel.js';
import { inspectClient } from './inspect-client.js';
import { createArguments, replaceArguments, touchArguments, versionText } from './redis-arguments.js';
import { isCluster, redisConnection, type RedisConnection } from './redis-connection.js';
import { RedisLink } from './redis-link.js';
import { readRecord, readRecords, type RecordPlace } from './redis-read.js';
import { newSessionRedis } from './session-redis.js';
import type { TimeWindow } from './server-clocks.js';
import { UserIndex } from './user-index.js';

/** What the backend does beside what the connection needs. */
export interface RedisBackendOptions {
  /**
   * Where Redis evicts keys when its memory is full, logging out everywhere misses sessions. `report` (default) says so in the log at `error`;
   * `refuse` also makes requests for sessions 503 until it is mended.
   */
  readonly onEviction?: 'report' | 'refuse' | undefined;
}

/**
 * Sessions in Redis 6.2 or later (standalone, Sentinel, Cluster), by ioredis.
 *
 * Keys are `<prefix>{<tag>}` for the index of a user, and `<prefix>{<tag>}<rest>` for a record, a string of the form of `encodeRecord`. The index
 * is a sorted set with two entries for each session: the 43-character rest of its id scored by its expiry (ms since the epoch), and `~<rest>`
 * scored by 10^14 + its `lastAccessed`. The braces make Redis Cluster put all keys of one user
 * into one slot, so that each script works on one node. `<prefix>{<tag>}:ending` holds what a log-out everywhere of a user with hundreds of
 * sessions has not ended yet. Lifetimes are relative, so the clocks of Redis and of this process may differ.
 *
 * Redis must run with `maxmemory-policy noeviction`: an evicted index would hide a user's sessions from "log out everywhere".
 */
export class RedisBackend implements SessionBackend {
  readonly keepsAliases: boolean = true;
  readonly #connection: RedisConnection;
  readonly #onEviction: 'report' | 'refuse';
  #link: RedisLink | undefined;
  #context: BackendContext | undefined;
  #ended: EndedChannel | undefined;

  /**
   * @param connection the URL or the options of a connection that the module opens and closes; or a client of the application's, made with
   * {@link sessionRedisOptions} or {@link sessionClusterOptions}, which the application closes
   * @throws TypeError when it is none of these, or an option is wrong; the message shows no text that may hold a password
   */
  constructor(connection: string | RedisOptions | Redis | Cluster, options: RedisBackendOptions = {}) {
    this.#connection = redisConnection(connection);
    const { ownedBy } = this.#connection;
    if (ownedBy === 'application' && isCluster(this.#connection.client)) this.readMany = undefined;
    this.#onEviction = onEvictionOf(options);
  }

  /**
   * @throws TypeError when the options of the given client, or the prefix, would break a promise, or Redis is known to keep the keys of one
   * user on several servers
   */
  async open(context: BackendContext): Promise<void> {
    this.#context = context;
    this.#ended = new EndedChannel(context);
    const isOwn = this.#connection.ownedBy === 'module';
    const client =
      this.#connection.ownedBy === 'module'
        ? newSessionRedis(this.#connection.options, context.timeoutMs)
        : this.#connection.client;
    inspect(client, isOwn, context);
    const link = this.#linkTo(client, isOwn, context);
    await link.open();
    if (link.bootRefusal === null) return;
    await link.close();
    throw new TypeError(link.bootRefusal);
  }

  async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const endsAt = performance.now() + options.timeoutMs;
    const evicted: SessionId[] = [];
    const create = ({ link, key }: RecordPlace, window: TimeWindow) =>
      link.scripts.sessionxCreate(key, ...createArguments(record, options, this.#now(), window));
    for (;;) {
      const [outcome, ...members] = await this.#inTime(record.id, endsAt, create, isLateCreation);
      switch (outcome) {
        case 'created':
        case 'exists':
        case 'changed':
        case 'missing':
        case 'late':
          for (const member of members) evicted.push((tagOf(record.id) + member) as SessionId);
          return { outcome, evicted };
        case 'newer':
          throw new NewerRecordError();
        // The index may have sessions whose records are gone, which do not count.
        case 'full':
        case 'crowded': {
          if (options.limit === undefined) throw new Error('sessionxCreate has kept a limit that is not there');
          const keep = options.replaces === undefined ? '' : memberOf(options.replaces.id);
          const isOver = () => performance.now() >= endsAt;
          const room = await this.#indexOf(tagOf(record.id)).makeRoom(options.limit, keep, isOver);
          for (const id of room.evicted) evicted.push(id);
          if (room.outcome !== 'room') return { outcome: room.outcome, evicted };
          break;
        }
        default:
          throw new Error('sessionxCreate returned an outcome that is unknown');
      }
    }
  }

  read(id: SessionId): Promise<ReadRecord | null> {
    return readRecord(this.#placeOf, id);
  }

  /** By one MGET. A Cluster has none, as its sessions lie on several servers: one that is down must not hide what is on the others. */
  readMany?(ids: readonly SessionId[]): Promise<(ReadRecord | null)[]> {
    return readRecords(this.#placeOf, ids);
  }

  /** By a second connection, which is made for the first listener and closed behind the last one. */
  async onEnded(listener: EndedListener): Promise<EndedSubscription> {
    const { link, ended } = this.#opened();
    return ended.subscribe(link.client, listener);
  }

  async replace(record: SessionRecord, ifVersion: number, { timeoutMs }: ReplaceOptions = {}): Promise<ReplaceResult> {
    const replace = ({ link, key }: RecordPlace, window: TimeWindow | null) =>
      link.scripts.sessionxReplace(key, ...replaceArguments(record, ifVersion, this.#now(), window));
    if (timeoutMs === undefined) return known(await replace(this.#at(record.id), null));
    const endsAt = performance.now() + timeoutMs;
    return known(await this.#inTime(record.id, endsAt, replace, (outcome) => outcome === 'late'));
  }

  async touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    const { link, key } = this.#at(id);
    return known(await link.scripts.sessionxTouch(key, touchArguments(times, this.#now()))) === 'touched';
  }

  async delete(id: SessionId, { ifVersion }: { readonly ifVersion?: number } = {}): Promise<DeleteResult> {
    const { link, key } = this.#at(id);
    const version = ifVersion === undefined ? '' : versionText(ifVersion);
    return known(await link.scripts.sessionxDelete(key, [version]));
  }

  async listByUser(
    tag: UserTag,
    { settles = false, progress = ignore }: ListByUserOptions = {},
  ): Promise<SessionRecord[]> {
    return this.#indexOf(tag).list(settles, progress);
  }

  async deleteByUser(tag: UserTag, { except, progress = ignore }: DeleteByUserOptions = {}): Promise<SessionId[]> {
    return this.#indexOf(tag).endAll(except, progress);
  }

  async ping(): Promise<void> {
    await this.#opened().link.client.ping();
  }

  async close(): Promise<void> {
    this.#ended?.close();
    await this.#link?.close();
  }

  #linkTo(client: Redis | Cluster, isOwn: boolean, context: BackendContext): RedisLink {
    const link: RedisLink = new RedisLink(client, isOwn, context, this.#onEviction, () => this.#leave(link));
    this.#link = link;
    return link;
  }

  /**
   * The replies on a client of the application's are out of step. The application may be using it, so it is neither dropped nor used again:
   * sessions go on by a connection of their own.
   */
  async #leave(link: RedisLink): Promise<void> {
    if (this.#link !== link) return;
    const { context } = this.#opened();
    context.logger.error(
      'The Redis client of the application gives replies to other calls. Sessions use a connection of their own from now on; reconnect the client ' +
        '(client.disconnect(true)), as all that it is used for gets wrong replies.',
    );
    const own = isCluster(link.client)
      ? link.client.duplicate([], { lazyConnect: true })
      : link.client.duplicate({ lazyConnect: true });
    const opened = this.#linkTo(own, true, context).open();
    await link.close();
    await opened;
  }

  #opened(): { link: RedisLink; context: BackendContext; ended: EndedChannel } {
    if (this.#link === undefined || this.#context === undefined || this.#ended === undefined) {
      throw new Error('RedisBackend was used before open()');
    }
    return { link: this.#link, context: this.#context, ended: this.#ended };
  }

  /** For a command that is sent in this turn of the event loop. */
  #ready(): { link: RedisLink; context: BackendContext } {
    const opened = this.#opened();
    opened.link.assertReady();
    opened.link.batch.open();
    return opened;
  }

  #indexOf(tag: UserTag): UserIndex {
    const { link, context } = this.#ready();
    return new UserIndex(link.scripts, `${context.keyPrefix}{${tag}}`, tag, () => this.#now());
  }

  #at(id: SessionId): RecordPlace {
    const { link, context } = this.#ready();
    return { link, key: `${context.keyPrefix}{${tagOf(id)}}${memberOf(id)}` };
  }

  /** One function for all reads: every request comes by here. */
  readonly #placeOf = (id: SessionId): RecordPlace => this.#at(id);

  /**
   * Runs a script that the server must not carry out later than `endsAt`, by `performance.now()`.
   *
   * @param isLate whether the server has refused it because of the time; then it has done nothing
   */
  #inTime<Result>(
    id: SessionId,
    endsAt: number,
    script: (place: RecordPlace, window: TimeWindow) => Promise<Result>,
    isLate: (result: Result) => boolean,
  ): Promise<Result> {
    const place = this.#at(id);
    const { link, key } = place;
    const run = () => script(place, link.clockOf(key).windowUntil(endsAt));
    const clock = link.clockOf(key);
    const ran = clock.isKnown ? run() : clock.update(() => link.scripts.sessionxServerTime(key)).then(run);
    // What was believed of the clock may be wrong; the refusal has brought its time.
    return ran.then((result) => (isLate(result) && performance.now() < endsAt ? run() : result));
  }

  #now(): number {
    return this.#opened().context.clock.now();
  }
}

function isLateCreation([outcome]: readonly string[]): boolean {
  return outcome === 'late';
}

/** @throws NewerRecordError when a script has met a record of a newer form, and has done nothing */
function known<Outcome extends string>(outcome: Outcome | 'newer'): Outcome {
  if (outcome === 'newer') throw new NewerRecordError();
  return outcome;
}

/** @throws TypeError for what is no option, or has no such value */
function onEvictionOf(options: unknown): 'report' | 'refuse' {
  if (typeof options === 'object' && options !== null) {
    const { onEviction = 'report', ...others }: { onEviction?: unknown } = options;
    const isKnown = onEviction === 'report' || onEviction === 'refuse';
    if (isKnown && Object.keys(others).length === 0) return onEviction;
  }
  throw new TypeError("The second argument of RedisBackend is { onEviction: 'report' | 'refuse' }.");
}

/** @throws TypeError that lists the options which would break a promise; lesser ones are logged */
function inspect(client: Redis | Cluster, isOwn: boolean, { timeoutMs, logger }: BackendContext): void {
  const { refused, warned } = inspectClient(client, timeoutMs);
  if (refused.length > 0) {
    const faults = refused.map((fault) => `- ${fault}`).join('\n');
    throw new TypeError(
      `RedisBackend refuses this client; make it with sessionRedisOptions() or sessionClusterOptions():\n${faults}`,
    );
  }
  // A connection of the module's own has timeouts of another kind.
  if (isOwn) return;
  for (const fault of warned)
    logger.warn(`RedisBackend: ${fault}; sessionRedisOptions() and sessionClusterOptions() have what fits.`);
}

function ignore(): void {
  // The caller does not ask for progress.
}
