import { describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { Test } from '@nestjs/testing';
import { MemoryBackend, SessionGuard, SessionModule, SessionUsageError, type Session } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { inspect } from 'node:util';

import { SECRET_KEY } from '../support/apps.js';
import { startService } from '../support/services.js';

function thrownBy(make: () => unknown): unknown {
  try {
    make();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

describe('a backend that is given what it cannot use', () => {
  it.each<[given: unknown, said: string]>([
    [undefined, 'undefined (is the environment variable set?)'],
    [null, 'null'],
    ['', 'an empty string'],
    ['http://127.0.0.1:6379', 'does not begin with redis://'],
    ['127.0.0.1:6379', 'does not begin with redis://'],
    [{ url: 'redis://secret@127.0.0.1:6379' }, 'an object with url'],
    [{ socket: { port: 6379 } }, 'an object with socket'],
    [{ sendCommand: () => undefined }, 'an object with sendCommand'],
    [6379, '6379'],
  ])('RedisBackend(%j) says at once what it takes, and shows no password', (given, said) => {
    const make = () => new RedisBackend(given as string);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(said);
    expect(make).not.toThrow(/secret/);
  });

  const secretUrls = [
    'redis://:S3cr3t/x@host',
    'redis://user:S3cr3t/x@host:6379/0',
    'redis://:S3cr3t#1@host',
    'redis://:1234#S3cr3t@host',
    'redis://user:1234#S3cr3t@host:6379',
    'redis://user:1234?S3cr3t@host:6379',
    'redis://user:1234/S3cr3t@host:6379',
    'redis://:S3cr3t?x=1@host',
    'redis://:S3cr3t%zz@host',
    'redis://S3cr3t%@host',
    'redis://:S3cr3t\nx@host',
    'redis://:S3cr3t@',
    'redis://:S3cr3t@host:port',
    'redis://:S3cr3t@host:99999',
    'rediss://:S3cr3t/@host',
    'redis://:S3cr3t@ho st',
    'redis://:S3cr3t@/0',
    'redis://:S3cr3t@host/S3cr3t',
  ];

  it.each(secretUrls)('RedisBackend(%j) shows no text of a URL that it cannot use, and says how to write it', (url) => {
    const error = thrownBy(() => new RedisBackend(url));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain('Percent-encode');
    expect((error as Error).cause).toBeUndefined();
    expect(error).not.toHaveProperty('input');
    for (const text of [inspect(error, { depth: 10, showHidden: true }), String((error as Error).stack)]) {
      expect(text).not.toMatch(/S3cr3t/);
    }
  });

  it('RedisBackend takes a URL whose password is percent-encoded', () => {
    for (const password of ['S3cr3t/x@y:z#1?2%', 'ü ñ', '\'"\\']) {
      const url = `redis://user:${encodeURIComponent(password)}@[::1]:6380/3?family=6`;
      expect(() => new RedisBackend(url)).not.toThrow();
    }
  });

  it.each([
    '/abc',
    '/-1',
    '/1.5',
    '/0/',
    '/1e3',
    '/0x1',
    '//1',
    '/%31',
    '/99999999999',
    '?db=',
    '?db=abc',
    '?db=-1',
    '?db=1.5',
  ])('RedisBackend refuses redis://host%s, which ioredis takes for another database', (rest) => {
    expect(() => new RedisBackend(`redis://host${rest}`)).toThrow(/database/);
  });

  it.each([NaN, -1, 1.5, Infinity, 'abc', '', '1.5', ' 1', {}, true, 2 ** 31])(
    'RedisBackend refuses { db: %p }',
    (db) => {
      expect(() => new RedisBackend({ db } as never)).toThrow(/db must be the number of a database/);
    },
  );

  it.each([
    [{ port: NaN }, 'port must be'],
    [{ port: 0 }, 'port must be'],
    [{ port: 70_000 }, 'port must be'],
    [{ port: 'S3cr3t' }, 'port must be'],
    [{ host: 'redis://:S3cr3t@host' }, 'host must be'],
    [{ host: 'host:6379' }, 'host must be'],
    [{ host: '' }, 'host must be'],
    [{ host: { S3cr3t: 1 } }, 'host must be'],
    [{ sentinels: 'S3cr3t' }, 'sentinels must be'],
    [{ sentinels: [] }, 'sentinels must be'],
    [{ sentinels: ['S3cr3t'], name: 'a' }, 'sentinels[0] must be { host, port }'],
    [{ sentinels: [{ host: 'a' }, { host: 'redis://S3cr3t@a' }], name: 'a' }, 'sentinels[1].host must be'],
    [{ sentinels: [{ host: 'a' }] }, 'name must be'],
  ])('RedisBackend(%j) names the option that cannot work, and shows no value', (options, said) => {
    const error = thrownBy(() => new RedisBackend(options as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(said);
    expect(inspect(error, { depth: 10 })).not.toMatch(/S3cr3t/);
  });

  it.each([
    [() => 'S3cr3t', 'a function'],
    [Symbol('S3cr3t'), 'a symbol'],
  ])('RedisBackend shows nothing of a value of another kind', (given, said) => {
    const error = thrownBy(() => new RedisBackend(given as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(said);
    expect((error as Error).message).not.toMatch(/S3cr3t/);
  });

  it.each([undefined, null, 'host:11211', {}, { servers: undefined }, 5])(
    'MemcachedBackend(%j) does so too',
    (given) => {
      expect(() => new MemcachedBackend(given as never)).toThrow("{ servers: 'host:port,host:port' }");
    },
  );
});

it.each(['ws', 'rpc', 'graphql'])(
  'the guard says what is missing in a context of %s that has no HTTP request',
  async (type) => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const context = await Test.createTestingModule({
      imports: [SessionModule.forRoot({ secretKey: SECRET_KEY })],
      providers: [SessionGuard],
    }).compile();
    const host = new ExecutionContextHost([{}, {}], SessionGuard, () => undefined);
    host.setType(type);
    await expect(context.get(SessionGuard).canActivate(host)).rejects.toMatchObject({ code: 'USAGE' });
    expect(error.mock.calls.join()).toContain(`this context is of type "${type}"`);
    error.mockRestore();
  },
);

describe('a session object', () => {
  async function newSession(): Promise<Session> {
    const service = await startService(new MemoryBackend());
    const { session } = await service.sessions.createSession({ user: { userId: 'ann' }, data: { theme: 'dark' } });
    await service.close();
    return session;
  }

  it('takes no property of its own, which would not be stored', async () => {
    const session = (await newSession()) as unknown as Record<string, unknown>;
    expect(() => (session.cart = 1)).toThrow(TypeError);
    expect(() => (session.data = {})).toThrow(TypeError);
  });

  it('shows what is in it', async () => {
    const text = inspect(await newSession());
    expect(text).toContain("userId: 'ann'");
    expect(text).toContain("theme: 'dark'");
  });
});

it('a user id that is none is called by its kind', async () => {
  const service = await startService(new MemoryBackend());
  const login = (userId: unknown) => service.sessions.createSession({ user: { userId: userId as string } });
  await expect(login(undefined)).rejects.toThrow('was undefined');
  await expect(login(7)).rejects.toThrow('was a number');
  await expect(login('')).rejects.toThrow('was an empty string');
  await expect(service.sessions.deleteUserSessions({ userId: 'ann' } as never)).rejects.toThrow('was an object.');
  await service.close();
});

describe('an argument that is not what it should be', () => {
  it('a session, a user or anything else in the place of a request is a usage error', async () => {
    const { sessions, close } = await startService(new MemoryBackend());
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const { session } = await sessions.createSession({ user: { userId: 'ann' } });
    for (const none of [session, { userId: 'ann' }, {}, [], undefined, null, 'request'] as object[]) {
      for (const call of [
        () => sessions.current(none),
        () => sessions.require(none),
        () => sessions.requireUser(none),
        () => sessions.start(none),
        () => sessions.login(none, { userId: 'ann' }),
        () => sessions.logout(none),
        () => sessions.reauthenticate(none),
        () => sessions.credentialsChanged(none),
      ]) {
        await expect(call()).rejects.toThrow(SessionUsageError);
        await expect(call()).rejects.toThrow('Not a request');
      }
    }
    // Nest sends the client of such an error no message.
    expect(error.mock.calls.join()).toContain('Not a request');
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    error.mockRestore();
    await close();
  });

  it.each([null, '127.0.0.1', 7, { ipAddress: 7 }, { userAgent: ['x'] }])(
    'a client that is none, %j, is a usage error',
    async (none) => {
      const { sessions, close } = await startService(new MemoryBackend());
      const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
      const { token } = await sessions.createSession({ user: { userId: 'ann' } });
      for (const call of [
        () => sessions.getSession(token, none as never),
        () => sessions.renewSession(token, none as never),
      ]) {
        await expect(call()).rejects.toThrow(SessionUsageError);
      }
      expect(error).toHaveBeenCalledTimes(2);
      error.mockRestore();
      await close();
    },
  );

  it.each([null, 'a session id', 7, ['x']])(
    'options that are none, %j, are a usage error, and nothing is done',
    async (none) => {
      const { sessions, close } = await startService(new MemoryBackend());
      const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
      const { session } = await sessions.createSession({ user: { userId: 'ann' } });
      const wrong = none as never;
      for (const call of [
        () => sessions.createSession(wrong),
        () => sessions.deleteSession(session, wrong),
        () => sessions.deleteSession(session.sessionId, wrong),
        () => sessions.deleteUserSessions('ann', wrong),
        () => sessions.updateUserSessions('ann', () => undefined, wrong),
        () => sessions.invalidateSession(session, wrong),
        () => sessions.regenerateSessionId(session, wrong),
      ]) {
        await expect(call()).rejects.toThrow(SessionUsageError);
      }
      expect(await sessions.listUserSessions('ann')).toHaveLength(1);
      error.mockRestore();
      await close();
    },
  );

  it.each([300, null, 'x', { ttl: '300' }, { ttl: 0 }])('oneTime.put(…, %j) is a usage error', async (options) => {
    const { sessions, close } = await startService(new MemoryBackend());
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const { session } = await sessions.createSession();
    await expect(sessions.oneTime.put(session, 'state', 1, options as never)).rejects.toThrow(SessionUsageError);
    expect(await sessions.oneTime.consume(session, 'state')).toBeNull();
    error.mockRestore();
    await close();
  });

  it.each([null, '', 'garbage', 7, {}, 'x'.repeat(59)])(
    'deleteUserSessions({ except: %j }) is a usage error, and ends nothing',
    async (except) => {
      const { sessions, close } = await startService(new MemoryBackend());
      const { token } = await sessions.createSession({ user: { userId: 'ann' } });
      for (const wrong of [except, token] as string[]) {
        const ending = sessions.deleteUserSessions('ann', { except: wrong });
        await expect(ending).rejects.toThrow(SessionUsageError);
        await expect(ending).rejects.toThrow('session.sessionId');
      }
      expect(await sessions.listUserSessions('ann')).toHaveLength(1);
      expect(await sessions.deleteUserSessions('ann', {})).toBe(1);
      await close();
    },
  );

  it.each([undefined, null, {}, 'an id', { sessionId: 'x' }])(
    'a session that is none, %j, is a usage error',
    async (none) => {
      const { sessions, close } = await startService(new MemoryBackend());
      const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
      const wrong = none as unknown as Session;
      for (const call of [
        () => sessions.updateSession(wrong),
        () => sessions.takeFlash(wrong),
        () => sessions.invalidateSession(wrong),
        () => sessions.regenerateSessionId(wrong),
      ]) {
        await expect(call()).rejects.toThrow(SessionUsageError);
      }
      expect(() => sessions.csrfToken(wrong)).toThrow(SessionUsageError);
      error.mockRestore();
      await close();
    },
  );

  it.each([undefined, null, 7, {}, [], { headers: 'none' }, { raw: {} }, 'the token of a session'])(
    'a request that is none, %j, is a usage error, which does not show it',
    async (none) => {
      const { sessions, close } = await startService(new MemoryBackend());
      const log = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
      const wrong = none as object;
      for (const call of [
        async () => sessions.start(wrong),
        async () => sessions.login(wrong, { userId: 'ann' }),
        async () => sessions.logout(wrong),
        async () => sessions.credentialsChanged(wrong),
        async () => sessions.current(wrong),
        async () => sessions.require(wrong),
        async () => sessions.requireUser(wrong),
      ]) {
        const error: unknown = await call().catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(SessionUsageError);
        expect(inspect(error) + log.mock.calls.join()).not.toContain('the token of');
      }
      log.mockRestore();
      await close();
    },
  );

  it.each([undefined, null, 7, {}, 'count'])(
    'update() with %j in the place of a function is a usage error',
    async (none) => {
      const { sessions, close } = await startService(new MemoryBackend());
      const { session } = await sessions.createSession();
      for (const one of [session, session.sessionId]) {
        await expect(sessions.update(one, none as () => void)).rejects.toThrow(SessionUsageError);
      }
      await close();
    },
  );
});

it('undefined in the options of a call is the same as left out', async () => {
  const { sessions, clock, close } = await startService(new MemoryBackend(), { absoluteTimeout: 86_400 });
  const user = { userId: 'ann', username: undefined, roles: undefined, permissions: undefined, metadata: undefined };
  const lifetime = { ttl: undefined, absoluteTimeout: undefined, remember: undefined };
  const client = { ipAddress: undefined, userAgent: undefined };
  const given = await sessions.createSession({ user, data: undefined, methods: undefined, ...lifetime, ...client });
  const { session, token } = await sessions.createSession({ user: { userId: 'ann' } });
  expect(given.session.toJSON()).toEqual({ ...session.toJSON(), sessionId: given.session.sessionId });
  expect((await sessions.getSession(token, client)).sessionId).toBe(session.sessionId);
  expect((await sessions.renewSession(token, client)).session.sessionId).toBe(session.sessionId);
  await sessions.oneTime.put(session, 'state', 1, { ttl: undefined });
  clock.advance(599_999);
  expect(await sessions.oneTime.consume(session, 'state')).toBe(1);
  const renewed = await sessions.regenerateSessionId(session, { grace: undefined });
  await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  expect(await sessions.invalidateSession(renewed.session, { by: undefined })).toBe(true);
  expect(await sessions.updateUserSessions('ann', ({ roles }) => void roles.push('admin'), { by: undefined })).toBe(1);
  expect(await sessions.deleteUserSessions('ann', { except: undefined, by: undefined })).toBe(1);
  await close();
});

it('deleteSession takes the session too, whose changes end with it', async () => {
  const { sessions, close } = await startService(new MemoryBackend());
  const { session } = await sessions.createSession();
  session.data.before = true;
  expect(await sessions.deleteSession(session)).toBe(true);
  expect(await sessions.deleteSession(session)).toBe(false);
  expect(session.status).toBe('ended');
  await sessions.updateSession(session);
  session.data.after = true;
  await expect(sessions.updateSession(session)).rejects.toMatchObject({ code: 'SESSION_ENDED' });
  await close();
});
