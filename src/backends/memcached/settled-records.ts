import { setTimeout as sleep } from 'node:timers/promises';

import type { SessionRecord } from '../../records/session-record.js';
import { memberOf } from '../../tokens/session-secret.js';
import type { UserSessions } from './user-sessions.js';

const LONGEST_PAUSE_MS = 50;
/** After so many times `timeoutMs`, sessions keep changing their ids. The caller finds that those which were seen have ended. */
const MOST_TIMEOUTS = 4;

/**
 * The living sessions of a user, none of them left out because it is getting a new id. Between two steps of its creation (`SessionCreation`) the list
 * still has the old session, whose record is an alias, and the new one is not listed yet.
 *
 * What is listed without a record is waited for, until the list no longer has it. After `timeoutMs` no creation is under way that began before: the
 * process has died, or Memcached has forgotten the record.
 */
export async function settledRecords(user: UserSessions, progress?: () => void): Promise<SessionRecord[]> {
  const records = new Map<string, SessionRecord>();
  const missingSince = new Map<string, number>();
  const endsAt = performance.now() + MOST_TIMEOUTS * user.timeoutMs;
  for (let looks = 1; ; looks++) {
    const listed = user.list.entriesOf(await user.list.read()).map(({ member }) => member);
    const unread = listed.filter((member) => !records.has(member));
    for (const record of await user.recordsOf(unread, progress)) records.set(memberOf(record.id), record);
    const now = performance.now();
    const isAwaited = unread.some((member) => {
      if (records.has(member)) return false;
      const since = missingSince.get(member) ?? now;
      missingSince.set(member, since);
      return now - since <= user.timeoutMs;
    });
    // Read after the list: what was in it may have left it since, and its successor come in.
    if (!isAwaited || now > endsAt) return [...records.values()];
    progress?.();
    await sleep(Math.min(looks, LONGEST_PAUSE_MS));
  }
}
