import { SessionConflictError } from '../../errors/session-errors.js';
import { NewerRecordError } from '../../records/record-errors.js';
import type { SessionRecord } from '../../records/session-record.js';
import { memberOf, type SessionId } from '../../tokens/session-secret.js';
import { isListed, leastRecentlyUsedFirst } from '../backend-rules.js';
import type { CreateOptions, CreateResult, ReplacedSession, SessionLimit } from '../session-backend.interface.js';
import { blankAlias } from './blank-alias.js';
import { inBatches } from './in-batches.js';
import type { Item } from './items.js';
import { serverRefused, MemcachedError } from './memcached-error.js';
import { RetryBudget } from './retry-budget.js';
import { deleteRecord, deleteTakenOut } from './session-changes.js';
import type { ListEntry } from './session-list.js';
import { isYoungAlias } from './settled-alias.js';
import type { FoundRecord, UserSessions } from './user-sessions.js';

type Refused = Exclude<CreateResult, { readonly outcome: 'created' }>;
/** What was made, and what is to be deleted for it. */
interface Made {
  readonly outcome: 'created';
  readonly evicted: readonly FoundRecord[];
}
type Entered = (Refused & { readonly entries?: undefined }) | (Made & { readonly entries: ListEntry[] });

/**
 * Makes a session out of steps, none of which may leave too much behind when it is the last one:
 *
 * 1. The record is added, to be kept no longer than `timeoutMs`. Alone, that of a signed-in session opens nothing.
 * 2. An alias takes the place of the session to be replaced, as it was read, which decides who of two may go on; a blank one, if none was given.
 *    From here to step 3 neither lives. A reader of an alias that leads on sees that from the list, and waits (`settledAlias`).
 * 3. One compare-and-set of the list takes the new one in, and those that it replaces or evicts out.
 * 4. The record is kept for its lifetime. A touch makes nothing: if Memcached comes to it late, the record has left. What step 3 took out is deleted.
 *
 * Memcached has no deadline for a request, so a step that was sent in time and is carried out late takes effect. What
 * is confirmed late is undone. What is never confirmed leaves a session whose token no client has. It ends with step 1's short life, or, if
 * step 4 came through as well, when the module deletes it (`AbandonedSessions`): without its record, no step that is carried out even
 * later makes a session of it. What step 3 took out stays out.
 *
 * A session to which an alias leads has a client whatever becomes of the call: its record is kept for its lifetime from step 1 on, it is not undone
 * after step 3, and where the connection breaks in step 2 or 3 both are done once more on what is there then.
 */
export class SessionCreation {
  readonly #retryBudget: RetryBudget;
  /** The user's other sessions, as far as the limit made it necessary to read them; null: there is no record. */
  readonly #others = new Map<string, FoundRecord | null>();
  /** The session whose place an alias has taken, and the alias; null: none. */
  #aliased: { readonly old: SessionRecord; readonly alias: SessionRecord } | null = null;
  /** What the list, as it was last sent, has lost to the limit. */
  #evicted: readonly FoundRecord[] = [];

  constructor(
    private readonly user: UserSessions,
    private readonly record: SessionRecord,
    private readonly options: CreateOptions,
  ) {
    this.#retryBudget = new RetryBudget(options.timeoutMs);
  }

  async run(): Promise<CreateResult> {
    if (this.#retryBudget.isOver()) return { outcome: 'late' };
    const { user, record, options } = this;
    const lifetimeMs = record.expiresAt - user.now();
    const trialMs = this.#isLedTo ? lifetimeMs : Math.min(lifetimeMs, Math.max(1, options.timeoutMs));
    const [added, list] = await Promise.all([
      user.add(record, trialMs),
      record.userTag === null ? null : user.list.read(),
    ]);
    if (!added) return { outcome: 'exists' };

    const result = await this.#enterOrRemove(list);
    if (result.outcome !== 'created') return result;
    const isInTime = () => this.#isLedTo || !this.#retryBudget.isOver();
    if (isInTime()) {
      const evicted = await this.#keep(lifetimeMs, result.evicted);
      if (isInTime()) return { outcome: 'created', evicted };
    }
    // For the caller it has failed.
    await this.#undo();
    return { outcome: 'late' };
  }

  /** Whether an alias is to lead to it. */
  get #isLedTo(): boolean {
    return this.options.replaces?.alias !== undefined;
  }

