import {
  MemoryBackend,
  NewerRecordError,
  type BackendContext,
  type CreateOptions,
  type CreateResult,
  type DeleteResult,
  type EndedListener,
  type EndedSubscription,
  type ReplaceOptions,
  type ReplaceResult,
  type SessionRecord,
  type SessionTimes,
} from 'nestjs-sessionx';

type Id = SessionRecord['id'];
type Tag = NonNullable<SessionRecord['userTag']>;

/** One turn of the event loop, in which another call can come in between: what two round trips to a server are. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** What a broken backend throws by itself. */
export class BrokenBackendError extends Error {
  override readonly name = 'BrokenBackendError';
}

export class BlindSet extends MemoryBackend {
  override async replace(record: SessionRecord): Promise<ReplaceResult> {
    const present = await this.read(record.id);
    return super.replace(record, present?.version ?? record.version);
  }
}

export class LosesUpdates extends MemoryBackend {
  override async replace(record: SessionRecord, ifVersion: number): Promise<ReplaceResult> {
    const present = await this.read(record.id);
    if (present === null) return 'missing';
    if (present.version !== ifVersion) return 'changed';
    for (;;) {
      await turn();
      const version = (await this.read(record.id))?.version ?? ifVersion;
      const outcome = await super.replace(record, version);
      if (outcome !== 'changed') return outcome;
    }
  }
}

export class Resurrects extends MemoryBackend {
  override async replace(record: SessionRecord, ifVersion: number): Promise<ReplaceResult> {
    const outcome = await super.replace(record, ifVersion);
    if (outcome !== 'missing') return outcome;
    await super.create(record, { timeoutMs: 1000 });
    return 'replaced';
  }
}

export class ResurrectsByTouch extends MemoryBackend {
  readonly #seen = new Map<Id, SessionRecord>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    this.#seen.set(record.id, record);
    return super.create(record, options);
  }

  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = this.#seen.get(id);
    if (record !== undefined) await super.create({ ...record, ...times }, { timeoutMs: 1000 });
    return super.touch(id, times);
  }
}

export class ForgetsTheIndex extends MemoryBackend {
  override listByUser(): Promise<SessionRecord[]> {
    return Promise.resolve([]);
  }
}

export class ListsTheEnded extends MemoryBackend {
  readonly #ever = new Map<Tag, SessionRecord[]>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    if (record.userTag !== null) this.#ever.set(record.userTag, [...(this.#ever.get(record.userTag) ?? []), record]);
    return super.create(record, options);
  }

  override listByUser(tag: Tag): Promise<SessionRecord[]> {
    return Promise.resolve(this.#ever.get(tag) ?? []);
  }
}

export class LogsOutByScan extends MemoryBackend {
  override async deleteByUser(tag: Tag, options: { except?: Id } = {}): Promise<Id[]> {
    const listed = await this.listByUser(tag);
    const ended: Id[] = [];
    for (const { id } of listed) {
      await turn();
      if (id !== options.except && (await this.delete(id)) === 'deleted') ended.push(id);
    }
    // Forgets what came in meanwhile, as a DEL of the index key does.
    this.hidden.add(tag);
    return ended;
  }

  readonly hidden = new Set<Tag>();

  override async listByUser(tag: Tag): Promise<SessionRecord[]> {
    return this.hidden.has(tag) ? [] : super.listByUser(tag);
  }
}

export class CountsWhatHadExpired extends MemoryBackend {
  readonly #created = new Map<Tag, Id[]>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    if (record.userTag !== null)
      this.#created.set(record.userTag, [...(this.#created.get(record.userTag) ?? []), record.id]);
    return super.create(record, options);
  }

  override async deleteByUser(tag: Tag, options: { except?: Id } = {}): Promise<Id[]> {
    await super.deleteByUser(tag, options);
    return (this.#created.get(tag) ?? []).filter((id) => id !== options.except);
  }
}

export class IgnoresTheExcepted extends MemoryBackend {
  override deleteByUser(tag: Tag): Promise<Id[]> {
    return super.deleteByUser(tag);
  }
}

export class LimitsByCheckThenAct extends MemoryBackend {
  override async create(record: SessionRecord, { limit, ...rest }: CreateOptions): Promise<CreateResult> {
    const listed = record.userTag === null ? [] : await this.listByUser(record.userTag);
    await turn();
    if (limit !== undefined && listed.length >= limit.max) {
      if (limit.onLimit === 'reject') return { outcome: 'limit' };
      for (const { id } of listed.slice(0, listed.length + 1 - limit.max)) await this.delete(id);
    }
    return super.create(record, rest);
  }
}

