import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf, type SessionId } from '../../tokens/session-secret.js';
import { isListed, laterTimes } from '../backend-rules.js';
import type { DeleteByUserOptions, DeleteResult, ReplaceOptions, ReplaceResult } from '../session-backend.interface.js';
import { blankAlias, isBlankAlias } from './blank-alias.js';
import { inBatches } from './in-batches.js';
import type { Item } from './items.js';
import { MemcachedError, serverRefused } from './memcached-error.js';
import { RetryBudget } from './retry-budget.js';
import type { ListEntry } from './session-list.js';
import { tryDecode, type FoundRecord, type FoundSession, type UserSessions } from './user-sessions.js';

/**
 * As `SessionBackend.replace`. A compare-and-set that only a touch has disturbed is done on what is there now. Memcached does not look at
 * deadlines: no request is sent after it, but one that was sent before and is carried out after it takes effect.
 */
export async function replaceRecord(
  user: UserSessions,
  record: SessionRecord,
  ifVersion: number,
  { timeoutMs = Infinity }: ReplaceOptions = {},
): Promise<ReplaceResult> {
  const retryBudget = user.retryBudget();
  const lateness = new RetryBudget(timeoutMs);
  // A record that is too large must change nothing, not even the list.
  user.textOf(record);
  for (;;) {
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
 * As `SessionBackend.delete`. A session in the list ends when it leaves the list: which call takes it out, that one has ended it. What a crash
 * then leaves is a record without an entry, which opens nothing.
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
    if (lives && ifVersion === undefined && record.status === 'alias' && !isBlankAlias(record)) return 'alias';
    if (lives && ifVersion === undefined && record.status === 'invalidated') return 'missing';
    // Not even one that does not live: it may be in the making.
    if (record !== null && ifVersion !== undefined && record.version !== ifVersion)
      return lives ? 'changed' : 'missing';
    if (item !== null && lives && isInList(user, id, list)) {
      const found = { record, cas: item.cas, list };
      if (await endListed(user, found, ifVersion !== undefined, retryBudget)) return 'deleted';
    } else {
      // A value that is no record of ours stays where it is.
      const outcome = item === null || record === null ? 'missing' : await user.items.delete(user.keyOf(id), item.cas);
      if (outcome !== 'changed') {
        await user.list.remove(list, id, retryBudget);
        return lives ? outcome : 'missing';
      }
    }
    await retryBudget.pause();
  }
}

/** @returns false: another call was faster, and what is there has to be looked at again */
async function endListed(
  user: UserSessions,
  found: FoundSession,
  byVersion: boolean,
  retryBudget: RetryBudget,
): Promise<boolean> {
  const { id } = found.record;
  if (byVersion && !(await takePlace(user, found))) return false;
  if (!(await user.list.remove(found.list, id, retryBudget))) return false;
  if (!byVersion) return (await deleteTakenOut(user, found)) !== null;
  await user.items.delete(user.keyOf(id));
  return true;
}

/** Puts a blank alias in the place of a record, so that nothing changes it before the list has let go of it. */
async function takePlace(user: UserSessions, { record, cas }: FoundRecord): Promise<boolean> {
  try {
    return (await user.replace(blankAlias(user, record), cas)) === 'stored';
  } catch (error) {
    if (!serverRefused(error)) throw error;
    // A server that is full can still delete.
    return (await user.items.delete(user.keyOf(record.id), cas)) === 'deleted';
  }
}

/**
 * Deletes the record of a session that this call has taken out of the list.
 *
 * @returns the session that ended so; null: it was invalidated before, which is reported there
 */
export async function deleteTakenOut(user: UserSessions, found: FoundRecord): Promise<SessionRecord | null> {
  const { record, cas } = found;
  if (record.status === 'invalidated') return null;
  if ((await user.items.delete(user.keyOf(record.id), cas)) !== 'changed') return record;
  const next = await user.stored(record.id);
  return next === null ? record : deleteTakenOut(user, next);
}

/**
 * As `SessionBackend.deleteByUser`. One compare-and-set empties the list, and all have ended, whether or not they have expired by this clock; a
 * login that comes in meanwhile makes it fail, and is then among those. The records are looked at before it, because it must not end one of a
 * newer form, and deleted after it. Most of them are looked at before its first try, so that no try takes longer than a login.
 *
 * @throws NewerRecordError when a later version of this module wrote one of the items
 */
export async function deleteRecordsOfUser(
  user: UserSessions,
  { except, progress }: DeleteByUserOptions,
): Promise<SessionId[]> {
  const kept = except?.startsWith(user.tag) === true ? memberOf(except) : undefined;
  const found = new Map<string, FoundRecord>();
  const look = async (entries: readonly ListEntry[]): Promise<string[]> => {
    const members = entries.map(({ member }) => member).filter((member) => member !== kept);
    const unread = members.filter((member) => !found.has(member));
    for (const one of await user.allStored(unread, progress)) found.set(memberOf(one.record.id), one);
    return members;
  };
  await look(user.list.allEntriesOf(await user.list.read()));
  const { takenOut } = await user.list.change(
    await user.list.read(),
    async (entries) => {
      const takenOut = await look(entries);
      return takenOut.length === 0
        ? { takenOut }
        : { takenOut, entries: entries.filter(({ member }) => member === kept) };
    },
    user.retryBudget(),
    (list) => user.list.allEntriesOf(list),
  );
  const leaving = takenOut.flatMap((member) => found.get(member) ?? []);
  const ended = await inBatches(leaving, (one) => deleteTakenOut(user, one), { progress });
  // An alias is a session that was getting a new id, which is not listed: it has ended with the old one.
  return ended.flatMap((record) =>
    record !== null && record.status !== 'pending' && record.expiresAt > user.now() ? [record.id] : [],
  );
}

/** A response to a write does not name its key: one that was meant for another request must not end a session for its client. */
async function assertMissing(user: UserSessions, id: SessionId): Promise<void> {
  if ((await user.findLiving(id)) === null) return;
  throw new MemcachedError('FOREIGN_RESPONSE', 'Memcached calls an item missing that it has.');
}

function isAlive(user: UserSessions, record: SessionRecord, list: Item | null): boolean {
  if (record.expiresAt <= user.now()) return false;
  return (!isListed(record) && !isBlankAlias(record)) || isInList(user, record.id, list);
}

function isInList(user: UserSessions, id: SessionId, list: Item | null): boolean {
  const member = memberOf(id);
  return user.list.entriesOf(list).some((entry) => entry.member === member);
}
