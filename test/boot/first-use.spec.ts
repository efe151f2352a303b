import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Module } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  MemoryBackend,
  SessionBackendError,
  SessionModule,
  SessionService,
  type SessionBackend,
} from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { Redis } from 'ioredis';

import { SECRET_KEY } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { freePort } from '../support/processes.js';
import { RedisServer } from '../support/redis-server.js';
import { atOnce } from '../support/services.js';

const sessionsOn = (backend: SessionBackend, backendKeyPrefix = 'session:') =>
  SessionModule.forRoot({ secretKey: SECRET_KEY, backend, backendKeyPrefix });

describe.each(everyBackend())('a session that is used before the application has started, on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());

  it('opens the store, once, when a test compiles a module and does not call init()', async () => {
    const { backend, calls } = new BarrierBackend(store.another());
    const context = await Test.createTestingModule({ imports: [sessionsOn(backend)] }).compile();
    const sessions = context.get(SessionService);
    const issued = await atOnce(20, () => sessions.createSession({ user: { userId: 'ann' } }));
    expect(await sessions.listUserSessions('ann')).toHaveLength(20);
    await context.init();
    expect((await sessions.getSession(issued[0]!.token)).user?.userId).toBe('ann');
    expect(await sessions.deleteUserSessions('ann')).toBe(20);
    await context.close();
    expect([calls.open, calls.close]).toEqual([1, 1]);
  });

  it('is there for an asynchronous provider', async () => {
    const { backend, calls } = new BarrierBackend(store.another());
    const TOKEN = Symbol('token');

    @Module({
      imports: [sessionsOn(backend)],
      providers: [
        {
          provide: TOKEN,
          inject: [SessionService],
          useFactory: async (sessions: SessionService) => (await sessions.createSession()).token,
        },
      ],
    })
    class SeedModule {}

    const context = await Test.createTestingModule({ imports: [SeedModule] }).compile();
    await context.init();
    expect((await context.get(SessionService).getSession(context.get<string>(TOKEN))).isAnonymous).toBe(true);
    await context.close();
    expect([calls.open, calls.close]).toEqual([1, 1]);
  });

  it('is there when the module is loaded lazily', async () => {
    const { backend, calls } = new BarrierBackend(store.another());
    const context = await Test.createTestingModule({}).compile();
    await context.init();
    const loaded = await context.get(LazyModuleLoader).load(() => sessionsOn(backend));
    const sessions = loaded.get(SessionService);
    const { token } = await sessions.createSession();
    expect((await sessions.getSession(token)).isAnonymous).toBe(true);
    expect(calls.open).toBe(1);
    await context.close();
    // Nest calls no hooks of modules that were loaded lazily.
    await backend.close();
  });

  it('does not open the store again when the application has shut down', async () => {
    const { backend, calls } = new BarrierBackend(store.another());
    const context = await Test.createTestingModule({ imports: [sessionsOn(backend)] }).compile();
    const sessions = context.get(SessionService);
    const { token } = await sessions.createSession();
    await context.close();
    const failure: unknown = await sessions.getSession(token).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SessionBackendError);
    expect(failure).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringMatching(/has shut down/) as unknown,
    });
    expect([calls.open, calls.read, calls.close]).toEqual([1, undefined, 1]);
  });

  it('closes the store once, when the application is closed while it opens, and makes no call afterwards', async () => {
    const barrier = new BarrierBackend(store.another());
    const context = await Test.createTestingModule({ imports: [sessionsOn(barrier.backend)] }).compile();
    context.useLogger(false);
    const sessions = context.get(SessionService);
    const first = sessions.createSession().catch((error: unknown) => error);
    await Promise.all([context.close(), context.close()]);
    await first;
    const { create = 0 } = barrier.calls;
    await expect(sessions.createSession()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
    expect([barrier.calls.open, barrier.calls.close, barrier.calls.create ?? 0]).toEqual([1, 1, create]);
  });

  it('leaves a store alone that nobody has used', async () => {
    const { backend, calls } = new BarrierBackend(store.another());
    const context = await Test.createTestingModule({ imports: [sessionsOn(backend)] }).compile();
    await context.close();
    await expect(context.get(SessionService).createSession()).rejects.toBeInstanceOf(SessionBackendError);
    expect([calls.open, calls.close]).toEqual([undefined, undefined]);
  });
});

describe('a backend that cannot be opened as it is set up', () => {
  const bare = new Redis({ lazyConnect: true });
  const opened = new MemoryBackend();
  let holder: { close(): Promise<void> };

  beforeAll(async () => {
    const context = await Test.createTestingModule({ imports: [sessionsOn(opened)] }).compile();
    holder = await context.init();
  });

  afterAll(() => holder.close());

  it.each<[string, () => SessionBackend, string, RegExp]>([
    [
      'a Redis client with options of a cache',
      () => new RedisBackend(bare),
      'session:',
      /autoResendUnfulfilledCommands/,
    ],
    ['a store that is open under another prefix', () => opened, 'another:', /backendKeyPrefix/],
  ])('%s: says so at the start and at the first use, in its own words', async (_, create, prefix, words) => {
    const module = sessionsOn(create(), prefix);
    const context = await Test.createTestingModule({ imports: [module] }).compile();
    const sessions = context.get(SessionService);
    for (const attempt of [
      () => sessions.createSession(),
      () => sessions.deleteUserSessions('ann'),
      () => context.init(),
    ]) {
      const failure: unknown = await attempt().catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(TypeError);
      expect((failure as Error).message).toMatch(words);
    }
    await context.close();
  });

  it('a server that is down is no such fault: 503 in time, and the store works when it is back', async () => {
    const port = await freePort();
    const context = await Test.createTestingModule({
      imports: [sessionsOn(new RedisBackend(`redis://127.0.0.1:${port}`))],
    }).compile();
    const sessions = context.get(SessionService);
    await expect(sessions.createSession()).rejects.toBeInstanceOf(SessionBackendError);
    const server = await RedisServer.startOn(port);
    const endsAt = Date.now() + 20_000;
    const create = async (): Promise<string> => {
      try {
        return (await sessions.createSession()).token;
      } catch (error) {
        if (!(error instanceof SessionBackendError) || Date.now() > endsAt) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
        return create();
      }
    };
    expect((await sessions.getSession(await create())).isAnonymous).toBe(true);
    await context.close();
    await server.stop();
  });
});
