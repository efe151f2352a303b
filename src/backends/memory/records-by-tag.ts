import { memberOf, tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import { CreationOrder } from './creation-order.js';
import { SplitMap } from './split-map.js';
import type { StoredRecord } from './stored-record.js';

const RANDOM_PART_OF_TAG = 8;

/** Those under one tag, where there are several, by member. */
class Siblings extends Map<string, StoredRecord> {
  /** Their one copy of it. */
  readonly tag: UserTag;

  constructor(first: StoredRecord) {
    super();
    this.tag = first.tag;
    this.set(first.member, first);
  }
}

/**
 * Records by their ids, which begin with the tag of the user: so one table finds a record, and all of a user. Most tags have one record,
 * which is worth no table of its own.
 */
export class RecordsByTag {
  readonly #byTag = new SplitMap<UserTag, StoredRecord | Siblings>(RANDOM_PART_OF_TAG);
  readonly #order = new CreationOrder();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The one that was added first. */
  get oldest(): StoredRecord | null {
    return this.#order.oldest;
  }

  get(id: SessionId): StoredRecord | undefined {
    const present = this.#byTag.get(tagOf(id));
    if (present instanceof Siblings) return present.get(memberOf(id));
    return present?.member === memberOf(id) ? present : undefined;
  }

  of(tag: UserTag): StoredRecord[] {
    const present = this.#byTag.get(tag);
    if (present instanceof Siblings) return [...present.values()];
    return present === undefined ? [] : [present];
  }

  countOf(tag: UserTag): number {
    const present = this.#byTag.get(tag);
    if (present instanceof Siblings) return present.size;
    return present === undefined ? 0 : 1;
  }

  /** `record` is under no other's id. */
  add(record: StoredRecord): void {
    const present = this.#byTag.get(record.tag);
    if (present === undefined) this.#byTag.set(record.tag, record);
    else {
      const siblings = present instanceof Siblings ? present : new Siblings(present);
      if (siblings !== present) this.#byTag.set(siblings.tag, siblings);
      record.tag = siblings.tag;
      siblings.set(record.member, record);
    }
    this.#order.append(record);
    this.#size++;
  }

  /** False: it is not there, or no more. */
  remove(record: StoredRecord): boolean {
    const { tag, member } = record;
    const present = this.#byTag.get(tag);
    if (present instanceof Siblings) {
      if (present.get(member) !== record) return false;
      present.delete(member);
      if (present.size === 1) for (const left of present.values()) this.#byTag.set(tag, left);
    } else {
      if (present !== record) return false;
      this.#byTag.delete(tag);
    }
    this.#order.remove(record);
    this.#size--;
    return true;
  }
}
