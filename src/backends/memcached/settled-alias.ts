import { setTimeout as sleep } from 'node:timers/promises';

import type { SessionRecord } from '../../records/session-record.js';
import { retryPauseMs } from '../backend-rules.js';
import { isBlankAlias } from './blank-alias.js';
import type { FoundSession, UserSessions } from './user-sessions.js';

/**
 * An alias as it was found, once the session to which it leads lives. Between two steps of its creation (`SessionCreation`) the list still
 * has the old session, and the new one does not live yet: nothing is known of it until the list has changed.
 *
 * A process that died between the two steps has ended the session. No creation takes longer than `timeoutMs`, so it is not waited for much
 * longer than that, and not at all for an alias that is older.
 *
 * @returns null: the alias has left meanwhile, or leads nowhere
 */
export async function settledAlias(user: UserSessions, first: FoundSession): Promise<SessionRecord | null> {
  const endsAt = performance.now() + user.timeoutMs;
  let found: FoundSession | null = first;
  for (let tries = 1; found !== null && isUnsettled(user, found) && performance.now() < endsAt; tries++) {
    await sleep(retryPauseMs(tries));
    found = await user.find(first.record.id);
  }
  return found === null || isBlankAlias(found.record) ? null : found.record;
}

function isUnsettled(user: UserSessions, { record, list }: FoundSession): boolean {
  return isYoungAlias(user, record) && !isBlankAlias(record) && user.list.has(list, record.id);
}

/** Whether the creation that has left an alias may be under way. */
export function isYoungAlias(user: UserSessions, { status, lastAccessed }: SessionRecord): boolean {
  return status === 'alias' && user.now() - lastAccessed <= 2 * user.timeoutMs;
}
