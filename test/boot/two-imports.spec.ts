import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger, Module, type DynamicModule } from '@nestjs/common';
import { LazyModuleLoader, NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  MemoryBackend,
  SessionModule,
  SessionService,
  SimpleTokenSerializer,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { SECRET_KEY } from '../support/apps.js';
import { RedisServer } from '../support/redis-server.js';

const OTHER_KEY = `${SECRET_KEY}, another one`;
const IMPORT_ONCE = /imported twice.*import it once, it is global/;

let redis: RedisServer;

beforeAll(async () => {
  redis = await RedisServer.start();
});

afterAll(() => redis.stop());

/** Two modules of an application, each of which imports one of `sessions`. */
function importing(...sessions: [DynamicModule, DynamicModule]): unknown[] {
  @Module({ imports: [sessions[0]] })
  class ShopModule {}

  @Module({ imports: [sessions[1]] })
  class OfficeModule {}

  return [ShopModule, OfficeModule];
}

async function start(imports: unknown[]): Promise<void> {
  const context = await Test.createTestingModule({ imports: imports as DynamicModule[] }).compile();
  await context.init();
  await context.close();
}

const sessions = (options: Partial<SessionModuleOptions> & { isGlobal?: boolean } = {}): DynamicModule =>
  SessionModule.forRoot({ secretKey: SECRET_KEY, ...options });

const asynchronous = (options: Partial<SessionModuleOptions> = {}): DynamicModule =>
  SessionModule.forRootAsync({
    useFactory: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return { secretKey: SECRET_KEY, ...options };
    },
  });

const COOKIE = { tokenSourcePriority: ['cookie'] } satisfies Partial<SessionModuleOptions>;

const JWT = { tokenFormat: 'jwt' } satisfies Partial<SessionModuleOptions>;