export class EvictsTheNewest extends MemoryBackend {
  override async create(record: SessionRecord, { limit, ...rest }: CreateOptions): Promise<CreateResult> {
    const listed = record.userTag === null ? [] : await this.listByUser(record.userTag);
    const excess = limit?.onLimit === 'evict-oldest' ? Math.max(0, listed.length + 1 - limit.max) : 0;
    const evicted = listed.sort((a, b) => this.order(a, b)).slice(0, excess);
    for (const { id } of evicted) await this.delete(id);
    const result = await super.create(record, excess > 0 ? rest : { limit, ...rest });
    return result.outcome === 'created' ? { outcome: 'created', evicted: evicted.map(({ id }) => id) } : result;
  }

  protected order(a: SessionRecord, b: SessionRecord): number {
    return b.lastAccessed - a.lastAccessed;
  }
}

export class EvictsWhatExpiresFirst extends EvictsTheNewest {
  protected override order(a: SessionRecord, b: SessionRecord): number {
    return a.expiresAt - b.expiresAt || (a.id < b.id ? -1 : 1);
  }
}

export class EvictsTiesInAnyOrder extends EvictsTheNewest {
  protected override order(a: SessionRecord, b: SessionRecord): number {
    return a.lastAccessed - b.lastAccessed;
  }
}

export class OutlivesItsExpiry extends MemoryBackend {
  override async read(id: Id): Promise<SessionRecord | null> {
    const record = await super.read(id);
    return record && { ...record, expiresAt: record.expiresAt + 1 };
  }
}

export class MovesTimesBack extends MemoryBackend {
  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = await this.read(id);
    if (record?.status !== 'active') return false;
    await this.delete(id);
    await super.create({ ...record, ...times }, { timeoutMs: 1000 });
    return true;
  }
}

export class BumpsTheVersionOnTouch extends MemoryBackend {
  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = await this.read(id);
    if (record?.status !== 'active') return false;
    return (await super.replace({ ...record, ...times, version: record.version + 1 }, record.version)) === 'replaced';
  }
}

export class DeletesTheOldFirst extends MemoryBackend {
  override async create(record: SessionRecord, { replaces, ...rest }: CreateOptions): Promise<CreateResult> {
    if (replaces !== undefined) await this.delete(replaces.id);
    return super.create(record, rest);
  }
}

export class KeepsTheOld extends MemoryBackend {
  override create(record: SessionRecord, { limit, timeoutMs }: CreateOptions): Promise<CreateResult> {
    return super.create(record, { limit, timeoutMs });
  }
}

export class NeverTooLate extends MemoryBackend {
  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    return super.create(record, { ...options, timeoutMs: 1000 });
  }
}

export class ReplacesTooLate extends MemoryBackend {
  override replace(record: SessionRecord, ifVersion: number): Promise<ReplaceResult> {
    return super.replace(record, ifVersion);
  }
}

export class LooksAtTheDeadlineOnlyAtFirst extends MemoryBackend {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    if (options.timeoutMs <= 0) return { outcome: 'late' };
    // Longer than a read takes.
    await turn();
    await turn();
    await turn();
    return super.create(record, { ...options, timeoutMs: Infinity });
  }

  override async replace(
    record: SessionRecord,
    ifVersion: number,
    options: ReplaceOptions = {},
  ): Promise<ReplaceResult> {
    if ((options.timeoutMs ?? Infinity) <= 0) return 'late';
    // Longer than a read takes.
    await turn();
    await turn();
    await turn();
    return super.replace(record, ifVersion);
  }
}

export class IgnoresThePrefix extends MemoryBackend {
  override open(context: BackendContext): Promise<void> {
    return super.open({ ...context, keyPrefix: '' });
  }
}

export class OverwritesTheTaken extends MemoryBackend {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    await this.delete(record.id);
    return super.create(record, options);
  }
}

export class CutsLongPayloads extends MemoryBackend {
  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    return super.create({ ...record, payload: record.payload.slice(0, 65_535) }, options);
  }
}

export class ThrowsWhenMissing extends MemoryBackend {
  override async delete(id: Id, options?: { ifVersion?: number }): Promise<DeleteResult> {
    const outcome = await super.delete(id, options);
    if (outcome === 'missing') throw new BrokenBackendError('no such session');
    return outcome;
  }
}

export class ReadsThePendingAsActive extends MemoryBackend {
  override async read(id: Id): Promise<SessionRecord | null> {
    const record = await super.read(id);
    return record && { ...record, status: 'active' };
  }
}

export class ThrowsWhenThereIsNothingToRead extends MemoryBackend {
  override async read(id: Id): Promise<SessionRecord | null> {
    const record = await super.read(id);
    if (record === null) throw new BrokenBackendError('no such session');
    return record;
  }
}

export class SaysThatItReplaced extends MemoryBackend {
  override replace(): Promise<ReplaceResult> {
    return Promise.resolve('replaced');
  }
}

