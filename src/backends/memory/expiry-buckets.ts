import type { SessionId } from '../../tokens/session-secret.js';

const BUCKET_MS = 10_000;

/**
 * Which ids may have expired, without a look at all the others: ids lie in buckets of ten seconds. A renewal moves nothing; an id that is
 * found alive when its bucket is due is put into a later one.
 */
export class ExpiryBuckets {
  readonly #buckets = new Map<number, SessionId[]>();

  add(id: SessionId, expiresAt: number): void {
    const bucket = Math.floor(expiresAt / BUCKET_MS);
    const ids = this.#buckets.get(bucket);
    if (ids === undefined) this.#buckets.set(bucket, [id]);
    else ids.push(id);
  }

  /** @param expire removes an expired id and returns null, or returns when it does expire */
  sweep(now: number, expire: (id: SessionId) => number | null): void {
    const due = [...this.#buckets.keys()].filter((bucket) => bucket * BUCKET_MS <= now);
    for (const bucket of due) {
      const ids = this.#buckets.get(bucket) ?? [];
      this.#buckets.delete(bucket);
      for (const id of ids) {
        const expiresAt = expire(id);
        if (expiresAt !== null) this.add(id, expiresAt);
      }
    }
  }
}
