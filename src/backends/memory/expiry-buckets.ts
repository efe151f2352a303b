import type { SessionTimes } from '../../records/session-record.js';
import type { StoredRecord } from './stored-record.js';

const BUCKET_MS = 60_000;

/** Which records may have expired, without a look at all the others: they lie in buckets of a minute, which a renewal moves them between. */
export class ExpiryBuckets {
  readonly #buckets = new Map<number, Set<StoredRecord>>();

  add(record: StoredRecord): void {
    const key = bucketOf(record);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, new Set([record]));
    else bucket.add(record);
  }

  remove(record: StoredRecord): void {
    const key = bucketOf(record);
    const bucket = this.#buckets.get(key);
    bucket?.delete(record);
    if (bucket?.size === 0) this.#buckets.delete(key);
  }

  /** Gives a record other times. */
  setTimes(record: StoredRecord, times: SessionTimes): void {
    const moves = bucketOf(times) !== bucketOf(record);
    if (moves) this.remove(record);
    record.setTimes(times);
    if (moves) this.add(record);
  }

  /** All that have expired, and those that will within the minute; between two of them records may come and go. */
  *due(now: number): Generator<StoredRecord, void> {
    const due = [...this.#buckets.keys()].filter((bucket) => bucket * BUCKET_MS <= now);
    for (const bucket of due) yield* this.#buckets.get(bucket) ?? [];
  }
}

function bucketOf({ expiresAt }: Pick<SessionTimes, 'expiresAt'>): number {
  return Math.floor(expiresAt / BUCKET_MS);
}