export class TakesTimesBackByReplacing extends MemoryBackend {
  override async replace(record: SessionRecord, ifVersion: number): Promise<ReplaceResult> {
    const outcome = await super.replace(record, ifVersion);
    if (outcome === 'replaced') {
      await this.delete(record.id);
      await super.create(record, { timeoutMs: 1000 });
    }
    return outcome;
  }
}

export class DeletesWhateverTheVersion extends MemoryBackend {
  override delete(id: Id): Promise<DeleteResult> {
    return super.delete(id);
  }
}

export class DeletesTheInvalidated extends MemoryBackend {
  override async delete(id: Id, options?: { ifVersion?: number }): Promise<DeleteResult> {
    const present = await this.read(id);
    return super.delete(id, present?.status === 'invalidated' ? { ifVersion: present.version } : options);
  }
}

export class DeletesByCheckThenAct extends MemoryBackend {
  override async delete(id: Id): Promise<'deleted' | 'changed' | 'missing'> {
    const present = await this.read(id);
    await turn();
    await super.delete(id);
    return present === null ? 'missing' : 'deleted';
  }
}

export class ReplacesByCheckThenAct extends MemoryBackend {
  override async create(record: SessionRecord, { replaces, ...rest }: CreateOptions): Promise<CreateResult> {
    const old = replaces && (await this.read(replaces.id));
    if (old === null) return { outcome: 'missing' };
    if (old?.version !== replaces?.version) return { outcome: 'changed' };
    await turn();
    if (replaces !== undefined) await this.delete(replaces.id);
    return super.create(record, rest);
  }
}

export class FailsPing extends MemoryBackend {
  override ping(): Promise<void> {
    return Promise.reject(new BrokenBackendError('no response'));
  }
}

export class TakesAnythingForARecord extends MemoryBackend {
  async damage(id: Id): Promise<void> {
    const record = await this.read(id);
    if (record !== null) await this.replace({ ...record, version: 2, payload: 'something else' }, 1);
  }
}

export class TakesTheNewerForMissing extends MemoryBackend {
  readonly #newer = new Set<Id>();

  writeNewer(id: Id): void {
    this.#newer.add(id);
  }

  override read(id: Id): Promise<SessionRecord | null> {
    return this.#newer.has(id) ? Promise.reject(new NewerRecordError()) : super.read(id);
  }

  override async replace(record: SessionRecord, ifVersion: number): Promise<ReplaceResult> {
    return this.#newer.has(record.id) ? 'missing' : super.replace(record, ifVersion);
  }
}

export class ListsTheAnonymous extends MemoryBackend {
  readonly #anonymous: SessionRecord[] = [];

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    if (record.userTag === null) this.#anonymous.push(record);
    return super.create(record, options);
  }

  override async listByUser(tag: Tag): Promise<SessionRecord[]> {
    return [...(await super.listByUser(tag)), ...this.#anonymous.filter(({ id }) => id.startsWith(tag))];
  }
}

export class RevivesWhatTheIndexHasForgotten extends MemoryBackend {
  readonly #created = new Map<Id, SessionRecord>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    this.#created.set(record.id, record);
    return super.create(record, options);
  }

  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = this.#created.get(id);
    if (record === undefined || (await super.touch(id, times))) return record !== undefined;
    await super.create({ ...record, ...times, userTag: null }, { timeoutMs: 1000 });
    return true;
  }
}

export class ForgetsTheRenewed extends MemoryBackend {
  readonly #ends = new Map<Id, number>();
  #now = () => 0;

  override open(context: BackendContext): Promise<void> {
    this.#now = () => context.clock.now();
    return super.open(context);
  }

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    this.#ends.set(record.id, record.expiresAt);
    return super.create(record, options);
  }

  override async listByUser(tag: Tag): Promise<SessionRecord[]> {
    return (await super.listByUser(tag)).filter(({ id }) => (this.#ends.get(id) ?? 0) > this.#now());
  }
}

export class KeepsTheShortLifeOfThePending extends MemoryBackend {
  override async replace(record: SessionRecord, ifVersion: number): Promise<ReplaceResult> {
    const present = await this.read(record.id);
    return super.replace({ ...record, expiresAt: present?.expiresAt ?? record.expiresAt }, ifVersion);
  }
}

export class EvictsWhereItShouldReject extends MemoryBackend {
  override create(record: SessionRecord, { limit, ...rest }: CreateOptions): Promise<CreateResult> {
    return super.create(record, limit ? { ...rest, limit: { ...limit, onLimit: 'evict-oldest' } } : rest);
  }
}

export class EvictsPendingOnes extends MemoryBackend {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const listed = record.userTag === null ? [] : await this.listByUser(record.userTag);
    if (options.limit?.onLimit === 'evict-oldest') {
      for (const { id, status } of listed) if (status === 'pending') await this.delete(id);
    }
    return super.create(record, options);
  }
}

