import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Post, Req } from '@nestjs/common';
import {
  MemoryBackend,
  SESSION_BACKEND,
  SessionBackendError,
  SessionConflictError,
  SessionService,
  UseSession,
  type CreateOptions,
  type CreateResult,
  type SessionBackend,
  type SessionModuleOptions,
  type SessionId,
  type SessionRecord,
  type SessionSummary,
} from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { setTimeout as sleep } from 'node:timers/promises';

import { checkedUser } from '../../src/sessions/user-input.js';
import { SessionLogin } from '../../src/sessions/session-login.js';
import { SessionStore } from '../../src/store/session-store.js';
import { tagOf } from '../../src/tokens/session-secret.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { FaultProxy, redisFrameLength } from '../support/fault-proxy.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const TIMEOUT_MS = 150;
/** More requests than any login here makes. */
const MOST_STEPS = 16;
/** A wait is for a condition; this only ends a test that fails. */
const PATIENCE_MS = 15_000;

interface Store {
  readonly name: string;
  start(): Promise<{ readonly port: number; stop(): Promise<void> }>;
  backend(address: string): SessionBackend;
  readonly frameLength?: (bytes: Buffer) => number;
}

const stores: Store[] = [
  {
    name: 'Redis',
    start: () => RedisServer.start(),
    backend: (address) => new RedisBackend(`redis://${address}`),
    frameLength: redisFrameLength,
  },
  {
    name: 'Memcached',
    start: () => MemcachedServer.start(),
    backend: (address) => new MemcachedBackend({ servers: address }),
  },
];

const faults: [name: string, begin: (proxy: FaultProxy, step: number) => void][] = [
  ['the connection is reset before the response', (proxy, step) => proxy.loseResponses(step, 'rst')],
  ['the response never comes', (proxy, step) => proxy.loseResponses(step, 'silence')],
  ['the store is frozen until the client has gone', (proxy, step) => proxy.holdRequests(step)],
];

interface Fixture {
  readonly unlucky: ServiceUnderTest;
  readonly sound: ServiceUnderTest;
  readonly userId: string;
}

/** Each makes a session of `userId` by the unlucky service, for a client that may have had one before. */
const logins: [name: string, prepare: (fixture: Fixture) => Promise<() => Promise<unknown>>][] = [
  [
    'of a client without a session',
    ({ unlucky, userId }) => Promise.resolve(() => unlucky.sessions.createSession({ user: { userId } })),
  ],
  [
    'of a client with a cart',
    async ({ unlucky, userId }) => {
      const anonymous = await unlucky.sessions.createSession({ data: { cart: ['book'] } });
      const origin = { cause: 'login', ipAddress: null, userAgent: null, transport: null } as const;
      const login = { user: checkedUser({ userId }, 1000), client: {}, lifetime: {}, origin };
      const budget = unlucky.context.get(SessionStore).newBudget();
      return () => unlucky.context.get(SessionLogin).login(anonymous.session, login, budget);
    },
  ],
];

const rejections: unknown[] = [];
const note = (reason: unknown) => rejections.push(reason);

