import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf, type SessionId } from '../../tokens/session-secret.js';
import { isListed, laterTimes } from '../backend-rules.js';
import type { DeleteResult, ReplaceOptions, ReplaceResult } from '../session-backend.interface.js';
import { inBatches } from './in-batches.js';
import type { DeleteByUserOptions } from '../session-backend.interface.js';
import type { Item } from './items.js';
import { MemcachedError } from './memcached-error.js';
import { RetryBudget } from './retry-budget.js';
import { tryDecode, type UserSessions } from './user-sessions.js';

/**
 * As `SessionBackend.replace`. A compare-and-set that only a touch has disturbed is done on what is there now. Memcached does not look at
 * deadlines: no request is sent after it, but one that was sent before and is carried out after it takes effect.
 */
export async function replaceRecord(
  user: UserSessions,
  record: SessionRecord,
  ifVersion: number,
  { deadline = Infinity }: ReplaceOptions = {},
): Promise<ReplaceResult> {
  const retryBudget = user.retryBudget();
  const lateness = new RetryBudget(deadline);
  // A record that is too large must change nothing, not even the list.
  user.textOf(record);
  for (;;) {
    if (lateness.isOver()) return 'late';
    const found = await user.findLiving(record.id);
    if (found === null) return 'missing';
    if (found.record.version !== ifVersion) return 'changed';
    if (lateness.isOver()) return 'late';

    const next = { ...record, ...laterTimes(found.record, record) };
    if (isListed(next) && next.expiresAt > found.record.expiresAt) {
      if (!(await user.list.prolong(found.list, next.id, next.expiresAt, retryBudget))) return 'missing';
      if (lateness.isOver()) return 'late';
    }
    const outcome = await user.replace(next, found.cas);
    if (outcome === 'missing') {
      await assertMissing(user, record.id);
      return outcome;
    }
    if (outcome === 'stored') {
      if (isListed(found.record) && !isListed(next)) await user.list.remove(found.list, next.id, retryBudget);
      return 'replaced';
    }
    await retryBudget.pause();
  }
}

/** As `SessionBackend.touch`. */
export async function touchRecord(user: UserSessions, id: SessionId, times: SessionTimes): Promise<boolean> {
  const retryBudget = user.retryBudget();
  for (;;) {
    const found = await user.findLiving(id);
    if (found?.record.status !== 'active') return false;
    const { record } = found;
    const next = { ...record, ...laterTimes(record, times) };
    if (next.expiresAt === record.expiresAt && next.lastAccessed === record.lastAccessed) return true;

    if (isListed(next) && next.expiresAt > record.expiresAt) {
      if (!(await user.list.prolong(found.list, id, next.expiresAt, retryBudget))) return false;
    }
    const outcome = await user.replace(next, found.cas);
    if (outcome === 'stored') return true;
    if (outcome === 'missing') {
      await assertMissing(user, id);
      return false;
    }
    await retryBudget.pause();
  }
}

/**
 * As `SessionBackend.delete`. The record goes first, by compare-and-set, which decides who of several has deleted it; what a crash then
 * leaves is an entry without a record, which opens nothing.
 */
export async function deleteRecord(
  user: UserSessions,
  id: SessionId,
  ifVersion: number | undefined,
): Promise<DeleteResult> {
  const retryBudget = user.retryBudget();
  for (;;) {
    const [item, list] = await user.readBoth(id);
    const record = tryDecode(id, item);
    const lives = record !== null && isAlive(user, record, list);
    if (lives && record.status === 'alias' && ifVersion === undefined) return 'alias';
    // Not even one that does not live: it may be in the making.
    if (record !== null && ifVersion !== undefined && record.version !== ifVersion)
      return lives ? 'changed' : 'missing';
    // A value that is no record of ours stays where it is.
    const outcome = item === null || record === null ? 'missing' : await user.items.delete(user.keyOf(id), item.cas);
    if (outcome === 'changed') {
      await retryBudget.pause();
      continue;
    }
    await user.list.remove(list, id, retryBudget);
    return lives ? outcome : 'missing';
  }
}

/**
 * As `SessionBackend.deleteByUser`. One compare-and-set empties the list, and all have ended; a login that comes in meanwhile makes it
 * fail, and is then among those. The records are looked at before it, because it must not end one of a newer form, and deleted after it. Each
 * active one that this deletes is counted: what another deletion was faster with is counted there.
 *
 * @throws NewerRecordError when a later version of this module wrote one of the items
 */
export async function deleteRecordsOfUser(
  user: UserSessions,
  { except, progress }: DeleteByUserOptions,
): Promise<SessionId[]> {
  const kept = except?.startsWith(user.tag) === true ? memberOf(except) : undefined;
  const { ended } = await user.list.change(
    await user.list.read(),
    async (entries) => {
      const ended = entries.filter(({ member }) => member !== kept);
      await user.recordsOf(
        ended.map(({ member }) => member),
        progress,
      );
      return ended.length === 0 ? { ended } : { ended, entries: entries.filter(({ member }) => member === kept) };
    },
    user.retryBudget(),
  );
  const living = await user.recordsOf(
    ended.map(({ member }) => member),
    progress,
    (record) => isListed(record) || record.status === 'alias',
  );
  const outcomes = await inBatches(living, ({ id }) => user.items.delete(user.keyOf(id)), { progress });
  // Under a listed id, an alias is a session that was getting a new id, which is not listed: it has ended with the old one.
  return living.flatMap(({ id, status }, index) =>
    outcomes[index] === 'deleted' && (status === 'active' || status === 'alias') ? [id] : [],
  );
}

/** A response to a write does not name its key: one that was meant for another request must not end a session for its client. */
async function assertMissing(user: UserSessions, id: SessionId): Promise<void> {
  if ((await user.findLiving(id)) === null) return;
  throw new MemcachedError('FOREIGN_RESPONSE', 'Memcached calls an item missing that it has.');
}

function isAlive(user: UserSessions, record: SessionRecord, list: Item | null): boolean {
  if (record.expiresAt <= user.now()) return false;
  const member = memberOf(record.id);
  return !isListed(record) || user.list.entriesOf(list).some((entry) => entry.member === member);
}
