import type { SessionRecord } from '../../records/session-record.js';
import { ownCopy } from '../../tokens/own-copy.js';
import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import { CreationOrder } from './creation-order.js';
import { ExpiryBuckets } from './expiry-buckets.js';
import { SplitMap } from './split-map.js';
import { storedRecord, type StoredRecord } from './stored-record.js';
import { UserIndex } from './user-index.js';

/** Behind the tag: the sessions of one user lie in many parts too. */
const RANDOM_PART_OF_ID = 20;

/** All records, and every order that they are looked for in. Expired ones are here until they are removed. */
export class RecordTable {
  readonly #byId = new SplitMap<SessionId, StoredRecord>(RANDOM_PART_OF_ID);
  /** Nobody is signed in by these. */
  readonly #expendable = new CreationOrder();
  readonly #signedIn = new CreationOrder();
  readonly #users = new UserIndex();
  readonly #expiry = new ExpiryBuckets();

  get size(): number {
    return this.#byId.size;
  }

  get(id: SessionId): StoredRecord | undefined {
    return this.#byId.get(id);
  }

  /** In a user's index. */
  listed(tag: UserTag): StoredRecord[] {
    return this.#users.of(tag);
  }

  /** How many are in a user's index. */
  countListed(tag: UserTag): number {
    return this.#users.countOf(tag);
  }

  /** The first to leave when there are too many; null: all that are left are of users who are signed in. */
  oldestExpendable(): StoredRecord | null {
    return this.#expendable.oldest;
  }

  /** Those that may have expired; each is to be removed or renewed. */
  due(now: number): Iterable<StoredRecord> {
    return this.#expiry.due(now);
  }

  add(record: SessionRecord): void {
    const stored = storedRecord(record);
    this.#byId.set(stored.id, stored);
    this.#orderOf(stored).append(stored);
    this.#expiry.add(stored);
    this.#list(stored);
  }

  /** Takes over what a write may change. */
  update(stored: StoredRecord, { version, status, lastAccessed, expiresAt, payload }: SessionRecord): void {
    const former = this.#orderOf(stored);
    Object.assign(stored, { version, status, lastAccessed, expiresAt, payload: ownCopy(payload) });
    const order = this.#orderOf(stored);
    if (order !== former) {
      former.remove(stored);
      order.append(stored);
    }
    this.#list(stored);
  }

  /** Lets `due` look at a record again when its present expiry has come. */
  renew(stored: StoredRecord): void {
    this.#expiry.update(stored);
  }

  remove(stored: StoredRecord): void {
    this.#byId.delete(stored.id);
    this.#orderOf(stored).remove(stored);
    this.#expiry.remove(stored);
    this.#users.remove(stored);
  }

  #orderOf({ anonymous, status }: StoredRecord): CreationOrder {
    return anonymous || status === 'invalidated' ? this.#expendable : this.#signedIn;
  }

  #list(stored: StoredRecord): void {
    if (stored.anonymous) return;
    if (stored.status === 'invalidated') this.#users.remove(stored);
    else this.#users.add(stored);
  }
}
