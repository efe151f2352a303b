import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  MemoryBackend,
  MigratingBackend,
  SessionDataError,
  SessionNotFoundError,
  type Session,
  type SessionBackend,
  type SessionRecord,
} from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { backendConformance, FakeClock, type DamagedKey } from 'nestjs-sessionx/testing';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { RandomPool } from '../../src/tokens/random-pool.js';
import { newSecret, sessionIdOf, userTag } from '../../src/tokens/session-secret.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { newerText } from '../support/newer-records.js';
import { RedisServer } from '../support/redis-server.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

let redis: RedisServer;

beforeAll(async () => {
  redis = await RedisServer.start();
});

afterAll(() => redis.stop());

describe('two stores as one', () => {
  const subject = {
    create: () => new MigratingBackend(new RedisBackend(redis.url), new MemoryBackend()),
    damage: async ({ keyPrefix, id }: DamagedKey) => {
      const client = redis.client();
      await client.set(`${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`, 'something else');
      await client.quit();
    },
    writeNewer: async ({ keyPrefix, id }: DamagedKey) => {
      const client = redis.client();
      const key = `${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`;
      await client.set(key, newerText(await client.get(key)), 'KEEPTTL');
      await client.quit();
    },
  };
  const again = (first: SessionBackend) => first;
  for (const { name, run } of backendConformance({ ...subject, again })) it(name, run);
});

describe('two stores as one, whose sessions begin in the old one', () => {
  /** Creates in the old store, as a process does that does not know of the new one. */
  class BeginsInOld extends MigratingBackend {
    constructor(
      next: SessionBackend,
      private readonly from: SessionBackend,
    ) {
      super(next, from);
    }

    override create(...args: Parameters<SessionBackend['create']>): ReturnType<SessionBackend['create']> {
      const [, { limit, replaces }] = args;
      return limit === undefined && replaces === undefined ? this.from.create(...args) : super.create(...args);
    }
  }
  const create = () => new BeginsInOld(new RedisBackend(redis.url), new MemoryBackend());
  for (const { name, run } of backendConformance({ create, again: (first) => first })) it(name, run);
});

describe('processes of two steps of a rolling switch, side by side', () => {
  /** What needs one step over all sessions of a user holds within each step; the documentation says so. */
  const withinOneStep = 'under a limit of 3';
  const memories = new Map<SessionBackend, MemoryBackend>();
  const create = () => {
    const memory = new MemoryBackend();
    const backend = new MigratingBackend(new RedisBackend(redis.url), memory);
    memories.set(backend, memory);
    return backend;
  };
  const again = (first: SessionBackend) =>
    new MigratingBackend(memories.get(first) ?? new MemoryBackend(), new RedisBackend(redis.url));
  const cases = backendConformance({ create, again }).filter(({ name }) => !name.includes(withinOneStep));
  for (const { name, run } of cases) it(name, run);
});

