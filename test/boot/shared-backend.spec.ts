import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Injectable, Module, type DynamicModule, type INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Redis } from 'ioredis';
import {
  MemoryBackend,
  MigratingBackend,
  SESSION_CLOCK,
  SessionModule,
  SessionService,
  type SessionBackend,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';
import { FakeClock } from 'nestjs-sessionx/testing';
import { once } from 'node:events';

import { SECRET_KEY } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';

let redis: RedisServer;
let memcached: MemcachedServer;
let client: Redis;

beforeAll(async () => {
  [redis, memcached] = await Promise.all([RedisServer.start(), MemcachedServer.start()]);
  client = new Redis(redis.port, '127.0.0.1', sessionRedisOptions(1000));
  await once(client, 'ready');
});

afterAll(async () => {
  client.disconnect();
  await Promise.all([redis.stop(), memcached.stop()]);
});

const BACKENDS: { name: string; create: () => SessionBackend }[] = [
  { name: 'MemoryBackend', create: () => new MemoryBackend() },
  { name: 'RedisBackend', create: () => new RedisBackend(redis.url) },
  { name: 'RedisBackend (on a client of the application)', create: () => new RedisBackend(client) },
  { name: 'MemcachedBackend', create: () => new MemcachedBackend({ servers: memcached.address }) },
  { name: 'MigratingBackend', create: () => new MigratingBackend(new RedisBackend(redis.url), new MemoryBackend()) },
];

type Settings = Partial<SessionModuleOptions> & { readonly clock?: FakeClock };

@Injectable()
class Shop {
  constructor(readonly sessions: SessionService) {}
}

@Injectable()
class Office {
  constructor(readonly sessions: SessionService) {}
}

describe.each(BACKENDS)('one $name object', ({ name, create }) => {
  const contexts: INestApplicationContext[] = [];
  const clock = new FakeClock();

  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });

  const sessionsOn = (backend: SessionBackend, { clock: own = clock, ...options }: Settings): DynamicModule =>
    SessionModule.forRoot({
      secretKey: SECRET_KEY,
      backend,
      ...options,
      isGlobal: false,
      extraProviders: [{ provide: SESSION_CLOCK, useValue: own }],
    });

  /** An application of two modules, each with sessions of its own in `backend`. */
  async function startBoth(backend: SessionBackend, one: Settings, other: Settings) {
    @Module({ imports: [sessionsOn(backend, one)], providers: [Shop] })
    class ShopModule {}

    @Module({ imports: [sessionsOn(backend, other)], providers: [Office] })
    class OfficeModule {}

    const context = await Test.createTestingModule({ imports: [ShopModule, OfficeModule] }).compile();
    contexts.push(context);
    await context.init();
    return { shop: context.get(Shop).sessions, office: context.get(Office).sessions };
  }

  async function start(backend: SessionBackend, settings: Settings = {}) {
    const context = await Test.createTestingModule({ imports: [sessionsOn(backend, settings)] }).compile();
    contexts.push(context);
    await context.init();
    return { context, sessions: context.get(SessionService) };
  }

  it('serves two modules with the same prefix, clock and timeout, and is opened and closed once', async () => {
    const { backend, calls } = new BarrierBackend(create());
    const { shop, office } = await startBoth(
      backend,
      {},
      { cookie: { name: 'office' }, tokenSourcePriority: ['header', 'cookie'] },
    );
    const { token } = await shop.createSession({ user: { userId: 'ann' } });
    expect((await office.getSession(token)).user?.userId).toBe('ann');
    expect(await office.deleteUserSessions('ann')).toBe(1);
    await contexts.pop()?.close();
    expect([calls.open, calls.close]).toEqual([1, 1]);
  });

  it('keeps the sessions and the users of two modules apart that have keys of their own', async () => {
    const { shop, office } = await startBoth(create(), {}, { secretKey: `${SECRET_KEY}, of the office` });
    const [customer, clerk] = await Promise.all(
      [shop, office].map((sessions) => sessions.createSession({ user: { userId: 'eve' } })),
    );
    await expect(office.getSession(customer!.token)).rejects.toMatchObject({ status: 401 });
    expect(await shop.deleteUserSessions('eve')).toBe(1);
    expect((await office.getSession(clerk!.token)).user?.userId).toBe('eve');
    expect(await office.deleteUserSessions('eve')).toBe(1);
  });

  it.each([
    { what: 'backendKeyPrefix', other: { backendKeyPrefix: 'office:' } },
    { what: 'backendTimeout', other: { backendTimeout: 999 } },
    { what: 'SESSION_CLOCK', other: { clock: new FakeClock() } },
  ])('stops the start when the two modules differ in $what', async ({ what, other }) => {
    const failure: unknown = await startBoth(create(), {}, other).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TypeError);
    expect((failure as Error).message).toContain(what);
    expect((failure as Error).message).toMatch(/make a backend object for each/);
  });

  it('stays open for the application that has it, when another one is refused or ends', async () => {
    const backend = create();
    const { sessions } = await start(backend);
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });

    await expect(start(backend, { backendKeyPrefix: 'office:' })).rejects.toThrow(TypeError);
    const { context: other } = await start(backend);
    // The second call gives up nothing more.
    await other.close();
    await other.close();
    expect((await sessions.getSession(token)).user?.userId).toBe('ann');

    const { context, sessions: others } = await start(backend);
    expect((await others.getSession(token)).user?.userId).toBe('ann');
    await context.close();
    expect((await sessions.getSession(token)).user?.userId).toBe('ann');
    expect(await sessions.deleteUserSessions('ann')).toBe(1);
  });

  it('serves applications whose clocks differ, as those of two processes do', async () => {
    const backend = create();
    const { sessions } = await start(backend);
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });
    const { sessions: others } = await start(backend, { clock: new FakeClock(clock.now() + 1000) });
    expect((await others.getSession(token)).user?.userId).toBe('ann');
    expect(await others.deleteUserSessions('ann')).toBe(1);
  });

  it('may be opened anew when it is closed, under another prefix too, which shows nothing of the one before', async () => {
    const backend = create();
    for (const backendKeyPrefix of [`${name.length}-1:`, `${name.length}-2:`, `${name.length}-3:`]) {
      const { context, sessions } = await start(backend, { backendKeyPrefix });
      expect(await sessions.listUserSessions('ann')).toEqual([]);
      const { token } = await sessions.createSession({ user: { userId: 'ann' } });
      expect((await sessions.getSession(token)).user?.userId).toBe('ann');
      await context.close();
    }
  });
});

describe('a store within a MigratingBackend', () => {
  it('cannot be open under another prefix elsewhere, and then leaves the other one closed', async () => {
    const [next, old] = [new BarrierBackend(new MemoryBackend()), new BarrierBackend(new MemoryBackend())];
    const start = async (backend: SessionBackend, backendKeyPrefix: string) => {
      const module = SessionModule.forRoot({ secretKey: SECRET_KEY, backend, backendKeyPrefix });
      const context = await Test.createTestingModule({ imports: [module] }).compile();
      await context.init();
      return context;
    };
    const alone = await start(old.backend, 'old:');
    await expect(start(new MigratingBackend(next.backend, old.backend), 'new:')).rejects.toThrow(/backendKeyPrefix/);
    expect([next.calls.open, next.calls.close]).toEqual([1, 1]);
    expect([old.calls.open, old.calls.close]).toEqual([1, undefined]);

    const both = await start(new MigratingBackend(next.backend, old.backend), 'old:');
    await alone.close();
    expect([old.calls.open, old.calls.close]).toEqual([1, undefined]);
    expect(await both.get(SessionService).listUserSessions('ann')).toEqual([]);
    await both.close();
    expect([old.calls.close, next.calls.close]).toEqual([1, 2]);
  });
});
