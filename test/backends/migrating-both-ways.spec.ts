import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  MemoryBackend,
  MigratingBackend,
  type BackendContext,
  type SessionBackend,
  type SessionId,
  type SessionRecord,
  type UserTag,
} from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { FakeClock } from 'nestjs-sessionx/testing';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, newSecret, sessionIdOf, userTag } from '../../src/tokens/session-secret.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';

const TIMEOUT_MS = 10_000;
const MONTH_MS = 30 * 24 * 3_600_000;
/** After which a session that has moved may move back. */
const LATER_MS = 11 * 60_000;

type StoreName = 'first' | 'second';

const random = new RandomPool();
let redis: RedisServer;
let memcached: MemcachedServer;

beforeAll(async () => {
  redis = await RedisServer.start();
  memcached = await MemcachedServer.start();
});

afterAll(async () => {
  await redis.stop();
  await memcached.stop();
});

const pairs: [names: string, first: () => SessionBackend, second: () => SessionBackend][] = [
  ['memory and memory', () => new MemoryBackend(), () => new MemoryBackend()],
  ['memory and Redis', () => new MemoryBackend(), () => new RedisBackend(redis.url)],
  [
    'Redis and Memcached',
    () => new RedisBackend(redis.url),
    () => new MemcachedBackend({ servers: memcached.address }),
  ],
];

/** `real`, which is open and stays open, with `before` run before each of its calls. */
function interposed(real: SessionBackend, before: () => Promise<void>): SessionBackend {
  return new Proxy(real, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      if (name === 'open' || name === 'close') return () => Promise.resolve();
      return async (...args: unknown[]): Promise<unknown> => {
        await before();
        return (await Reflect.apply(method, target, args)) as unknown;
      };
    },
  });
}

/** Two stores, and processes of the two steps of a switch from the first to the second. */
class Switch {
  readonly clock = new FakeClock();
  readonly user = this.newUser();
  readonly stepOne: MigratingBackend;
  readonly stepTwo: MigratingBackend;
  readonly #context: BackendContext;
  readonly #opened: SessionBackend[] = [];

