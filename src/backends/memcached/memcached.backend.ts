import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  DeleteResult,
  ReplaceOptions,
  ReplaceResult,
  DeleteByUserOptions,
  ListByUserOptions,
  SessionBackend,
} from '../session-backend.interface.js';
import { Items } from './items.js';
import { MemcachedConnection } from './memcached-connection.js';
import {
  addressOf,
  targetOf,
  type MemcachedBackendOptions,
  type MemcachedClient,
  type MemcachedTarget,
} from './memcached-options.js';
import { Placement } from './placement.js';
import { deleteRecord, deleteRecordsOfUser, replaceRecord, touchRecord } from './session-changes.js';
import { SessionCreation } from './session-creation.js';
import { settledAlias } from './settled-alias.js';
import { settledRecords } from './settled-records.js';
import { UserSessions } from './user-sessions.js';

const ID_CHARS = 59;
const LONGEST_KEY = 250;
const LONGEST_PREFIX = LONGEST_KEY - ID_CHARS;
const PREFIX = new RegExp(`^[\\x21-\\x7e]{0,${LONGEST_PREFIX}}$`);

interface Opened {
  readonly context: BackendContext;
  readonly connections: readonly MemcachedConnection[];
  readonly placement: Placement<{ readonly items: Items }>;
  readonly all: readonly Items[];
}

/**
 * Sessions in Memcached 1.4 or later, by memjs and the binary protocol.
 *
 * Two kinds of items, both texts: `<prefix><session id>` is a record, of the form of `encodeRecord`; `<prefix><tag>` is the list of a
 * user's sessions: `sxl1 <tag>`, then a line for each with the rest of its id and its expiry (14 digits, ms since the epoch). A signed-in
 * session lives if and only if its record is there *and* the list has it, so that one compare-and-set of the list logs a user out
 * everywhere. An anonymous session is a record alone. A read requests both at once. All items of a user lie on one server, chosen by the user's
 * tag; a server that dies takes its own users' sessions along and no others, and is used again as soon as it responds.
 *
 * Limits:
 * - Memcached forgets: at a restart, and when it is full. What it forgets is logged out, never in: a list that was evicted ends all
 *   sessions of its user. Give it memory enough, and watch `evictions` in its statistics.
 * - A session is at most `maxItemSize` (1 MiB) large, and so is a list (some 17,000 sessions of one user).
 * - Memcached does not look at deadlines. A login that it carries out after the client got a 503 is undone as soon as Memcached
 *   responds again; but the sessions which that login replaced or evicted have ended.
 * - Binary protocol: not through proxies that speak text only.
 */
export class MemcachedBackend implements SessionBackend {
  readonly keepsAliases: boolean = true;
  readonly #target: MemcachedTarget;
  #state: Opened | undefined;

  /**
   * @param servers where the servers are; or a memjs client, of which the servers with their credentials are taken and nothing else. Its
   * own connections are not used, and it stays the application's to close: a connection on which something went wrong has to be
   * thrown away, with whatever else the application had under way on it, or it may hand out wrong values.
   * @throws TypeError when `servers` is no list of servers, or `maxItemSize` no number of bytes
   */
  constructor(servers: MemcachedBackendOptions | MemcachedClient) {
    this.#target = targetOf(servers);
  }

  /** @throws TypeError when the prefix does not fit into a key */
  async open(context: BackendContext): Promise<void> {
    if (!PREFIX.test(context.keyPrefix)) {
      throw new TypeError(
        `MemcachedBackend takes a backendKeyPrefix of at most ${LONGEST_PREFIX} printable ASCII characters without spaces.`,
      );
    }
    const { servers, maxItemSize } = this.#target;
    const opened = servers.map((server) => {
      const connection = new MemcachedConnection(server, context);
      return { server, connection, items: new Items(connection, maxItemSize) };
    });
    const all = opened.map(({ items }) => items);
    this.#state = {
      context,
      connections: opened.map(({ connection }) => connection),
      placement: new Placement(opened, ({ server }) => addressOf(server)),
      all,
    };
    // Connects before the first request. A server that is down is in the log and stops nothing.
    await Promise.allSettled(all.map((items) => items.ping()));
  }

  async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    return new SessionCreation(this.#of(tagOf(record.id)), record, options).run();
  }

  /** Without `await`, because every request comes by here. */
  read(id: SessionId): Promise<SessionRecord | null> {
    const user = this.#of(tagOf(id));
    return user.find(id).then((found) => {
      if (found === null) return null;
      return found.record.status === 'alias' ? settledAlias(user, found) : found.record;
    });
  }

  async replace(record: SessionRecord, ifVersion: number, options?: ReplaceOptions): Promise<ReplaceResult> {
    return replaceRecord(this.#of(tagOf(record.id)), record, ifVersion, options);
  }

  async touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    return touchRecord(this.#of(tagOf(id)), id, times);
  }

  async delete(id: SessionId, { ifVersion }: { readonly ifVersion?: number } = {}): Promise<DeleteResult> {
    return deleteRecord(this.#of(tagOf(id)), id, ifVersion);
  }

  async listByUser(tag: UserTag, { progress, settles = false }: ListByUserOptions = {}): Promise<SessionRecord[]> {
    const user = this.#of(tag);
    if (settles) return settledRecords(user, progress);
    const entries = user.list.entriesOf(await user.list.read());
    return user.recordsOf(
      entries.map(({ member }) => member),
      progress,
    );
  }

  async deleteByUser(tag: UserTag, options: DeleteByUserOptions = {}): Promise<SessionId[]> {
    return deleteRecordsOfUser(this.#of(tag), options);
  }

  /** All servers must respond: each has users of its own. */
  async ping(): Promise<void> {
    await Promise.all(this.#opened().all.map((items) => items.ping()));
  }

  /** Waits for the responses under way, each of which has a deadline. */
  async close(): Promise<void> {
    await Promise.all((this.#state?.connections ?? []).map((connection) => connection.close()));
  }

  #opened(): Opened {
    if (this.#state === undefined) throw new Error('MemcachedBackend was used before open()');
    return this.#state;
  }

  #of(tag: UserTag): UserSessions {
    const { context, placement } = this.#opened();
    const { keyPrefix, timeoutMs, clock } = context;
    return new UserSessions(tag, { items: placement.of(tag).items, keyPrefix, timeoutMs, now: () => clock.now() });
  }
}
