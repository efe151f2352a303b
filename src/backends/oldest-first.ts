import type { SessionRecord } from '../records/session-record.js';

/** The order in which a limit evicts: what expires first goes first, ties by id. */
export function oldestFirst(a: SessionRecord, b: SessionRecord): number {
  return a.expiresAt - b.expiresAt || (a.id < b.id ? -1 : 1);
}
