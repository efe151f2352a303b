import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { ownCopy } from '../../tokens/own-copy.js';
import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import { isListed } from '../backend-rules.js';
import { CreationOrder } from './creation-order.js';
import { ExpiryBuckets } from './expiry-buckets.js';
import { RecordsByTag } from './records-by-tag.js';
import { storedRecord, type StoredRecord } from './stored-record.js';

/** All records, and every order that they are looked for in. Expired ones are here until they are removed. */
export class RecordTable {
  readonly #byTag = new RecordsByTag();
  /** Nobody is signed in by these. */
  readonly #expendable = new CreationOrder();
  readonly #signedIn = new CreationOrder();
  readonly #expiry = new ExpiryBuckets();

  get size(): number {
    return this.#byTag.size;
  }

  get(id: SessionId): StoredRecord | undefined {
    return this.#byTag.get(id);
  }

  /** All under a tag, those that no index of a user lists included. */
  of(tag: UserTag): StoredRecord[] {
    return this.#byTag.of(tag);
  }

  countOf(tag: UserTag): number {
    return this.#byTag.countOf(tag);
  }

  /** The first to leave when there are too many; null: all that are left are of users who are signed in. */
  oldestExpendable(): StoredRecord | null {
    return this.#expendable.oldest;
  }

  /** All that have expired, and those that will within the minute. */
  due(now: number): Iterable<StoredRecord> {
    return this.#expiry.due(now);
  }

  add(record: SessionRecord): void {
    const stored = storedRecord(record);
    this.#byTag.add(stored);
    this.#orderOf(stored).append(stored);
    this.#expiry.add(stored);
  }

  /** Takes over what a write may change. */
  update(stored: StoredRecord, record: SessionRecord): void {
    const former = this.#orderOf(stored);
    stored.version = record.version;
    stored.status = record.status;
    stored.payload = ownCopy(record.payload);
    this.#expiry.setTimes(stored, record);
    const order = this.#orderOf(stored);
    if (order === former) return;
    former.remove(stored);
    order.append(stored);
  }

  setTimes(stored: StoredRecord, times: SessionTimes): void {
    this.#expiry.setTimes(stored, times);
  }

  /** Does nothing if it is not there. */
  remove(stored: StoredRecord): void {
    if (!this.#byTag.remove(stored)) return;
    this.#orderOf(stored).remove(stored);
    this.#expiry.remove(stored);
  }

  #orderOf(record: StoredRecord): CreationOrder {
    return isListed(record) ? this.#signedIn : this.#expendable;
  }
}