describe.each(stores)('logins that fail half-way on $name', ({ start, backend, frameLength }) => {
  let server: Awaited<ReturnType<Store['start']>>;
  let proxy: FaultProxy;
  let unlucky: ServiceUnderTest;
  let sound: ServiceUnderTest;
  let users = 0;

  beforeAll(async () => {
    server = await start();
  });

  beforeEach(async () => {
    process.on('unhandledRejection', note);
    proxy = await FaultProxy.to(server.port, frameLength);
  });

  afterEach(async () => {
    proxy.heal();
    await unlucky.close();
    await sound.close();
    await proxy.stop();
    process.off('unhandledRejection', note);
    expect(rejections).toEqual([]);
  });

  afterAll(() => server.stop());

  async function startBoth(options: Partial<SessionModuleOptions>): Promise<void> {
    unlucky = await startService(backend(proxy.address), { ...options, backendTimeout: TIMEOUT_MS });
    sound = await startService(
      backend(`127.0.0.1:${server.port}`),
      { ...options, backendTimeout: 5000 },
      unlucky.clock,
    );
    // The scripts are known to Redis from here on, so that each login below takes the same requests.
    for (const [, prepare] of logins) {
      await until(async () => (await prepare({ unlucky, sound, userId: `user ${users++}` }))(), Error);
    }
  }

  /** Runs `round` with a fault from each request of a login on, until the login gets through. */
  async function atEachStep(
    begin: (proxy: FaultProxy, step: number) => void,
    prepare: (typeof logins)[number][1],
    round: (userId: string, failed: boolean) => Promise<void>,
    before: (userId: string) => Promise<void> = () => Promise.resolve(),
  ): Promise<number> {
    for (let step = 0; step < MOST_STEPS; step++) {
      const userId = `user ${users++}`;
      await before(userId);
      await until(() => unlucky.context.get<SessionBackend>(SESSION_BACKEND).ping(), Error);
      const login = await prepare({ unlucky, sound, userId });
      begin(proxy, step);
      const failure: unknown = await login().then(
        () => null,
        (error: unknown) => error,
      );
      proxy.release();
      proxy.heal();
      if (failure !== null) expect(failure).toBeInstanceOf(SessionBackendError);
      await round(userId, failure !== null);
      if (failure === null) return step;
    }
    throw new Error('the login never got through');
  }

  it.each(
    logins.flatMap(([login, prepare]) => faults.map(([fault, begin]) => [login, fault, prepare, begin] as const)),
  )(
    'a login %s, while %s: the user can log in again although only one session is allowed',
    async (_login, _fault, prepare, begin) => {
      await startBoth({ maxSessionsPerUser: 1, onSessionLimit: 'reject' });
      const steps = await atEachStep(begin, prepare, async (userId, failed) => {
        if (!failed) return;
        const { session, token } = await until(
          () => sound.sessions.createSession({ user: { userId } }),
          SessionConflictError,
        );
        expect((await sound.sessions.listUserSessions(userId)).map(({ sessionId }) => sessionId)).toEqual([
          session.sessionId,
        ]);
        expect((await sound.sessions.getSession(token)).user?.userId).toBe(userId);
      });
      expect(steps).toBeGreaterThan(0);
    },
    60_000,
  );

  it.each(logins)(
    'a login %s that is never answered does not push a living session out when its user logs in again',
    async (_login, prepare) => {
      await startBoth({ maxSessionsPerUser: 2, onSessionLimit: 'evict-oldest' });
      const living = new Map<string, string>();
      await atEachStep(
        (faulty, step) => faulty.loseResponses(step, 'rst'),
        prepare,
        async (userId, failed) => {
          if (!failed) return;
          // Pending sessions too, which only the store lists.
          const [{ sessionId }] = (await sound.sessions.listUserSessions(userId)) as [SessionSummary];
          const store = sound.context.get<SessionBackend>(SESSION_BACKEND);
          await untilTrue(async () => (await store.listByUser(tagOf(sessionId as SessionId))).length === 1);
          await sound.sessions.createSession({ user: { userId } });
          expect((await sound.sessions.getSession(living.get(userId)!)).user?.userId).toBe(userId);
        },
        async (userId) => {
          living.set(userId, (await sound.sessions.createSession({ user: { userId } })).token);
        },
      );
    },
    60_000,
  );

  it('a regeneration that is never answered leaves no session that nobody has the token of', async () => {
    await startBoth({ maxSessionsPerUser: 1, onSessionLimit: 'reject' });
    const tokens = new Map<string, string>();
    await atEachStep(
      (faulty, step) => faulty.loseResponses(step, 'rst'),
      async ({ userId }) => {
        const session = await unlucky.sessions.getSession(tokens.get(userId)!);
        return () => unlucky.sessions.regenerateSessionId(session);
      },
      async (userId, failed) => {
        if (!failed) return;
        const token = tokens.get(userId)!;
        // The old session lives, or has ended and left room for another.
        const lives = await sound.sessions.getSession(token).catch((error: unknown) => error);
        if (lives instanceof Error) {
          expect(lives).toMatchObject({ status: 401 });
          await until(() => sound.sessions.createSession({ user: { userId } }), SessionConflictError);
        }
        expect(await sound.sessions.listUserSessions(userId)).toHaveLength(1);
      },
      async (userId) => {
        tokens.set(userId, (await sound.sessions.createSession({ user: { userId } })).token);
      },
    );
  });
});

