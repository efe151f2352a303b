import type { SessionRecord } from '../../records/session-record.js';
import type { UserSessions } from './user-sessions.js';

/**
 * An alias that leads nowhere. It holds the place of a session whose record was taken by its version, until the list has let go of the session.
 * So another call that takes it out of the list first can tell it from one that Memcached has forgotten, and reports its end. It outlives the call
 * that has put it there, and not by much: if that process has died, the place becomes free.
 *
 * A pending session, whose end is not reported and which no limit evicts, stays pending.
 */
export function blankAlias({ now, timeoutMs }: UserSessions, record: SessionRecord): SessionRecord {
  const lastAccessed = now();
  const expiresAt = Math.min(record.expiresAt, lastAccessed + 2 * timeoutMs);
  const held = { ...record, version: record.version + 1, lastAccessed, expiresAt };
  return record.status === 'pending' ? held : { ...held, status: 'alias', userTag: null, payload: '' };
}

/** @param record no client may be given it */
export function isBlankAlias({ status, payload }: SessionRecord): boolean {
  return status === 'alias' && payload === '';
}