  constructor(
    readonly first: SessionBackend,
    readonly second: SessionBackend,
  ) {
    const silent = () => undefined;
    this.#context = {
      keyPrefix: `both-ways-${random.base64url(6)}:`,
      timeoutMs: TIMEOUT_MS,
      clock: this.clock,
      logger: { log: silent, warn: silent, error: silent },
    };
    this.stepOne = new MigratingBackend(first, second);
    this.stepTwo = new MigratingBackend(second, first);
  }

  async open(...backends: SessionBackend[]): Promise<void> {
    for (const backend of backends) {
      await backend.open?.(this.#context);
      this.#opened.push(backend);
    }
  }

  async close(): Promise<void> {
    for (const backend of this.#opened) await backend.close();
  }

  newUser(): UserTag {
    return userTag('the key of this test', random.base64url(12));
  }

  record(user: UserTag | null): SessionRecord {
    const now = this.clock.now();
    return {
      id: sessionIdOf(newSecret(user ?? anonymousTag(random), random)),
      version: 1,
      status: 'active',
      userTag: user,
      lastAccessed: now,
      expiresAt: now + MONTH_MS,
      payload: '0',
    };
  }

  async stored(store: SessionBackend, user: UserTag | null = this.user): Promise<SessionRecord> {
    const record = this.record(user);
    expect(await store.create(record, { timeoutMs: TIMEOUT_MS })).toEqual({ outcome: 'created', evicted: [] });
    return record;
  }

  /** Makes a process move the session to the store which is not `from`, if it does so at all. */
  async moveAwayFrom(from: StoreName, id: SessionId): Promise<void> {
    const mover = from === 'first' ? this.stepTwo : this.stepOne;
    const record = await mover.read(id);
    if (record === null) return;
    const { lastAccessed, expiresAt } = record;
    await mover.touch(id, { lastAccessed: lastAccessed + 1, expiresAt });
  }
}

describe.each(pairs)('processes of both steps of a switch, side by side: %s', (_names, first, second) => {
  let both: Switch;

  beforeEach(async () => {
    both = new Switch(first(), second());
    await both.open(both.stepOne, both.stepTwo);
  });

  afterEach(() => both.close());

  /** A process of one step, before each of whose calls of a store the session moves to the other store. */
  async function unlucky(step: 'one' | 'two', id: () => SessionId): Promise<MigratingBackend> {
    const evading = (store: StoreName) => interposed(both[store], () => both.moveAwayFrom(store, id()));
    const stores: [SessionBackend, SessionBackend] = [evading('first'), evading('second')];
    const [next, old] = step === 'one' ? stores : stores.reverse();
    const backend = new MigratingBackend(next!, old!);
    await both.open(backend);
    return backend;
  }

  const cases = (['one', 'two'] as const).flatMap((step) =>
    (['first', 'second'] as const).flatMap((store) =>
      [false, true].map((signedIn) => [step, store, signedIn ? 'signed in' : 'anonymous'] as const),
    ),
  );

  describe.each(cases)('a process of step %s, and a session that begins in the %s store, %s', (step, store, kind) => {
    let record: SessionRecord;
    let backend: MigratingBackend;

    beforeEach(async () => {
      record = await both.stored(both[store], kind === 'anonymous' ? null : both.user);
      backend = await unlucky(step, () => record.id);
    });

    async function expectEnded(): Promise<void> {
      for (const one of [both.stepOne, both.stepTwo, both.first, both.second]) {
        const left = await one.read(record.id);
        expect(left === null || left.status === 'invalidated').toBe(true);
      }
      for (const one of [both.stepOne, both.stepTwo]) {
        expect(await one.read(record.id)).toBeNull();
        expect(await one.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 })).toBe(false);
        expect(await one.replace({ ...record, version: 2 }, 1)).toBe('missing');
      }
    }

    it('reads it while it moves to and fro', async () => {
      for (let round = 0; round < 5; round++) {
        expect(await backend.read(record.id)).toMatchObject({ id: record.id, version: 1, payload: '0' });
      }
    });

    it('changes and renews it', async () => {
      for (let version = 1; version < 5; version++) {
        expect(await backend.replace({ ...record, version: version + 1, payload: String(version) }, version)).toBe(
          'replaced',
        );
        const times = { lastAccessed: record.lastAccessed + 1000, expiresAt: record.expiresAt + version };
        expect(await backend.touch(record.id, times)).toBe(true);
        expect(await both.stepOne.read(record.id)).toMatchObject({ version: version + 1, payload: String(version) });
        expect((await both.stepTwo.read(record.id))!.expiresAt).toBe(record.expiresAt + version);
      }
    });

    it('ends it', async () => {
      expect(await backend.delete(record.id)).toBe('deleted');
      await expectEnded();
      expect(await backend.delete(record.id)).toBe('missing');
    });

    it('ends the version that it has read, and no other', async () => {
      expect(await backend.delete(record.id, { ifVersion: 2 })).toBe('changed');
      expect(await backend.delete(record.id, { ifVersion: 1 })).toBe('deleted');
      await expectEnded();
    });

    it('puts another one in its place', async () => {
      const successor = {
        ...both.record(record.userTag),
        id: sessionIdOf(newSecret(record.id.slice(0, 16) as UserTag, random)),
      };
      const replaces = { id: record.id, version: 1 };
      expect(await backend.create(successor, { replaces, timeoutMs: TIMEOUT_MS })).toMatchObject({
        outcome: 'created',
      });
      await expectEnded();
      for (const one of [both.stepOne, both.stepTwo]) expect(await one.read(successor.id)).toEqual(successor);
    });

    if (kind === 'anonymous') return;

    it('lists it', async () => {
      for (let round = 0; round < 5; round++) {
        expect((await backend.listByUser(both.user)).map(({ id, status }) => [id, status])).toEqual([
          [record.id, 'active'],
        ]);
      }
    });

    it('ends it when its user is logged out everywhere', async () => {
      const others = [await both.stored(both.first), await both.stored(both.second)];
      await backend.deleteByUser(both.user);
      await expectEnded();
      for (const { id } of others) expect(await both.stepOne.read(id)).toBeNull();
      expect(await both.stepTwo.listByUser(both.user)).toEqual([]);
    });

    it('spares it when its user is logged out everywhere else', async () => {
      const other = await both.stored(both.second);
      expect(await backend.deleteByUser(both.user, { except: record.id })).toEqual([other.id]);
      expect(await both.stepOne.read(record.id)).toMatchObject({ id: record.id, status: 'active' });
    });
  });
});

/** What the test knows of a session; times are positions in the one order in which calls begin and end. */
interface Known {
  readonly record: SessionRecord;
  readonly createdAt: number;
  /** Changes that were reported as stored. */
  replaced: number;
  /** The latest that a successful touch has set. */
  lastAccessed: number;
  expiresAt: number;
  /** When the first call began that ends it. */
  endingSince: number;
  /** When the first call returned after which it must have ended. */
  endedSince: number;
  /** How many calls have said that it was they who ended it. */
  counted: number;
}

