import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { ownCopy } from '../../tokens/own-copy.js';
import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import { isListed } from '../backend-rules.js';
import { ExpiryBuckets } from './expiry-buckets.js';
import { RecordsByTag } from './records-by-tag.js';
import { storedRecord, type StoredRecord } from './stored-record.js';

/** All records, and every order that they are looked for in. Expired ones are here until they are removed. */
export class RecordTable {
  /** The indexes of all users. */
  readonly #listed = new RecordsByTag();
  /** No user is signed in by these: anonymous sessions, invalidated ones, and aliases. */
  readonly #expendable = new RecordsByTag();
  readonly #expiry = new ExpiryBuckets();

  get size(): number {
    return this.#listed.size + this.#expendable.size;
  }

  get(id: SessionId): StoredRecord | undefined {
    return this.#listed.get(id) ?? this.#expendable.get(id);
  }

  /** In a user's index. */
  listed(tag: UserTag): StoredRecord[] {
    return this.#listed.of(tag);
  }

  /** How many are in a user's index. */
  countListed(tag: UserTag): number {
    return this.#listed.countOf(tag);
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
    this.#groupOf(stored).add(stored);
    this.#expiry.add(stored);
  }

  /** Takes over what a write may change. */
  update(stored: StoredRecord, record: SessionRecord): void {
    const former = this.#groupOf(stored);
    stored.version = record.version;
    stored.status = record.status;
    stored.payload = ownCopy(record.payload);
    this.#expiry.setTimes(stored, record);
    const group = this.#groupOf(stored);
    if (group === former) return;
    former.remove(stored);
    group.add(stored);
  }

  setTimes(stored: StoredRecord, times: SessionTimes): void {
    this.#expiry.setTimes(stored, times);
  }

  /** Does nothing if it is not there. */
  remove(stored: StoredRecord): void {
    if (this.#groupOf(stored).remove(stored)) this.#expiry.remove(stored);
  }

  #groupOf(record: StoredRecord): RecordsByTag {
    return isListed(record) ? this.#listed : this.#expendable;
  }
}