export class CountsNoPendingOnes extends MemoryBackend {
  override async create(record: SessionRecord, { limit, ...rest }: CreateOptions): Promise<CreateResult> {
    const listed = record.userTag === null ? [] : await this.listByUser(record.userTag);
    const pending = listed.filter(({ status }) => status === 'pending').length;
    return super.create(record, limit ? { ...rest, limit: { ...limit, max: limit.max + pending } } : rest);
  }
}

export class CountsTheReplaced extends MemoryBackend {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const { limit, replaces } = options;
    const listed = record.userTag === null ? [] : await this.listByUser(record.userTag);
    if (limit && replaces && listed.length >= limit.max) return { outcome: 'limit' };
    return super.create(record, options);
  }
}

export class KnowsNoAliases extends MemoryBackend {
  override readonly keepsAliases = false;
}

export class LeavesNoAlias extends MemoryBackend {
  override create(record: SessionRecord, { replaces, ...rest }: CreateOptions): Promise<CreateResult> {
    if (replaces === undefined) return super.create(record, rest);
    return super.create(record, { ...rest, replaces: { id: replaces.id, version: replaces.version } });
  }
}

export class LeavesTheAliasAMomentLater extends LeavesNoAlias {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const result = await super.create(record, options);
    const alias = options.replaces?.alias;
    await turn();
    if (alias !== undefined && result.outcome === 'created') await super.create(alias, { timeoutMs: 1000 });
    return result;
  }
}

export class LeavesTheAliasWhateverComes extends LeavesNoAlias {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const alias = options.replaces?.alias;
    const result = await super.create(record, options);
    if (alias !== undefined) {
      await this.delete(alias.id);
      await super.create(alias, { timeoutMs: 1000 });
    }
    return result;
  }
}

export class DeletesTheAlias extends MemoryBackend {
  override async delete(id: Id, options: { ifVersion?: number } = {}): Promise<DeleteResult> {
    const outcome = await super.delete(id, options);
    if (outcome !== 'alias') return outcome;
    return super.delete(id, { ifVersion: (await this.read(id))?.version ?? 0 });
  }
}

export class ForgetsTheAlias extends MemoryBackend {
  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const { replaces } = options;
    if (replaces?.alias === undefined) return super.create(record, options);
    const alias = { ...replaces.alias, expiresAt: replaces.alias.expiresAt - 1 };
    return super.create(record, { ...options, replaces: { ...replaces, alias } });
  }
}

export class LeavesAnAliasByCheckThenAct extends MemoryBackend {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const { replaces, ...rest } = options;
    if (replaces?.alias === undefined) return super.create(record, options);
    const old = await this.read(replaces.id);
    if (old === null) return { outcome: 'missing' };
    if (old.version !== replaces.version) return { outcome: 'changed' };
    await turn();
    const result = await super.create(record, rest);
    await this.delete(replaces.id);
    await super.create(replaces.alias, { timeoutMs: 1000 });
    return result;
  }
}

export class CountsTheAlias extends MemoryBackend {
  readonly #aliases = new Map<Tag, Id[]>();

  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const result = await super.create(record, options);
    const alias = options.replaces?.alias;
    if (alias !== undefined && record.userTag !== null) this.#aliases.set(record.userTag, [alias.id]);
    return result;
  }

  override async deleteByUser(tag: Tag, options: { except?: Id } = {}): Promise<Id[]> {
    return [...(await super.deleteByUser(tag, options)), ...(this.#aliases.get(tag) ?? [])];
  }
}

export class ReadsManyInAnyOrder extends MemoryBackend {
  override async readMany(ids: readonly Id[]): Promise<(SessionRecord | null)[]> {
    return (await super.readMany(ids)).reverse();
  }
}

export class NotifiesOfNoEnd extends MemoryBackend {
  override onEnded(): Promise<EndedSubscription> {
    return super.onEnded(() => undefined);
  }
}

export class NotifiesOfNoReplacement extends MemoryBackend {
  readonly #replaced = new Set<Id>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    if (options.replaces !== undefined) this.#replaced.add(options.replaces.id);
    return super.create(record, options);
  }

  override onEnded(listener: EndedListener): Promise<EndedSubscription> {
    return super.onEnded((ids) => {
      listener(ids.filter((id) => !this.#replaced.has(id)));
    });
  }
}

export class NotifiesForEver extends MemoryBackend {
  override async onEnded(listener: EndedListener): Promise<EndedSubscription> {
    await super.onEnded(listener);
    return { close: () => Promise.resolve() };
  }
}

export class FailsWhereItCannotNotify extends MemoryBackend {
  override onEnded(listener: EndedListener): Promise<EndedSubscription> {
    return super.onEnded((ids) => {
      listener(ids);
      throw new BrokenBackendError();
    });
  }
}