/** Processes of both steps that do something at random, each call checked by what was known when it began and when it returned. */
class RandomTraffic {
  readonly #sessions: Known[] = [];
  #order = 0;

  constructor(
    private readonly both: Switch,
    private readonly processes: readonly SessionBackend[],
    private readonly chance: () => number,
  ) {}

  async round(calls: number): Promise<void> {
    const users = [this.both.newUser(), this.both.newUser(), null];
    for (let count = 0; count < 9; count++) await this.#create(this.#one(users));
    const turns = [Promise.resolve()];
    while (turns.length < 200) turns.push(turns.at(-1)!.then(() => eventLoopTurn()));
    await Promise.all(Array.from({ length: calls }, () => this.#something(users, this.#one(turns))));
    for (const session of this.#sessions) for (const backend of this.processes) await this.#read(session, backend);
    for (const user of users) for (const backend of this.processes) await this.#list(user, backend);
  }

  /** What is left: every change and every renewal that was reported as stored, in exactly one store. */
  async check(): Promise<number> {
    let alive = 0;
    for (const known of this.#sessions) {
      expect(known.counted).toBeLessThanOrEqual(1);
      const places = await Promise.all([this.both.first, this.both.second].map((store) => store.read(known.record.id)));
      const left = places.filter((place) => place?.status === 'active');
      // One that was made beside a logout everywhere has been ended by it or not.
      if (known.endingSince === Infinity) expect(left).toHaveLength(1);
      else expect(left.length).toBeLessThanOrEqual(known.endedSince === Infinity ? 1 : 0);
      if (left[0] == null) continue;
      alive++;
      const { lastAccessed, expiresAt, replaced } = known;
      const payload = String(replaced);
      expect(left[0]).toMatchObject({ version: 1 + replaced, payload, lastAccessed, expiresAt });
    }
    return alive;
  }

  async #something(users: readonly (UserTag | null)[], turn: Promise<void>): Promise<void> {
    await turn;
    const backend = this.#one(this.processes);
    const session = this.#one(this.#sessions);
    const kind = this.chance();
    if (kind < 0.3) return this.#read(session, backend);
    if (kind < 0.55) return this.#replace(session, backend);
    if (kind < 0.8) return this.#touch(session, backend);
    if (kind < 0.88) return this.#list(this.#one(users), backend);
    if (kind < 0.92) return this.#create(this.#one(users));
    if (kind < 0.97) return this.#delete(session, backend);
    return this.#logOutEverywhere(this.#one(users), backend);
  }

  async #create(user: UserTag | null): Promise<void> {
    const record = this.both.record(user);
    const began = this.#order++;
    const [backend] = [this.#one(this.processes)];
    expect((await backend.create(record, { timeoutMs: TIMEOUT_MS })).outcome).toBe('created');
    const { lastAccessed, expiresAt } = record;
    const ends = this.#logouts.filter((logout) => logout.user === user && logout.returned > began);
    this.#sessions.push({
      record,
      createdAt: this.#order++,
      replaced: 0,
      lastAccessed,
      expiresAt,
      // It may have been ended by a logout that runs beside.
      endingSince: ends.length > 0 ? began : Infinity,
      endedSince: Infinity,
      counted: 0,
    });
  }

  readonly #logouts: { readonly user: UserTag | null; returned: number }[] = [];