/** Carries out what it is asked to create, and says that it has failed, as a connection does that breaks before the response. */
class LosesResponses extends MemoryBackend {
  readonly created: SessionRecord[] = [];
  failing = true;

  override async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const result = await super.create(record, options);
    this.created.push(record);
    if (this.failing) throw new Error('the connection is broken');
    return result;
  }

  override replace(...args: Parameters<MemoryBackend['replace']>): ReturnType<MemoryBackend['replace']> {
    return this.failing ? Promise.reject(new Error('the connection is broken')) : super.replace(...args);
  }

  override delete(...args: Parameters<MemoryBackend['delete']>): ReturnType<MemoryBackend['delete']> {
    return this.failing ? Promise.reject(new Error('the connection is broken')) : super.delete(...args);
  }
}

@Controller()
class SigningController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post('start')
  async start(@Req() request: object) {
    await this.sessions.start(request, { data: { cart: ['book'] } });
  }

  @UseSession()
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
  }

  @UseSession()
  @Post('login-and-change')
  async loginAndChange(@Req() request: object) {
    const { session } = await this.sessions.login(request, { userId: 'ann' });
    session.data.visits = 1;
  }
}

describe.each(PLATFORMS)('a request that makes a session and is answered 503, on %s', (platform) => {
  let backend: LosesResponses;
  let app: AppUnderTest;

  beforeEach(async () => {
    backend = new LosesResponses();
    app = await startApp({
      platform,
      controllers: [SigningController],
      session: { backend, backendTimeout: TIMEOUT_MS, maxSessionsPerUser: 1, onSessionLimit: 'reject' },
    });
  });

  afterEach(() => app.close());

  it.each(['/start', '/login'])('leaves no session behind: %s', async (path) => {
    expect((await app.fetch(path, { method: 'POST' })).status).toBe(503);
    const [{ id }] = backend.created as [SessionRecord];
    expect(await backend.read(id)).not.toBeNull();
    backend.failing = false;
    await untilTrue(async () => (await backend.read(id)) === null);
    expect((await app.fetch(path, { method: 'POST' })).status).toBe(201);
    expect(await backend.read(backend.created[1]!.id)).not.toBeNull();
  });

  it('leaves no session behind when what it did after its login cannot be stored, nor the session be ended at once', async () => {
    const create = MemoryBackend.prototype.create.bind(backend);
    backend.create = async (record, options) => {
      backend.created.push(record);
      return create(record, options);
    };
    expect((await app.fetch('/login-and-change', { method: 'POST' })).status).toBe(503);
    const [{ id }] = backend.created as [SessionRecord];
    expect(await backend.read(id)).not.toBeNull();
    backend.failing = false;
    await untilTrue(async () => (await backend.read(id)) === null);
    expect((await app.fetch('/login-and-change', { method: 'POST' })).status).toBe(201);
  });
});

/** Tries until it works; an error of another class than `expected` is one of the test. */
async function until<T>(call: () => Promise<T>, expected: new (...args: never[]) => Error): Promise<T> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof expected) || performance.now() > endsAt) throw error;
      await sleep(10);
    }
  }
}

async function untilTrue(condition: () => Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error('what the test waits for has not come');
    await sleep(10);
  }
}