  /** Steps 2 and 3. What is not made leaves no record behind, unless the store fails. */
  async #enterOrRemove(list: Item | null, isSecondTry = false): Promise<Refused | Made> {
    const { user, record } = this;
    try {
      const result = await this.#enter(list);
      if (result.outcome !== 'created') {
        await this.#takeBackAlias();
        await this.#undo();
      }
      return result;
    } catch (error) {
      // Both mean that the list is as it was.
      if (error instanceof NewerRecordError || error instanceof SessionConflictError) {
        await this.#takeBackAlias();
        await user.items.delete(user.keyOf(record.id));
      } else if (error instanceof MemcachedError && this.#isLedTo && !isSecondTry && !this.#retryBudget.isOver()) {
        return this.#enterOrRemove(await user.list.read(), true);
      }
      throw error;
    }
  }

  async #enter(list: Item | null): Promise<Refused | Made> {
    const { user, record, options } = this;
    if (isListed(record)) {
      // What rejects must show before anything has been ended.
      const foreseen = await this.#revise(user.list.entriesOf(list));
      if (foreseen.entries === undefined) return (await this.#hasNewId()) ? { outcome: 'changed' } : foreseen;
    }
    if (options.replaces !== undefined) {
      const ended = await this.#endReplaced(options.replaces);
      if (ended !== 'deleted') return { outcome: ended };
    }
    return isListed(record) ? this.#list(list) : { outcome: 'created', evicted: [] };
  }

  /** Whether the session to be replaced has got a new id meanwhile, so that the list no longer has it. */
  async #hasNewId(): Promise<boolean> {
    const { replaces } = this.options;
    return replaces !== undefined && (await this.user.findLiving(replaces.id))?.record.status === 'alias';
  }

  async #list(list: Item | null): Promise<Entered> {
    try {
      return await this.user.list.change(
        list,
        (entries) => (this.#retryBudget.isOver() ? { outcome: 'late' as const } : this.#revise(entries)),
        this.#retryBudget,
      );
    } catch (error) {
      // The list is as long as an item can be.
      if (serverRefused(error) && error.code === 'TOO_LARGE') return { outcome: 'limit' };
      throw error;
    }
  }

  /** What becomes of the list with the new session in it. */
  async #revise(entries: readonly ListEntry[]): Promise<Entered> {
    const { record, options } = this;
    const replaced = options.replaces && memberOf(options.replaces.id);
    const entry = { member: memberOf(record.id), expiresAt: record.expiresAt };
    const has = (one: string) => entries.some(({ member }) => member === one);
    if (replaced !== undefined && !has(replaced)) {
      // Unless the first try has entered it: logged out everywhere since it was read, so its successor must not slip through.
      return has(entry.member)
        ? { outcome: 'created', entries: [...entries], evicted: this.#evicted }
        : { outcome: 'missing' };
    }

    // Its own may be there already, of a record that has left: a session that moves between two stores comes back under its id.
    const others = entries.filter(({ member }) => member !== replaced && member !== entry.member);
    const { max = Infinity, onLimit } = this.#limit() ?? {};
    const counted = others.length + 1 > max ? await this.#leastRecentlyUsedFirst(others) : [];
    const surplus = counted.slice(0, Math.max(0, counted.length + 1 - max));
    if (surplus.length > 0 && onLimit === 'reject') return { outcome: 'limit' };
    const evicted = surplus.filter(({ record: { status } }) => status !== 'pending');
    const leaving = new Set(evicted.map(({ record: { id } }) => memberOf(id)));
    // An entry without a record does not count, and stays.
    const kept = others.filter(({ member }) => !leaving.has(member));
    this.#evicted = evicted;
    return { outcome: 'created', entries: [...kept, entry], evicted };
  }

  /** Every login counts the session that is replaced, by its alias too: once it has ended, a limit that rejects has nothing to say any more. */
  #limit(): SessionLimit | undefined {
    const { limit } = this.options;
    return this.#aliased !== null && limit?.onLimit === 'reject' ? undefined : limit;
  }

  /**
   * Those whose record is there, the least recently used first: Memcached may have evicted others, and does not tell. A young alias is a session
   * that is getting a new id just now, and keeps its place. The list does not hold `lastAccessed`, so the records are read; those that were read
   * before a compare-and-set of the list failed are not read again.
   */
  async #leastRecentlyUsedFirst(entries: readonly ListEntry[]): Promise<FoundRecord[]> {
    const { user } = this;
    const unread = entries.map(({ member }) => member).filter((member) => !this.#others.has(member));
    const found = await user.allStored(unread);
    for (const member of unread) this.#others.set(member, null);
    for (const one of found) {
      const { record } = one;
      const counts = (isListed(record) && record.expiresAt > user.now()) || isYoungAlias(user, record);
      if (counts) this.#others.set(memberOf(record.id), one);
    }
    return entries
      .flatMap(({ member }) => this.#others.get(member) ?? [])
      .sort((a, b) => leastRecentlyUsedFirst(a.record, b.record));
  }

  /**
   * The session goes on under its id. It only lives if the list still has it, so this brings nothing back that was logged out everywhere; and
   * it has kept its place, so that no limit is exceeded.
   */
  async #takeBackAlias(): Promise<void> {
    const { user } = this;
    if (this.#aliased === null) return;
    const { old, alias } = this.#aliased;
    const item = await user.items.get(user.keyOf(alias.id));
    if (item?.text === user.textOf(alias)) await user.replace(old, item.cas);
  }

  async #deleteBlankAlias(): Promise<void> {
    const { user, options } = this;
    if (this.#aliased === null || options.replaces?.alias !== undefined) return;
    await user.items.delete(user.keyOf(this.#aliased.alias.id));
  }

  /**
   * Step 4. What has left the list has ended already: to delete it only makes room, as far as there is time.
   *
   * @returns the sessions that the limit has ended
   * @throws MemcachedError `EVICTED` when the record has left already, though no client has ended the session
   */
  async #keep(lifetimeMs: number, evicted: readonly FoundRecord[]): Promise<SessionId[]> {
    const { user, record } = this;
    const goesOn = () => !this.#retryBudget.isOver();
    const [kept, ended] = await Promise.all([
      user.items.keep(user.keyOf(record.id), lifetimeMs),
      inBatches(evicted, (found) => deleteTakenOut(user, found), { goesOn }),
      this.#deleteBlankAlias(),
    ]);
    if (kept || (isListed(record) && (await this.#wasEnded()))) return ended.flatMap((one) => one?.id ?? []);
    await this.#undo();
    throw new MemcachedError(
      'EVICTED',
      'Memcached is short of memory: it has forgotten the session that was being made.',
    );
  }

  /** Whether another client has ended the session: its entry goes first, and its record a moment later. */
  async #wasEnded(): Promise<boolean> {
    const { user, record } = this;
    return !user.list.has(await user.list.read(), record.id);
  }

  /** By its version: if this process has stood still meanwhile, there may be one that another has made. */
  async #undo(): Promise<void> {
    await deleteRecord(this.user, this.record.id, this.record.version);
  }

  async #endReplaced(replaces: ReplacedSession): Promise<'deleted' | 'changed' | 'missing' | 'late'> {
    const { user } = this;
    const { id, version } = replaces;
    for (;;) {
      const found = await user.findLiving(id);
      if (found === null) return 'missing';
      if (this.#isAliased(found)) return 'deleted';
      if (found.record.version !== version) return 'changed';
      if (this.#retryBudget.isOver()) return 'late';
      const outcome = await this.#putAlias(found, replaces.alias);
      // Changed: a touch, which leaves the version, or another writer. Looked at again.
      if (outcome !== 'changed') return outcome;
    }
  }

  /** An anonymous session ends with its record, and needs no blank alias. */
  async #putAlias(
    { record: old, cas }: FoundRecord,
    givenAlias: SessionRecord | undefined,
  ): Promise<'deleted' | 'changed' | 'missing'> {
    const { user } = this;
    if (givenAlias === undefined && !isListed(old)) return user.items.delete(user.keyOf(old.id), cas);
    const alias = givenAlias ?? blankAlias(user, old);
    // Before it is known, as its reply may be lost.
    this.#aliased = { old, alias };
    const outcome = await user.replace(alias, cas);
    if (outcome === 'stored') return 'deleted';
    this.#aliased = null;
    return outcome;
  }

  /** Whether the first try has left the alias. */
  #isAliased({ record }: FoundRecord): boolean {
    return this.#aliased !== null && this.user.textOf(record) === this.user.textOf(this.#aliased.alias);
  }
}