describe('SessionModule in two modules of one application', () => {
  it.each<[string, () => [DynamicModule, DynamicModule]]>([
    ['forRoot() twice', () => [sessions(), sessions()]],
    ['forRoot() twice, not global', () => [sessions({ isGlobal: false }), sessions({ isGlobal: false })]],
    ['forRoot() and forRootAsync()', () => [sessions(), asynchronous()]],
    ['forRootAsync() and forRoot()', () => [asynchronous(), sessions()]],
    ['forRootAsync() twice', () => [asynchronous(), asynchronous()]],
    ['with cookies', () => [sessions(COOKIE), sessions({ ...COOKIE, cookie: { name: '__Host-session' } })]],
    ['with one more place for tokens', () => [sessions(), sessions({ tokenSourcePriority: ['header', 'cookie'] })]],
    ['with JWTs', () => [sessions(JWT), sessions({ ...JWT, jwt: { leeway: 5 } })]],
    ['with lifetimes of their own', () => [sessions(), sessions({ sessionTtl: 60 })]],
    [
      'with one key in common',
      () => [sessions(), sessions({ secretKey: [OTHER_KEY, SECRET_KEY], indexKey: SECRET_KEY })],
    ],
    [
      'with two MemoryBackends',
      () => [sessions({ backend: new MemoryBackend() }), sessions({ backend: new MemoryBackend() })],
    ],
    ['with Redis in one of them', () => [sessions(), sessions({ backend: new RedisBackend(redis.url) })]],
  ])('%s: is refused where tokens of one are unknown to the other', async (_, make) => {
    const failure: unknown = await start(importing(...make())).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TypeError);
    expect((failure as Error).message).toMatch(IMPORT_ONCE);
    expect((failure as Error).message).not.toContain(SECRET_KEY);
  });

  const shared = new MemoryBackend();

  it.each<[string, Partial<SessionModuleOptions>, Partial<SessionModuleOptions>]>([
    ['one cookie for each', COOKIE, { ...COOKIE, cookie: { name: '__Host-office' } }],
    ['one header for each', {}, { headerName: 'X-Office-Token' }],
    ['one place for each', {}, COOKIE],
    ['one token format for each', {}, JWT],
    ['one audience for each', JWT, { ...JWT, jwt: { audience: 'office' } }],
    ['one issuer for each', JWT, { ...JWT, jwt: { issuer: 'office' } }],
    ['one key for each, and one indexKey', { indexKey: SECRET_KEY }, { secretKey: OTHER_KEY, indexKey: SECRET_KEY }],
    ['the key of the one as indexKey of the other', {}, { secretKey: OTHER_KEY, indexKey: SECRET_KEY }],
    [
      'one key in common, and one header for each',
      {},
      { secretKey: [OTHER_KEY, SECRET_KEY], indexKey: OTHER_KEY, headerName: 'X-Office-Token' },
    ],
  ])('%s: is refused on one store, as tokens or users of one count for the other', async (_, one, other) => {
    const backends: (() => Partial<SessionModuleOptions>)[] = [
      () => ({ backend: shared }),
      () => ({ backend: new RedisBackend(redis.url) }),
    ];
    for (const backend of backends) {
      for (const make of [sessions, asynchronous]) {
        const modules = importing(make({ ...one, ...backend() }), sessions({ ...other, ...backend() }));
        const failure: unknown = await start(modules).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(TypeError);
        expect((failure as Error).message).toMatch(/separates nothing.*need a backendKeyPrefix of their own each/);
        expect((failure as Error).message).not.toContain(SECRET_KEY);
      }
    }
  });

  const serializer = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'both:' });

  it.each<[string, () => [DynamicModule, DynamicModule]]>([
    ['one key for each', () => [sessions(), sessions({ secretKey: OTHER_KEY })]],
    [
      'one key for each, on one backend object',
      () => [sessions({ backend: shared }), sessions({ backend: shared, secretKey: OTHER_KEY })],
    ],
    ['one prefix for each', () => [sessions(), sessions({ backendKeyPrefix: 'office:' })]],
    [
      'one memory and one cookie for each',
      () => [sessions(COOKIE), sessions({ ...COOKIE, cookie: { name: '__Host-office' } })],
    ],
    ['one memory and one header for each', () => [sessions(), sessions({ headerName: 'X-Office-Token' })]],
    [
      'one prefix for each, with one serializer object and one header for each',
      () => [
        sessions({ tokenFormat: serializer }),
        sessions({ tokenFormat: serializer, backendKeyPrefix: 'office:', headerName: 'X-Office-Token' }),
      ],
    ],
    ['one token format and one indexKey for each', () => [sessions(), sessions({ ...JWT, indexKey: OTHER_KEY })]],
    ['one backend object for both', () => [sessions({ backend: shared }), sessions({ backend: shared })]],
    [
      'one backend object for both, which is awaited',
      () => [asynchronous({ backend: shared }), sessions({ backend: shared })],
    ],
    [
      'one backend object for both, and one more place for tokens',
      () => [sessions({ backend: shared }), sessions({ backend: shared, tokenSourcePriority: ['header', 'cookie'] })],
    ],
    [
      'one Redis for both',
      () => [sessions({ backend: new RedisBackend(redis.url) }), sessions({ backend: new RedisBackend(redis.url) })],
    ],
  ])('%s: is allowed', async (_, make) => {
    await expect(start(importing(...make()))).resolves.toBeUndefined();
  });

  it.each<[string, warnings: number, () => [DynamicModule, DynamicModule]]>([
    ['for two global ones', 1, () => [sessions(), asynchronous({ secretKey: OTHER_KEY })]],
    ['where one is global', 0, () => [sessions({ isGlobal: false }), sessions({ secretKey: OTHER_KEY })]],
    [
      'where none is global',
      0,
      () => [sessions({ isGlobal: false }), sessions({ isGlobal: false, secretKey: OTHER_KEY })],
    ],
    ['for the same sessions', 0, () => [sessions({ backend: shared }), sessions({ backend: shared })]],
  ])('warns of sessions of their own by the order of imports: %s, %d times', async (_, warnings, make) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await start(importing(...make()));
    const lines = warn.mock.calls.filter(([line]) => String(line).includes('Set isGlobal: false in both'));
    warn.mockRestore();
    expect(lines).toHaveLength(warnings);
  });

  it('is one module when both import the same object, or when Nest compares modules by what is in them', async () => {
    const once = sessions();
    await expect(start(importing(once, once))).resolves.toBeUndefined();

    @Module({ imports: importing(sessions(), sessions()) as DynamicModule[] })
    class AppModule {}
    const context = await NestFactory.createApplicationContext(AppModule, {
      moduleIdGeneratorAlgorithm: 'deep-hash',
      logger: false,
    });
    await context.close();
  });

  it('is refused when it is loaded later', async () => {
    const context = await Test.createTestingModule({ imports: [sessions()] }).compile();
    await context.init();
    await expect(context.get(LazyModuleLoader).load(() => sessions())).rejects.toThrow(IMPORT_ONCE);
    await context.close();
  });

  it('stands in two applications of one process', async () => {
    const contexts = await Promise.all(
      [sessions(), sessions()].map((module) => Test.createTestingModule({ imports: [module] }).compile()),
    );
    await Promise.all(contexts.map((context) => context.init()));
    const [one, two] = contexts.map((context) => context.get(SessionService));
    const { token } = await one!.createSession();
    await expect(two!.getSession(token)).rejects.toMatchObject({ status: 401 });
    await Promise.all(contexts.map((context) => context.close()));
  });
});