  async #read(known: Known, backend: SessionBackend): Promise<void> {
    const began = this.#order++;
    const { replaced } = known;
    const read = await backend.read(known.record.id);
    this.#saw(known, began, read !== null);
    if (read === null) return;
    expect(read.status).toBe('active');
    expect(read.version).toBeGreaterThan(replaced);
    expect(read.payload).toBe(String(read.version - 1));
  }

  async #replace(known: Known, backend: SessionBackend): Promise<void> {
    const began = this.#order++;
    const read = await backend.read(known.record.id);
    this.#saw(known, began, read !== null);
    if (read === null) return;
    const again = this.#order++;
    const next = { ...read, version: read.version + 1, payload: String(read.version) };
    const outcome = await backend.replace(next, read.version);
    if (outcome === 'replaced') known.replaced++;
    if (outcome !== 'changed') this.#saw(known, again, outcome === 'replaced');
  }

  async #touch(known: Known, backend: SessionBackend): Promise<void> {
    const began = this.#order++;
    const lastAccessed = known.record.lastAccessed + began;
    const expiresAt = known.record.expiresAt + Math.floor(this.chance() * 1000);
    const touched = await backend.touch(known.record.id, { lastAccessed, expiresAt });
    this.#saw(known, began, touched);
    if (!touched) return;
    known.lastAccessed = Math.max(known.lastAccessed, lastAccessed);
    known.expiresAt = Math.max(known.expiresAt, expiresAt);
  }

  async #list(user: UserTag | null, backend: SessionBackend): Promise<void> {
    if (user === null) return;
    const began = this.#order++;
    const listed = new Set((await backend.listByUser(user)).map(({ id }) => id));
    const returned = this.#order++;
    const ofUser = this.#sessions.filter(({ record }) => record.userTag === user);
    const living = ofUser.filter(({ createdAt, endingSince }) => createdAt < began && endingSince > returned);
    const ended = ofUser.filter(({ endedSince }) => endedSince < began);
    expect(living.filter(({ record }) => !listed.has(record.id))).toEqual([]);
    expect(ended.filter(({ record }) => listed.has(record.id))).toEqual([]);
  }

  async #delete(known: Known, backend: SessionBackend): Promise<void> {
    const began = this.#order++;
    const mayHaveEnded = known.endingSince < began;
    known.endingSince = Math.min(known.endingSince, began);
    this.#ending.set(known, (this.#ending.get(known) ?? 0) + 1);
    const outcome = await backend.delete(known.record.id);
    if (outcome === 'missing') expect(mayHaveEnded || this.#ending.get(known)! > 1).toBe(true);
    else known.counted++;
    known.endedSince = Math.min(known.endedSince, this.#order++);
  }

  readonly #ending = new Map<Known, number>();

  async #logOutEverywhere(user: UserTag | null, backend: SessionBackend): Promise<void> {
    if (user === null) return;
    const began = this.#order++;
    const logout = { user, returned: Infinity };
    this.#logouts.push(logout);
    const before = this.#sessions.filter(({ record }) => record.userTag === user);
    for (const known of before) {
      known.endingSince = Math.min(known.endingSince, began);
      this.#ending.set(known, (this.#ending.get(known) ?? 0) + 1);
    }
    const ended = await backend.deleteByUser(user);
    expect(new Set(ended).size).toBe(ended.length);
    logout.returned = this.#order++;
    for (const known of before) known.endedSince = Math.min(known.endedSince, logout.returned);
    for (const known of this.#sessions) {
      if (!ended.includes(known.record.id)) continue;
      known.counted++;
      known.endedSince = Math.min(known.endedSince, logout.returned);
      known.endingSince = Math.min(known.endingSince, began);
    }
  }

  /** A session that lives is never missed, and one that has ended never seen. */
  #saw(known: Known, began: number, lives: boolean): void {
    const returned = this.#order++;
    if (lives) expect(known.endedSince).toBeGreaterThan(began);
    else expect(known.endingSince).toBeLessThan(returned);
  }

  #one<T>(some: readonly T[]): T {
    return some[Math.floor(this.chance() * some.length)]!;
  }
}

/** Numbers from 0 to 1 that follow from a seed, so that a run which fails can be had again: mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

describe.each(pairs)('random calls of two processes of each step: %s', (_names, first, second) => {
  let both: Switch;

  afterEach(() => both.close());

  it.each(Array.from({ length: 4 }, (_, index) => index + 1))(
    'miss no session that lives, see none that has ended, and lose no change (seed %d)',
    async (seed) => {
      const chance = seeded(seed);
      both = new Switch(first(), second());
      const somewhen = async () => {
        for (let turns = Math.floor(chance() * 4); turns > 0; turns--) await eventLoopTurn();
      };
      const slow = (store: StoreName) => interposed(both[store], somewhen);
      const processes = [0, 1].flatMap(() => [
        new MigratingBackend(slow('first'), slow('second')),
        new MigratingBackend(slow('second'), slow('first')),
      ]);
      await both.open(both.stepOne, ...processes);
      const traffic = new RandomTraffic(both, processes, chance);
      let alive = 0;
      for (let round = 0; round < 3; round++) {
        await traffic.round(150);
        alive += await traffic.check();
        both.clock.advance(LATER_MS);
      }
      expect(alive).toBeGreaterThan(0);
    },
    60_000,
  );
});
