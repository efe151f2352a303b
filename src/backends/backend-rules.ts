import type { SessionRecord, SessionTimes } from '../records/session-record.js';

/**
 * Whether the index of its user lists a session: a session of a user that has not been invalidated.
 *
 * @param record its user and status
 */
export function isListed({ userTag, status }: Pick<SessionRecord, 'userTag' | 'status'>): boolean {
  return userTag !== null && status !== 'invalidated';
}

/**
 * The times that a write leaves: of each the later one, because times never go back.
 *
 * @param stored what the store holds
 * @param given what the write brings
 */
export function laterTimes(stored: SessionTimes, given: SessionTimes): SessionTimes {
  return {
    lastAccessed: Math.max(stored.lastAccessed, given.lastAccessed),
    expiresAt: Math.max(stored.expiresAt, given.expiresAt),
  };
}

/** What {@link leastRecentlyUsedFirst} compares. */
export type Usage = Pick<SessionRecord, 'id' | 'lastAccessed'>;

/** The order in which a limit evicts sessions, for `Array.sort`: the least recently used first, ties by id. */
export function leastRecentlyUsedFirst(a: Usage, b: Usage): number {
  return a.lastAccessed - b.lastAccessed || (a.id < b.id ? -1 : 1);
}
