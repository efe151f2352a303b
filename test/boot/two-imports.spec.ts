import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Module, type DynamicModule } from '@nestjs/common';
import { LazyModuleLoader, NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { MemoryBackend, SessionModule, SessionService, type SessionModuleOptions } from 'nestjs-sessionx';
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

  it.each<[string, () => [DynamicModule, DynamicModule]]>([
    ['one cookie for each', () => [sessions(COOKIE), sessions({ ...COOKIE, cookie: { name: '__Host-office' } })]],
    ['one header for each', () => [sessions(), sessions({ headerName: 'X-Office-Token' })]],
    ['one place for each', () => [sessions(), sessions(COOKIE)]],
    ['one key for each', () => [sessions(), sessions({ secretKey: OTHER_KEY })]],
    ['one token format for each', () => [sessions(), sessions(JWT)]],
    ['one audience for each', () => [sessions(JWT), sessions({ ...JWT, jwt: { audience: 'office' } })]],
    ['one issuer for each', () => [sessions(JWT), sessions({ ...JWT, jwt: { issuer: 'office' } })]],
    ['one prefix for each', () => [sessions(), sessions({ backendKeyPrefix: 'office:' })]],
    ['one backend object for both', () => [sessions({ backend: shared }), sessions({ backend: shared })]],
    [
      'one Redis for both',
      () => [sessions({ backend: new RedisBackend(redis.url) }), sessions({ backend: new RedisBackend(redis.url) })],
    ],
  ])('%s: is allowed', async (_, make) => {
    await expect(start(importing(...make()))).resolves.toBeUndefined();
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
