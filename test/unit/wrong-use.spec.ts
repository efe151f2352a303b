import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Logger, type ExecutionContext, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  JwtTokenSerializer,
  MemoryBackend,
  MigratingBackend,
  SESSION_BACKEND,
  SESSION_CLOCK,
  SessionGuard,
  SessionModule,
  SessionUsageError,
  SimpleTokenSerializer,
  TOKEN_SERIALIZER,
  type Session,
  type SessionBackend,
  type TokenSerializer,
} from 'nestjs-sessionx';

import { SECRET_KEY } from '../support/apps.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

/** What the service does with an argument that is wrong, and what its log says. */
describe('a call that is wrong', () => {
  let service: ServiceUnderTest;
  const lines = { warn: [] as string[], error: [] as string[] };

  async function start(backend: SessionBackend = new MemoryBackend(), options = {}): Promise<void> {
    service = await startService(backend, options);
    for (const level of ['warn', 'error'] as const) {
      lines[level].length = 0;
      jest.spyOn(Logger.prototype, level).mockImplementation((line: unknown) => void lines[level].push(String(line)));
    }
  }

  afterEach(async () => {
    jest.restoreAllMocks();
    await service.close();
  });

  it.each([undefined, null, {}, 7])('of deleteSession(%j) is a usage error, and ends nothing', async (none) => {
    await start();
    const { session } = await service.sessions.createSession({ user: { userId: 'ann' } });
    for (const wrong of [none, { ...session }, { session }] as unknown as Session[]) {
      await expect(service.sessions.deleteSession(wrong)).rejects.toThrow(SessionUsageError);
    }
    expect(lines.error.length).toBeGreaterThan(0);
    expect(await service.sessions.listUserSessions('ann')).toHaveLength(1);
  });

  it('is a line a minute for a place, whatever the key of a value that cannot be stored', async () => {
    await start();
    for (const key of ['a', 'b', 'c']) {
      await expect(service.sessions.createSession({ data: { [key]: new Date() } })).rejects.toThrow(key);
    }
    expect(lines.error).toEqual([expect.stringContaining('data.a')]);
  });

  it('of deleteSession(token) ends nothing, and the log says once what to pass', async () => {
    await start();
    const { token, session } = await service.sessions.createSession();
    for (const text of [token, token, '', 'from a client'])
      expect(await service.sessions.deleteSession(text)).toBe(false);
    expect(lines.warn).toEqual([expect.stringContaining('Pass session.sessionId')]);
    expect(lines.warn.join()).not.toContain(token);
    expect(await service.sessions.deleteSession(session.sessionId)).toBe(true);
  });

  it('is in the log once for each place, also where no route is known', async () => {
    await start();
    const { sessions } = service;
    const places = [
      () => sessions.current({}),
      () => sessions.logout({}),
      () => sessions.updateSession({} as Session),
      () => sessions.takeFlash({} as Session),
      () => Promise.resolve().then(() => sessions.csrfToken({} as Session)),
    ];
    for (let round = 0; round < 2; round++) {
      for (const place of places) await expect(place()).rejects.toThrow(SessionUsageError);
    }
    expect(lines.error).toHaveLength(places.length);
  });

  it('of a guard that decides by a promise is in the log', async () => {
    await start();
    class AsyncGuard extends SessionGuard {
      protected override isPublic(): boolean {
        return Promise.resolve(true) as unknown as boolean;
      }
    }
    const guard = new AsyncGuard(service.sessions, {} as never);
    expect(() => guard.canActivate({} as ExecutionContext)).toThrow(SessionUsageError);
    expect(lines.error).toEqual([expect.stringContaining('isPublic() of a SessionGuard')]);
  });

  it.each([
    [
      'a web Request',
      (token: string) => new Request('http://app.example', { headers: { authorization: `Bearer ${token}` } }),
    ],
    ['a request that was made by hand', (token: string) => ({ headers: { authorization: `Bearer ${token}` } })],
    ['headers that are empty', () => ({ headers: {} })],
  ])('by %s is a usage error', async (_, make) => {
    await start();
    const { sessions } = service;
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });
    const request = make(token);
    for (const call of [
      () => sessions.current(request),
      () => sessions.require(request),
      () => sessions.requireUser(request),
      () => sessions.start(request),
      () => sessions.login(request, { userId: 'ann' }),
      () => sessions.logout(request),
    ]) {
      await expect(call()).rejects.toThrow('Not a request');
    }
  });

  it.each([{ ipAddress: 7 }, { userAgent: ['x'] }, { ipAddress: {}, userAgent: null }])(
    'with the client %j is a usage error',
    async (client) => {
      await start();
      const { sessions } = service;
      const { token } = await sessions.createSession();
      for (const user of [null, { userId: 'ann' }]) {
        await expect(sessions.createSession({ user, ...client } as never)).rejects.toThrow(SessionUsageError);
      }
      for (const wrong of [client, null, 'x']) {
        await expect(sessions.getSession(token, wrong as never)).rejects.toThrow(SessionUsageError);
      }
      expect(await sessions.listUserSessions('ann')).toEqual([]);
    },
  );

  it('of update() with a function that returns a copy is a usage error', async () => {
    await start();
    const { sessions } = service;
    const { session } = await sessions.createSession({ data: { count: 1, list: [1] } });
    for (const one of [session, session.sessionId]) {
      await expect(sessions.update(one, ({ data }) => ({ ...data, count: 2 }))).rejects.toThrow('a copy is not stored');
      await expect(sessions.update(one, () => ({ data: { count: 2 } }))).rejects.toThrow(SessionUsageError);
      // What changes the session may return what it likes, and what changes nothing parts of it.
      await sessions.update(one, ({ data }) => (data.cart = { sku: 'A' }));
      await sessions.update(one, ({ data }) => data);
      await sessions.update(one, ({ data }) => data.list);
      await sessions.update(one, () => new Map());
    }
    expect((await sessions.update(session.sessionId, () => undefined)).data).toEqual({
      count: 1,
      list: [1],
      cart: { sku: 'A' },
    });
  });

  it.each<[string, TokenSerializer['verify']]>([
    ['', () => (undefined as unknown as { valid: () => never }).valid()],
    [', by a promise,', () => Promise.reject(new ReferenceError('keys is not defined'))],
    ...[undefined, null, true, {}, { valid: true }, { valid: false, fault: 'EXPIRED' }].flatMap(
      (none): [string, TokenSerializer['verify']][] => [
        [` that returns ${JSON.stringify(none)}`, () => none as never],
        [` that resolves to ${JSON.stringify(none)}`, () => Promise.resolve(none as never)],
      ],
    ),
  ])(
    'of the verify() of a serializer by itself%s refuses the token, and is in the log once a minute',
    async (_, verify) => {
      const broken: TokenSerializer = { serialize: ({ secret }) => secret, verify };
      await start(new MemoryBackend(), { tokenFormat: broken });
      for (let round = 0; round < 3; round++) {
        await expect(service.sessions.getSession('x')).rejects.toMatchObject({ status: 401, code: 'TOKEN_MALFORMED' });
      }
      expect(lines.error).toEqual([expect.stringContaining('verify() of the TokenSerializer failed')]);
    },
  );
});

