import { ownCopy } from '../../tokens/own-copy.js';
import { tagOf, type UserTag } from '../../tokens/session-secret.js';
import { SplitMap } from './split-map.js';
import type { StoredRecord } from './stored-record.js';

const RANDOM_PART_OF_TAG = 8;

/** The records of each user. Most users have one, which is worth no `Set`. */
export class UserIndex {
  readonly #byUser = new SplitMap<UserTag, StoredRecord | Set<StoredRecord>>(RANDOM_PART_OF_TAG);

  of(tag: UserTag): StoredRecord[] {
    const listed = this.#byUser.get(tag);
    if (listed === undefined) return [];
    return listed instanceof Set ? [...listed] : [listed];
  }

  countOf(tag: UserTag): number {
    const listed = this.#byUser.get(tag);
    if (listed === undefined) return 0;
    return listed instanceof Set ? listed.size : 1;
  }

  /** Does nothing if it is listed. */
  add(record: StoredRecord): void {
    const tag = tagOf(record.id);
    const listed = this.#byUser.get(tag);
    if (listed === undefined) this.#byUser.set(ownCopy(tag), record);
    else if (listed instanceof Set) listed.add(record);
    else if (listed !== record) this.#byUser.set(tag, new Set([listed, record]));
  }

  /** Does nothing if it is not listed. */
  remove(record: StoredRecord): void {
    const tag = tagOf(record.id);
    const listed = this.#byUser.get(tag);
    if (listed === record) this.#byUser.delete(tag);
    if (!(listed instanceof Set)) return;
    listed.delete(record);
    const [left] = listed;
    if (listed.size === 1 && left !== undefined) this.#byUser.set(tag, left);
  }
}
