import type { StoredRecord } from './stored-record.js';

/**
 * Records from the oldest to the newest. A linked list: the order of a `Map` would do, but to find its first entry takes the longer the
 * more entries have been deleted before it.
 */
export class CreationOrder {
  #oldest: StoredRecord | null = null;
  #newest: StoredRecord | null = null;

  get oldest(): StoredRecord | null {
    return this.#oldest;
  }

  append(record: StoredRecord): void {
    record.older = this.#newest;
    if (this.#newest === null) this.#oldest = record;
    else this.#newest.newer = record;
    this.#newest = record;
  }

  remove(record: StoredRecord): void {
    const { older, newer } = record;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    record.older = null;
    record.newer = null;
  }
}
