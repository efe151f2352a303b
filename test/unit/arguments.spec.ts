import { describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { Test } from '@nestjs/testing';
import { MemoryBackend, SessionGuard, SessionModule, type Session } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { inspect } from 'node:util';

import { SECRET_KEY } from '../support/apps.js';
import { startService } from '../support/services.js';

describe('a backend that is given what it cannot use', () => {
  it.each<[given: unknown, said: string]>([
    [undefined, 'undefined; is the environment variable set?'],
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

  it.each([undefined, null, 'host:11211', {}, { servers: undefined }, 5])(
    'MemcachedBackend(%j) does so too',
    (given) => {
      expect(() => new MemcachedBackend(given as never)).toThrow("{ servers: 'host:port,host:port' }");
    },
  );
});

it.each(['ws', 'rpc', 'graphql'])(
  'the guard says that it is for HTTP when it is asked in a context of %s',
  async (type) => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const context = await Test.createTestingModule({
      imports: [SessionModule.forRoot({ secretKey: SECRET_KEY })],
      providers: [SessionGuard],
    }).compile();
    const host = new ExecutionContextHost([{}, {}], SessionGuard, () => undefined);
    host.setType(type);
    await expect(context.get(SessionGuard).canActivate(host)).rejects.toMatchObject({ code: 'USAGE' });
    expect(error.mock.calls.join()).toContain(`this context is of ${type}`);
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
  await service.close();
});