describe('a rolling switch from memory to Redis to Memcached, under traffic', () => {
  const options = { backendKeyPrefix: 'moving:', backendTimeout: 8000 };
  const clock = new FakeClock();
  const memory = new MemoryBackend();
  let memcached: MemcachedServer;
  let live: ServiceUnderTest[];

  beforeAll(async () => {
    memcached = await MemcachedServer.start();
  });

  afterAll(() => memcached.stop());

  const inMemory = () => memory;
  const inRedis = () => new RedisBackend(redis.url);
  const inMemcached = () => new MemcachedBackend({ servers: memcached.address });
  const both = (next: () => SessionBackend, old: () => SessionBackend) => () => new MigratingBackend(next(), old());
  /** As the documentation has it; after the steps marked so, all sessions have to be in the new store. */
  const steps: { readonly backend: () => SessionBackend; readonly moves?: true }[] = [
    { backend: inMemory },
    { backend: both(inMemory, inRedis) },
    { backend: both(inRedis, inMemory), moves: true },
    { backend: inRedis },
    { backend: both(inRedis, inMemcached) },
    { backend: both(inMemcached, inRedis), moves: true },
    { backend: inMemcached },
  ];

  const start = ({ backend }: (typeof steps)[number]) => startService(backend(), options, clock);
  /** One of the processes that run just now. */
  const anyone = () => live[Math.floor(Math.random() * live.length)]!.sessions;
  const increment = ({ data }: Session) => {
    data.n = Number(data.n) + 1;
  };

  it('logs nobody out, loses no change, and nobody who was logged out comes back through any store', async () => {
    live = [await start(steps[0]!)];
    const users = await atOnce(12, (index) =>
      anyone().createSession({ user: { userId: `user ${index % 4}` }, data: { n: 0 } }),
    );
    const anonymous = await atOnce(4, () => anyone().createSession({ data: { n: 0 } }));
    const issued = [...users, ...anonymous];
    const rounds = [...issued, 'guest'].map(() => 0);
    const ended: string[] = [];

    let switching = true;
    const worker = async (index: number, work: () => Promise<unknown>) => {
      for (; switching; rounds[index]!++) {
        await work();
        // Calls to memory alone would never let anybody else have a turn.
        await eventLoopTurn();
      }
    };
    const traffic = Promise.all([
      ...issued.map(({ session, token }, index) =>
        worker(index, async () => {
          await anyone().getSession(token);
          await anyone().update(session.sessionId, increment);
          await anyone().renewSession(token);
        }),
      ),
      worker(issued.length, async () => {
        const { session, token } = await anyone().createSession({ user: { userId: 'guest' }, data: { n: 0 } });
        const moving = outcomes<unknown>([anyone().update(session.sessionId, increment), anyone().renewSession(token)]);
        const sameStep = live.length === 1;
        const count = await anyone().deleteUserSessions('guest');
        // Between processes that move it to and fro the count may miss it; what matters is that it has ended.
        expect(sameStep ? [1] : [0, 1]).toContain(count);
        await moving;
        ended.push(token);
        for (const { sessions } of live) {
          await expect(sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
          expect(await sessions.listUserSessions('guest')).toEqual([]);
        }
      }),
    ]);
    traffic.catch(() => (switching = false));
    const someRounds = async () => {
      const goals = rounds.map((done) => done + 2);
      while (goals.some((goal, index) => rounds[index]! < goal)) {
        if (!switching) await traffic;
        await eventLoopTurn();
      }
    };

    await someRounds();
    for (const [index, step] of steps.slice(1).entries()) {
      live.push(await start(step));
      await someRounds();
      const [before] = live.splice(0, 1);
      await someRounds();
      await before!.close();
      if (steps[index + 1]?.moves)
        await atOnce(16, (one) => anyone().update(issued[one]!.session.sessionId, () => undefined));
      await someRounds();
    }
    switching = false;
    await traffic;

    const [last] = live;
    for (const [index, { token }] of issued.entries()) {
      expect((await last!.sessions.getSession(token)).data.n).toBe(rounds[index]);
    }
    expect(await last!.sessions.deleteUserSessions('user 0')).toBe(3);
    expect(ended.length).toBeGreaterThan(steps.length);
    for (const step of steps) {
      const service = await start(step);
      for (const token of ended) await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      await service.close();
    }
    await last!.close();
  });
});

describe('a session between two steps of its move', () => {
  const clock = new FakeClock();
  let options: { readonly backendKeyPrefix: string };
  let tests = 0;
  let memory: MemoryBackend;
  let stopped: BarrierBackend;
  let mover: ServiceUnderTest;
  let other: ServiceUnderTest;
  let opposite: ServiceUnderTest;
  /** Redis, as `other` and `opposite` see it. */
  let seen: [BarrierBackend, BarrierBackend];
  let token: string;

  beforeEach(async () => {
    options = { backendKeyPrefix: `between-${tests++}:` };
    memory = new MemoryBackend();
    stopped = new BarrierBackend(new RedisBackend(redis.url));
    const seeding = await startService(memory, options, clock);
    ({ token } = await seeding.sessions.createSession({ user: { userId: 'ann' }, data: { n: 1 } }));
    await seeding.close();
    mover = await startService(new MigratingBackend(stopped.backend, memory), options, clock);
    seen = [new BarrierBackend(new RedisBackend(redis.url)), new BarrierBackend(new RedisBackend(redis.url))];
    other = await startService(new MigratingBackend(seen[0].backend, memory), options, clock);
    opposite = await startService(new MigratingBackend(memory, seen[1].backend), options, clock);
  });

  afterEach(() => Promise.all([mover, other, opposite].map((service) => service.close())));

  /** A renewal that has taken the session out of the old store, and is about to put it in the place of its stand-in. */
  async function moving(): Promise<{ readonly renewal: Promise<unknown>; readonly letGo: () => void }> {
    const placing = stopped.stopNext('replace');
    const renewal = mover.sessions.renewSession(token);
    await placing.arrived;
    return { renewal, letGo: placing.letGo };
  }

  it('is waited for by whoever reads, changes or renews it in any process: nobody is logged out', async () => {
    const { renewal, letGo } = await moving();
    const calls = [other, opposite].flatMap(({ sessions }) => [
      sessions.getSession(token),
      sessions.renewSession(token),
      sessions.getSession(token).then(({ sessionId }) => sessions.update(sessionId, ({ data }) => (data.n = 2))),
    ]);
    const settled = outcomes<unknown>(calls);
    const reads = ({ calls }: BarrierBackend) => calls.read ?? 0;
    // Each of the three has looked at all places where it could be.
    while (reads(seen[0]) < 6 || reads(seen[1]) < 3) await eventLoopTurn();
    letGo();
    expect((await settled).errors).toEqual([]);
    await renewal;
    expect((await other.sessions.getSession(token)).data.n).toBe(2);
  });

  it('is counted by a logout everywhere, and does not come back', async () => {
    const { renewal, letGo } = await moving();
    expect(await other.sessions.deleteUserSessions('ann')).toBe(1);
    letGo();
    await expect(renewal).rejects.toThrow(SessionNotFoundError);
    for (const { sessions } of [mover, other, opposite]) {
      await expect(sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      expect(await sessions.deleteUserSessions('ann')).toBe(0);
    }
  });

  it.each(['deleteByUser', 'delete'] as const)(
    'ends by a %s of a process that moves the other way, and has looked for it in the new store already',
    async (step) => {
      const gated = new BarrierBackend(memory);
      const ending = await startService(
        new MigratingBackend(gated.backend, new RedisBackend(redis.url)),
        options,
        clock,
      );
      const { sessionId } = await other.sessions.getSession(token);
      const inMemory = gated.stopNext(step);
      const ended =
        step === 'delete' ? ending.sessions.deleteSession(sessionId) : ending.sessions.deleteUserSessions('ann');
      await inMemory.arrived;
      const { renewal, letGo } = await moving();
      inMemory.letGo();
      expect(Number(await ended)).toBe(1);
      letGo();
      await expect(renewal).rejects.toThrow(SessionNotFoundError);
      await expect(other.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      await ending.close();
    },
  );

  it('ends by a deletion of a session that was loaded before, which waits for no move', async () => {
    const held = await other.sessions.getSession(token);
    const { renewal, letGo } = await moving();
    expect(await other.sessions.deleteSession(held)).toBe(true);
    letGo();
    await expect(renewal).rejects.toThrow(SessionNotFoundError);
    await expect(opposite.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
  });

  it('ends once by a deletion and by an invalidation that moves it', async () => {
    const held = await other.sessions.getSession(token);
    const inNew = stopped.stopNext('replace');
    const invalidation = mover.sessions.invalidateSession(await mover.sessions.getSession(token));
    await inNew.arrived;
    // It is not there, and is moved there.
    const placing = stopped.stopNext('replace');
    inNew.letGo();
    await placing.arrived;
    expect(await other.sessions.deleteSession(held)).toBe(true);
    placing.letGo();
    expect(await invalidation).toBe(false);
    expect([mover, other].flatMap(({ events }) => events)).toMatchObject([{ type: 'ended', reason: 'deleted' }]);
    await expect(other.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
  });

  it('ends once by a deletion and by an invalidation that comes before it', async () => {
    await mover.sessions.renewSession(token);
    const held = await other.sessions.getSession(token);
    const deleting = seen[0].stopNext('delete');
    const deletion = other.sessions.deleteSession(held);
    await deleting.arrived;
    expect(await mover.sessions.invalidateSession(await mover.sessions.getSession(token))).toBe(true);
    deleting.letGo();
    expect(await deletion).toBe(false);
    const ends = [mover, other].flatMap(({ events }) => events).filter(({ type }) => type === 'ended');
    expect(ends).toMatchObject([{ reason: 'invalidated' }]);
    await expect(opposite.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_INVALIDATED' });
  });

  it('leaves nothing in the new store when it was ended before it was taken out of the old one', async () => {
    const gated = new BarrierBackend(memory);
    const late = await startService(new MigratingBackend(new RedisBackend(redis.url), gated.backend), options, clock);
    const taking = gated.stopNext('replace');
    const renewal = late.sessions.renewSession(token);
    await taking.arrived;
    expect(await other.sessions.deleteUserSessions('ann')).toBe(1);
    taking.letGo();
    await expect(renewal).rejects.toThrow(SessionNotFoundError);
    expect(await other.sessions.deleteUserSessions('ann')).toBe(0);
    await late.close();
  });
});

describe('a move', () => {
  const clock = new FakeClock();
  const lifetimeMs = 3_600_000;
  let tests = 0;
  let keyPrefix: string;
  let opened: SessionBackend[];

  beforeEach(() => {
    keyPrefix = `move-${tests++}:`;
    opened = [];
  });

  afterEach(() => Promise.all(opened.map((backend) => backend.close())));

  async function open<Backend extends SessionBackend>(backend: Backend): Promise<Backend> {
    const silent = () => undefined;
    const logger = { log: silent, warn: silent, error: silent };
    await backend.open?.({ keyPrefix, timeoutMs: 2000, clock, logger });
    opened.push(backend);
    return backend;
  }

  async function stored(store: SessionBackend, payload = 'payload'): Promise<SessionRecord> {
    const pool = new RandomPool();
    const tag = userTag('the key of this test', pool.base64url(9));
    const id = sessionIdOf(newSecret(tag, pool));
    const now = clock.now();
    const times = { lastAccessed: now, expiresAt: now + lifetimeMs };
    const record: SessionRecord = { id, version: 1, status: 'active', userTag: tag, ...times, payload };
    expect((await store.create(record, { timeoutMs: 2000 })).outcome).toBe('created');
    return record;
  }

  it('goes on from a Redis that is full and refuses every write but a deletion', async () => {
    const full = await RedisServer.start();
    const observer = full.client();
    const old = new RedisBackend(full.url);
    const next = new MemoryBackend();
    const both = await open(new MigratingBackend(next, old));
    const record = await stored(old);
    await observer.config('SET', 'maxmemory', '1');
    await expect(old.replace({ ...record, version: 2 }, 1)).rejects.toThrow(/OOM/);
    expect(await both.replace({ ...record, version: 2, payload: 'next' }, 1)).toBe('replaced');
    expect(await next.read(record.id)).toMatchObject({ version: 2, payload: 'next', status: 'active' });
    expect(await old.read(record.id)).toBeNull();
    await observer.quit();
    await Promise.all(opened.splice(0).map((backend) => backend.close()));
    await full.stop();
  });

  it('moves a session as the text that it is, also where it is so large that Redis is read in bytes', async () => {
    const old = new RedisBackend(redis.url);
    const next = new MemoryBackend();
    const both = await open(new MigratingBackend(next, old));
    const first = await stored(old);
    const record = { ...first, version: 2, payload: `{"schema":1,"id":"${first.id}"}${'é'.repeat(20_000)}` };
    expect(await old.replace(record, 1)).toBe('replaced');
    expect(Buffer.isBuffer((await old.read(record.id))?.payload)).toBe(true);
    expect(await both.read(record.id)).toEqual(record);
    expect(await both.touch(record.id, { ...record, expiresAt: record.expiresAt + 5 })).toBe(true);
    expect(await next.read(record.id)).toEqual({ ...record, expiresAt: record.expiresAt + 5 });
    expect(await old.read(record.id)).toMatchObject({ status: 'invalidated' });
    await Promise.all(opened.splice(0).map((backend) => backend.close()));
  });

  it('does not lose a session that is too large for the new store', async () => {
    const small = await MemcachedServer.start();
    const next = new MemcachedBackend({ servers: small.address, maxItemSize: 1024 });
    const old = new MemoryBackend();
    const both = await open(new MigratingBackend(next, old));
    const record = await stored(old);
    const grown = { ...record, version: 2, payload: 'x'.repeat(2000) };
    await expect(both.replace(grown, 1)).rejects.toThrow(SessionDataError);
    expect(await both.read(record.id)).toEqual(record);
    expect(await both.replace({ ...record, version: 2, payload: 'small' }, 1)).toBe('replaced');
    expect(await both.read(record.id)).toMatchObject({ payload: 'small' });
    await Promise.all(opened.splice(0).map((backend) => backend.close()));
    await small.stop();
  });

  it('that stopped before it took the session out keeps no call waiting', async () => {
    const old = new MemoryBackend();
    const next = new BarrierBackend(new MemoryBackend());
    const gatedOld = new BarrierBackend(old);
    await open(old);
    const stopping = await open(new MigratingBackend(next.backend, gatedOld.backend));
    const both = await open(new MigratingBackend(next.backend, old));
    const record = await stored(old);
    const taking = gatedOld.stopNext('replace');
    const stopped = stopping.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 });
    await taking.arrived;
    expect(await both.replace({ ...record, version: 2 }, 1)).toBe('replaced');
    expect(await both.touch(record.id, { ...record, expiresAt: record.expiresAt + 5 })).toBe(true);
    expect((await both.listByUser(record.userTag!)).map(({ version }) => version)).toEqual([2]);
    expect(await both.delete(record.id)).toBe('deleted');
    taking.letGo();
    expect(await stopped).toBe(false);
    expect(await both.read(record.id)).toBeNull();
  });

  it('keeps the times of a touch that comes while it is under way', async () => {
    const old = new MemoryBackend();
    const gatedOld = new BarrierBackend(old);
    const next = new MemoryBackend();
    const both = await open(new MigratingBackend(next, gatedOld.backend));
    const record = await stored(old);
    const taking = gatedOld.stopNext('replace');
    const change = both.replace({ ...record, version: 2 }, 1);
    await taking.arrived;
    const times = { lastAccessed: record.lastAccessed + 7, expiresAt: record.expiresAt + 70_000 };
    expect(await old.touch(record.id, times)).toBe(true);
    taking.letGo();
    expect(await change).toBe('replaced');
    expect(await next.read(record.id)).toMatchObject({ ...times, version: 2 });
  });

  it('takes back no time of a session by a touch that says less than what is stored', async () => {
    const old = await open(new MemoryBackend());
    const next = new MemoryBackend();
    const both = await open(new MigratingBackend(next, old));
    const { id, lastAccessed, expiresAt } = await stored(old);
    expect(await both.touch(id, { lastAccessed: lastAccessed - 7, expiresAt: expiresAt - 70_000 })).toBe(true);
    expect(await next.read(id)).toMatchObject({ lastAccessed, expiresAt });
  });

  it('ends no session by a deletion of the version before, which it has left meanwhile', async () => {
    const old = await open(new MemoryBackend());
    const gatedOld = new BarrierBackend(old);
    const both = await open(new MigratingBackend(new MemoryBackend(), gatedOld.backend));
    const record = await stored(old);
    const deleting = gatedOld.stopNext('delete');
    const deleted = both.delete(record.id, { ifVersion: 1 });
    await deleting.arrived;
    expect(await old.replace({ ...record, version: 2 }, 1)).toBe('replaced');
    deleting.letGo();
    expect(await deleted).toBe('changed');
    expect(await both.read(record.id)).toMatchObject({ status: 'active', version: 2 });
  });

  it('begins anew where its placeholder may have expired', async () => {
    const old = await open(new MemoryBackend());
    const next = new BarrierBackend(new MemoryBackend());
    const both = await open(new MigratingBackend(next.backend, old));
    const record = await stored(old);
    const creating = next.stopNext('create');
    const touched = both.touch(record.id, { ...record, expiresAt: record.expiresAt + 5 });
    await creating.arrived;
    const now = jest.spyOn(performance, 'now').mockReturnValueOnce(performance.now() + 2001);
    creating.letGo();
    expect(await touched).toBe(true);
    now.mockRestore();
    expect(next.calls.create).toBe(2);
    expect(await both.read(record.id)).toMatchObject({ status: 'active', expiresAt: record.expiresAt + 5 });
  });

  it('is none by a change with a deadline, which its last step has not', async () => {
    const old = await open(new MemoryBackend());
    const next = new MemoryBackend();
    const both = await open(new MigratingBackend(next, old));
    const record = await stored(old);
    expect(await both.replace({ ...record, version: 2 }, 1, { timeoutMs: 2000 })).toBe('replaced');
    expect(await old.read(record.id)).toMatchObject({ status: 'active', version: 2 });
    expect(await next.read(record.id)).toBeNull();
  });

  it('leaves a trace for as long as it may take, also of a session that had less time left', async () => {
    const old = await open(new MemoryBackend());
    const both = await open(new MigratingBackend(new MemoryBackend(), old));
    const record = await stored(old);
    clock.advance(lifetimeMs - 100);
    expect(await both.touch(record.id, { ...record, expiresAt: record.expiresAt + 60_000 })).toBe(true);
    clock.advance(101);
    expect(await old.read(record.id)).toMatchObject({ status: 'invalidated' });
    expect(await both.read(record.id)).toMatchObject({ status: 'active' });
  });

  it('is for two stores that keep old ids for a while only where both do', () => {
    const without: SessionBackend = Object.assign(new MemoryBackend(), { keepsAliases: false });
    expect(new MigratingBackend(without, new MemoryBackend()).keepsAliases).toBe(false);
    expect(new MigratingBackend(new MemoryBackend(), without).keepsAliases).toBe(false);
    expect(new MigratingBackend(new MemoryBackend(), new MemoryBackend()).keepsAliases).toBe(true);
  });

  it('goes back only after ten minutes; until then the session is used where it is', async () => {
    const [first, second] = [new MemoryBackend(), new MemoryBackend()];
    const stepOne = await open(new MigratingBackend(first, second));
    const stepTwo = await open(new MigratingBackend(second, first));
    const record = await stored(first);
    const times = { lastAccessed: record.lastAccessed, expiresAt: record.expiresAt + 1 };
    expect(await stepTwo.touch(record.id, times)).toBe(true);
    clock.advance(9 * 60_000);
    expect(await stepOne.touch(record.id, { ...times, expiresAt: times.expiresAt + 1 })).toBe(true);
    expect(await second.read(record.id)).toMatchObject({ status: 'active', expiresAt: times.expiresAt + 1 });
    clock.advance(2 * 60_000);
    expect(await stepOne.replace({ ...record, version: 2 }, 1)).toBe('replaced');
    expect(await first.read(record.id)).toMatchObject({ status: 'active', version: 2 });
    expect(await stepTwo.read(record.id)).toMatchObject({ status: 'active', version: 2 });
  });
});

it('nobody who is logged out during the move comes back through either store', async () => {
  const clock = new FakeClock();
  const options = { backendKeyPrefix: 'race:' };
  const steps = [
    ['create', 'next'],
    ['replace', 'old'],
    ['replace', 'next'],
  ] as const;
  for (const [step, store] of steps) {
    const old = store === 'old' ? new BarrierBackend(new MemoryBackend()) : undefined;
    const next = store === 'old' ? undefined : new BarrierBackend(new RedisBackend(redis.url));
    const oldBackend = old?.backend ?? new MemoryBackend();
    const seeding = await startService(oldBackend, options, clock);
    const { session, token } = await seeding.sessions.createSession({ user: { userId: `moved-${step}-${store}` } });
    const service = await startService(
      new MigratingBackend(next?.backend ?? new RedisBackend(redis.url), oldBackend),
      options,
      clock,
    );
    const gate = (old ?? next)!.stopNext(step);
    const update = service.sessions.update(session.sessionId, ({ data }) => {
      data.late = true;
    });
    await gate.arrived;
    const other = await startService(new MigratingBackend(new RedisBackend(redis.url), oldBackend), options, clock);
    expect(await other.sessions.deleteUserSessions(`moved-${step}-${store}`)).toBe(1);
    gate.letGo();
    await expect(update).rejects.toThrow(SessionNotFoundError);
    await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    expect(await service.sessions.listUserSessions(`moved-${step}-${store}`)).toEqual([]);
    await Promise.all([seeding, service, other].map((each) => each.close()));
  }
});

it('listens to neither of two stores if one of them cannot be listened to', async () => {
  let listening = 0;
  const next = new MemoryBackend();
  next.onEnded = () => {
    listening++;
    return Promise.resolve({
      close: () => {
        listening--;
        return Promise.resolve();
      },
    });
  };
  const old = new MemoryBackend();
  old.onEnded = () => Promise.reject(new Error('not now'));
  await expect(new MigratingBackend(next, old).onEnded(() => undefined)).rejects.toThrow('not now');
  expect(listening).toBe(0);
});
