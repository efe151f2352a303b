import type { StoredRecord } from './stored-record.js';

const BUCKET_MS = 60_000;

/**
 * Which records may have expired, without a look at all the others: they lie in buckets of a minute. A renewal moves nothing; a record that
 * is found alive when its bucket is due is put into its later one.
 */
export class ExpiryBuckets {
  readonly #buckets = new Map<number, Set<StoredRecord>>();

  add(record: StoredRecord): void {
    record.bucket = bucketOf(record);
    const bucket = this.#buckets.get(record.bucket);
    if (bucket === undefined) this.#buckets.set(record.bucket, new Set([record]));
    else bucket.add(record);
  }

  remove(record: StoredRecord): void {
    const bucket = this.#buckets.get(record.bucket);
    bucket?.delete(record);
    if (bucket?.size === 0) this.#buckets.delete(record.bucket);
  }

  /** Moves a record on that was renewed. */
  update(record: StoredRecord): void {
    if (bucketOf(record) === record.bucket) return;
    this.remove(record);
    this.add(record);
  }

  /** All that may have expired; between two of them records may come and go. */
  *due(now: number): Generator<StoredRecord, void> {
    const due = [...this.#buckets.keys()].filter((bucket) => bucket * BUCKET_MS <= now);
    for (const bucket of due) yield* this.#buckets.get(bucket) ?? [];
  }
}

function bucketOf({ expiresAt }: StoredRecord): number {
  return Math.floor(expiresAt / BUCKET_MS);
}