describe('what is provided in the place of the own', () => {
  const start = (...extraProviders: Provider[]) =>
    Test.createTestingModule({ imports: [SessionModule.forRoot({ secretKey: SECRET_KEY, extraProviders })] }).compile();
  const half = { create: () => null, read: () => null, replace: () => null, touch: () => null, delete: () => null };

  it.each<[string, symbol, unknown, string]>([
    ['a backend that is an empty object', SESSION_BACKEND, {}, 'SESSION_BACKEND has no create(), read(), '],
    ['a backend without some methods', SESSION_BACKEND, half, 'has no listByUser(), deleteByUser(), ping(), close().'],
    ['no backend', SESSION_BACKEND, undefined, 'SESSION_BACKEND has no create()'],
    ['a serializer that is none', TOKEN_SERIALIZER, {}, 'TOKEN_SERIALIZER has no serialize(), verify().'],
    ['no serializer', TOKEN_SERIALIZER, undefined, 'TOKEN_SERIALIZER has no serialize(), verify().'],
    ['a clock that is none', SESSION_CLOCK, {}, 'SESSION_CLOCK has no now().'],
    ['a clock of NaN', SESSION_CLOCK, { now: () => NaN }, 'milliseconds since the epoch'],
    ['a clock of dates', SESSION_CLOCK, { now: () => new Date() }, 'milliseconds since the epoch'],
  ])('%s stops the start', async (_, provide, value, message) => {
    await expect(start({ provide, useFactory: () => value })).rejects.toThrow(message);
  });

  it('a MigratingBackend takes two backends', () => {
    const Migrating = MigratingBackend as new (...args: unknown[]) => MigratingBackend;
    expect(() => new Migrating()).toThrow('The first argument of MigratingBackend has no create()');
    expect(() => new Migrating(new MemoryBackend())).toThrow('The second argument of MigratingBackend has no create()');
  });

  it.each([[[]], [['']], [['short']], [[SECRET_KEY, 'x'.repeat(40)]], [[undefined]], [SECRET_KEY], [undefined]])(
    'a serializer does not sign with the keys %j',
    async (given) => {
      const keys = given as string[];
      const refusal = 'takes keys: a list of strings of at least 32 characters';
      expect(() => new SimpleTokenSerializer({ keys, namespace: 'x' })).toThrow(refusal);
      const options = { keys, namespace: 'x', issuer: 'x', audience: 'x', leeway: 0 };
      await expect(JwtTokenSerializer.create(options, { now: () => 0 })).rejects.toThrow(refusal);
    },
  );
});
