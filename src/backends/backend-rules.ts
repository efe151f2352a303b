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

const LONGEST_RETRY_PAUSE_MS = 8;

/**
 * How long to wait, in milliseconds, before a compare-and-set that another writer has won is tried again: at random, so that writers who met
 * once do not meet again and again, and longer each time up to 8 ms.
 *
 * @param tries how many tries were lost, the present one included
 */
export function retryPauseMs(tries: number): number {
  return Math.random() * Math.min(2 ** (tries - 1), LONGEST_RETRY_PAUSE_MS);
}

/**
 * How long to leave a server alone that fails, in milliseconds: twice as long after each failure, less up to a half at random, so that the
 * processes of an application do not come back all at once.
 *
 * @param failures how many there were in a row, the present one included
 * @param firstMs the longest pause after the first of them
 * @param longestMs the longest pause of all
 */
export function backoffMs(failures: number, firstMs: number, longestMs: number): number {
  return Math.min(firstMs * 2 ** (failures - 1), longestMs) * (0.5 + Math.random() / 2);
}

/** What {@link leastRecentlyUsedFirst} compares. */
export type Usage = Pick<SessionRecord, 'id' | 'lastAccessed'>;

/** The order in which a limit evicts sessions, for `Array.sort`: the least recently used first, ties by id. */
export function leastRecentlyUsedFirst(a: Usage, b: Usage): number {
  return a.lastAccessed - b.lastAccessed || (a.id < b.id ? -1 : 1);
}
