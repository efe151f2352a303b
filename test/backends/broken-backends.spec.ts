import { expect, it } from '@jest/globals';
import {
  MemoryBackend,
  type CreateOptions,
  type CreateResult,
  type SessionBackend,
  type SessionRecord,
  type SessionTimes,
} from 'nestjs-sessionx';
import { backendConformance } from 'nestjs-sessionx/testing';

type Id = SessionRecord['id'];
type Tag = NonNullable<SessionRecord['userTag']>;

/** One turn of the event loop, in which another call can come in between: what two round trips to a server are. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

class BlindSet extends MemoryBackend {
  override async replace(record: SessionRecord): Promise<'replaced' | 'changed' | 'missing'> {
    const present = await this.read(record.id);
    return super.replace(record, present?.version ?? record.version);
  }
}

class LosesUpdates extends MemoryBackend {
  override async replace(record: SessionRecord, ifVersion: number): Promise<'replaced' | 'changed' | 'missing'> {
    const present = await this.read(record.id);
    if (present === null) return 'missing';
    if (present.version !== ifVersion) return 'changed';
    await turn();
    return super.replace(record, (await this.read(record.id))?.version ?? ifVersion);
  }
}

class Resurrects extends MemoryBackend {
  override async replace(record: SessionRecord, ifVersion: number): Promise<'replaced' | 'changed' | 'missing'> {
    const outcome = await super.replace(record, ifVersion);
    if (outcome !== 'missing') return outcome;
    await super.create(record, { deadline: 1000 });
    return 'replaced';
  }
}

class ResurrectsByTouch extends MemoryBackend {
  readonly #seen = new Map<Id, SessionRecord>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    this.#seen.set(record.id, record);
    return super.create(record, options);
  }

  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = this.#seen.get(id);
    if (record !== undefined) await super.create({ ...record, ...times }, { deadline: 1000 });
    return super.touch(id, times);
  }
}

class ForgetsTheIndex extends MemoryBackend {
  override listByUser(): Promise<SessionRecord[]> {
    return Promise.resolve([]);
  }
}

class ListsTheEnded extends MemoryBackend {
  readonly #ever = new Map<Tag, SessionRecord[]>();

  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    if (record.userTag !== null) this.#ever.set(record.userTag, [...(this.#ever.get(record.userTag) ?? []), record]);
    return super.create(record, options);
  }

  override listByUser(tag: Tag): Promise<SessionRecord[]> {
    return Promise.resolve(this.#ever.get(tag) ?? []);
  }
}

class LogsOutByScan extends MemoryBackend {
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

class CountsWhatHadExpired extends MemoryBackend {
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

class IgnoresTheExcepted extends MemoryBackend {
  override deleteByUser(tag: Tag): Promise<Id[]> {
    return super.deleteByUser(tag);
  }
}

class LimitsByCheckThenAct extends MemoryBackend {
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

class EvictsTheNewest extends MemoryBackend {
  override async create(record: SessionRecord, { limit, ...rest }: CreateOptions): Promise<CreateResult> {
    const listed = record.userTag === null ? [] : await this.listByUser(record.userTag);
    const excess = limit?.onLimit === 'evict-oldest' ? Math.max(0, listed.length + 1 - limit.max) : 0;
    const evicted = listed.sort((a, b) => b.expiresAt - a.expiresAt).slice(0, excess);
    for (const { id } of evicted) await this.delete(id);
    const result = await super.create(record, excess > 0 ? rest : { limit, ...rest });
    return result.outcome === 'created' ? { outcome: 'created', evicted: evicted.map(({ id }) => id) } : result;
  }
}

class OutlivesItsExpiry extends MemoryBackend {
  override async read(id: Id): Promise<SessionRecord | null> {
    const record = await super.read(id);
    return record && { ...record, expiresAt: record.expiresAt + 1 };
  }
}

class MovesTimesBack extends MemoryBackend {
  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = await this.read(id);
    if (record?.status !== 'active') return false;
    await this.delete(id);
    await super.create({ ...record, ...times }, { deadline: 1000 });
    return true;
  }
}

class BumpsTheVersionOnTouch extends MemoryBackend {
  override async touch(id: Id, times: SessionTimes): Promise<boolean> {
    const record = await this.read(id);
    if (record?.status !== 'active') return false;
    return (await super.replace({ ...record, ...times, version: record.version + 1 }, record.version)) === 'replaced';
  }
}

class DeletesTheOldFirst extends MemoryBackend {
  override async create(record: SessionRecord, { replaces, ...rest }: CreateOptions): Promise<CreateResult> {
    if (replaces !== undefined) await this.delete(replaces.id);
    return super.create(record, rest);
  }
}

class KeepsTheOld extends MemoryBackend {
  override create(record: SessionRecord, { limit, deadline }: CreateOptions): Promise<CreateResult> {
    return super.create(record, { limit, deadline });
  }
}

class NeverTooLate extends MemoryBackend {
  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    return super.create(record, { ...options, deadline: 1000 });
  }
}

class OverwritesTheTaken extends MemoryBackend {
  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    await this.delete(record.id);
    return super.create(record, options);
  }
}

class CutsLongPayloads extends MemoryBackend {
  override create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    return super.create({ ...record, payload: record.payload.slice(0, 65_535) }, options);
  }
}

class ThrowsWhenMissing extends MemoryBackend {
  override async delete(id: Id, options?: { ifVersion?: number }): Promise<'deleted' | 'changed' | 'missing'> {
    const outcome = await super.delete(id, options);
    if (outcome === 'missing') throw new Error('no such session');
    return outcome;
  }
}

const broken: [fault: string, create: () => SessionBackend, caughtBy: RegExp][] = [
  ['sets blindly', () => new BlindSet(), /^replace leaves a record alone that has another version/],
  ['loses updates', () => new LosesUpdates(), /^no update is lost/],
  ['brings back what was deleted', () => new Resurrects(), /^replace never creates/],
  ['brings back by a touch', () => new ResurrectsByTouch(), /^touch never creates/],
  ['forgets the index', () => new ForgetsTheIndex(), /^listByUser lists a user's/],
  ['lists what has ended', () => new ListsTheEnded(), /leaves the index/],
  ['lets a login slip through a logout everywhere', () => new LogsOutByScan(), /never alive and unlisted/],
  [
    'counts what had expired',
    () => new CountsWhatHadExpired(),
    /^deleteByUser ends all sessions of the user and returns/,
  ],
  ['ends the session to be kept', () => new IgnoresTheExcepted(), /^deleteByUser spares/],
  ['checks the limit, then acts', () => new LimitsByCheckThenAct(), /^20 sessions created at once/],
  ['evicts the newest', () => new EvictsTheNewest(), /^a limit evicts the sessions that expire first/],
  ['returns a record past its expiry', () => new OutlivesItsExpiry(), /^a record is not usable past its expiry/],
  ['moves times back', () => new MovesTimesBack(), /^touch never moves a time back/],
  ['bumps the version on a touch', () => new BumpsTheVersionOnTouch(), /^touch moves the times and leaves version/],
  [
    'deletes the old session unseen',
    () => new DeletesTheOldFirst(),
    /^a session does not replace one that has changed/,
  ],
  ['keeps the old session', () => new KeepsTheOld(), /^a session that replaces another/],
  ['creates after the deadline', () => new NeverTooLate(), /^create does nothing once its deadline/],
  ['overwrites an id that is taken', () => new OverwritesTheTaken(), /^create refuses an id that is taken/],
  ['cuts long payloads', () => new CutsLongPayloads(), /^a payload of any text survives/],
  ['throws when there is nothing to delete', () => new ThrowsWhenMissing(), /^delete removes a record/],
];

it.each(broken)('the suite catches a backend that %s', async (_fault, create, caughtBy) => {
  const cases = backendConformance({ create, again: (first) => first }).filter(({ name }) => caughtBy.test(name));
  expect(cases).toHaveLength(1);
  await expect(cases[0]?.run()).rejects.toThrow();
});
