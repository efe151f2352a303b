import { SessionDataError } from '../../errors/session-errors.js';
import { DamagedRecordError } from '../../records/record-errors.js';
import { decodeRecord, encodeRecord, tryDecodeRecord } from '../../records/record-text.js';
import type { SessionRecord } from '../../records/session-record.js';
import { memberOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import { isListed } from '../backend-rules.js';
import { inBatches } from './in-batches.js';
import type { Item, Items } from './items.js';
import { MemcachedError } from './memcached-error.js';
import { RetryBudget } from './retry-budget.js';
import { UserList } from './user-list.js';

/** A record, in the state in which a compare-and-set may change it. */
export interface FoundRecord {
  readonly record: SessionRecord;
  readonly cas: Buffer;
}

/** A session that was found. */
export interface FoundSession extends FoundRecord {
  /** The list, as it was read together with the record. */
  readonly list: Item | null;
}

interface UserSessionsContext {
  readonly items: Items;
  readonly keyPrefix: string;
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** All that one server keeps of one tag: the list `<prefix><tag>`, and the records `<prefix><tag><rest of the id>`. */
export class UserSessions {
  readonly items: Items;
  readonly list: UserList;
  readonly now: () => number;
  readonly #listKey: string;

  constructor(
    readonly tag: UserTag,
    private readonly context: UserSessionsContext,
  ) {
    this.items = context.items;
    this.now = context.now;
    this.#listKey = context.keyPrefix + tag;
    this.list = new UserList(context.items, tag, this.#listKey, context.now);
  }

  get timeoutMs(): number {
    return this.context.timeoutMs;
  }

  retryBudget(): RetryBudget {
    return new RetryBudget(this.timeoutMs);
  }

  keyOf(id: SessionId): string {
    return this.#listKey + memberOf(id);
  }

  /**
   * A session, if both its record and the list say that it lives; an anonymous or invalidated one is in no list. The two are requested at
   * once, which costs one round trip. It may have expired.
   *
   * A record without its entry is looked at once more: a new id may have left an alias there after it was read, and before the list was.
   *
   * @throws DamagedRecordError when one of the items is not ours
   * @throws NewerRecordError when a later version of this module wrote one of the items
   */
  find(id: SessionId, isSecondLook = false): Promise<FoundSession | null> {
    return this.readBoth(id).then(([item, list]) => {
      if (item === null) return null;
      const record = decodeRecord(id, item.text);
      if (!isListed(record) || this.list.has(list, id)) return { record, cas: item.cas, list };
      return isSecondLook ? null : this.find(id, true);
    });
  }

  /** What is stored of a session, and the list. The record first: see `find()`. */
  readBoth(id: SessionId): Promise<readonly [record: Item | null, list: Item | null]> {
    return this.items.getBoth(this.keyOf(id), this.#listKey);
  }

  /**
   * For writes: a session that lives now. An item that is not ours counts as none.
   *
   * @throws NewerRecordError when a later version of this module wrote one of the items
   */
  async findLiving(id: SessionId): Promise<FoundSession | null> {
    try {
      const found = await this.find(id);
      return found !== null && found.record.expiresAt > this.now() ? found : null;
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) throw error;
      return null;
    }
  }

  /**
   * What is stored under an id, whatever the list says; null: no record.
   *
   * @throws NewerRecordError when a later version of this module wrote it
   */
  async stored(id: SessionId): Promise<FoundRecord | null> {
    const item = await this.items.get(this.keyOf(id));
    const record = tryDecode(id, item);
    // Copied, so that the rest of the item can leave.
    return item === null || record === null ? null : { record, cas: Buffer.from(item.cas) };
  }

  /** As `stored()`, for sessions of a list; those without a record are left out. */
  async allStored(members: readonly string[], progress?: () => void): Promise<FoundRecord[]> {
    const found = await inBatches(members, (member) => this.stored((this.tag + member) as SessionId), { progress });
    return found.filter((one) => one !== null);
  }

  /**
   * The living ones among sessions that a list has, or had a moment ago.
   *
   * @throws NewerRecordError when a later version of this module wrote one of them
   */
  async recordsOf(members: readonly string[], progress?: () => void): Promise<SessionRecord[]> {
    const found = await this.allStored(members, progress);
    return found.map(({ record }) => record).filter((record) => isListed(record) && record.expiresAt > this.now());
  }

  /**
   * The text of a record that the server will take.
   *
   * @throws SessionDataError when it is too large
   */
  textOf(record: SessionRecord): string {
    const text = encodeRecord(record);
    try {
      this.items.assertFits(this.keyOf(record.id), text);
    } catch (error) {
      throw forCaller(error);
    }
    return text;
  }

  add(record: SessionRecord, lifetimeMs: number): Promise<boolean> {
    const text = this.textOf(record);
    return this.items.add(this.keyOf(record.id), text, lifetimeMs).catch(rethrowForCaller);
  }

  replace(record: SessionRecord, cas: Buffer): Promise<'stored' | 'changed' | 'missing'> {
    const text = this.textOf(record);
    return this.items.replace(this.keyOf(record.id), text, record.expiresAt - this.now(), cas).catch(rethrowForCaller);
  }
}

/**
 * The record in an item; null: there is none.
 *
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function tryDecode(id: SessionId, item: Item | null): SessionRecord | null {
  return item === null ? null : tryDecodeRecord(id, item.text);
}

function rethrowForCaller(error: unknown): never {
  throw forCaller(error);
}

/** What is too large for the server is for the application to mend. */
function forCaller(error: unknown): unknown {
  if (!(error instanceof MemcachedError) || error.code !== 'TOO_LARGE') return error;
  return new SessionDataError(
    'The session is larger than an item of Memcached can be: keep less in it.',
    'data',
    'size',
  );
}
