import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';

import { newSessionRedis } from '../../src/backends/redis/session-redis.js';
import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, newSecret } from '../../src/tokens/session-secret.js';
import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { FaultController } from '../support/fault-controller.js';
import { RedisServer } from '../support/redis-server.js';
import { atOnce } from '../support/services.js';
import { soon } from '../support/soon.js';
import { freePort } from '../support/processes.js';
import { startService } from '../support/services.js';

const BUDGET_MS = 600;
/** What a loaded machine may add to a timeout. */
const SLACK_MS = 2000;

describe.each(PLATFORMS)('a Redis that fails, on %s', (platform) => {
  let redis: RedisServer;
  let app: AppUnderTest;
  let headers: { authorization: string };
  const rejections: unknown[] = [];
  const note = (reason: unknown) => rejections.push(reason);

  beforeEach(async () => {
    process.on('unhandledRejection', note);
    redis = await RedisServer.start();
    app = await startApp({
      platform,
      controllers: [FaultController],
      session: { backend: new RedisBackend(redis.url), backendTimeout: BUDGET_MS },
    });
    const { token } = (await (await app.fetch('/login', { method: 'POST' })).json()) as { token: string };
    headers = { authorization: `Bearer ${token}` };
  });

  afterEach(async () => {
    redis.resume();
    await app.close();
    await redis.stop();
    process.off('unhandledRejection', note);
    expect(rejections).toEqual([]);
  });

  async function expect503(path: string, method = 'GET', sent: Record<string, string> = headers): Promise<void> {
    const started = performance.now();
    const response = await app.fetch(path, { method, headers: sent });
    expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(response.headers.get('x-session-token')).toBeNull();
    expect(await response.json()).toEqual({ statusCode: 503, message: 'Service Unavailable' });
  }

  async function healed(): Promise<number> {
    for (;;) {
      const { status } = await app.fetch('/me', { headers });
      if (status !== 503) return status;
    }
  }

  it('killed: 503, never 401; routes without a session and forged tokens do not notice', async () => {
    await redis.kill();
    await expect503('/me');
    await expect503('/write', 'POST');
    await expect503('/login', 'POST', {});
    await expect503('/logout', 'POST');
    expect((await app.fetch('/unused', { headers })).status).toBe(200);
    expect((await app.fetch('/me')).status).toBe(401);
    expect((await app.fetch('/me', { headers: { authorization: 'Bearer forged' } })).status).toBe(401);
  });

  it('slow, but within the budget: 200; slower: 503, and never 401', async () => {
    const observer = redis.client();
    await observer.call('CLIENT', 'PAUSE', String(BUDGET_MS / 3), 'ALL');
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    await observer.call('CLIENT', 'PAUSE', String(BUDGET_MS * 4), 'ALL');
    await atOnce(10, () => expect503('/me'));
    await expect503('/write', 'POST');
    expect(await healed()).toBe(200);
    await observer.quit();
  });

  it('killed with 200 requests in flight: each is answered in time, and none with 401', async () => {
    const observer = redis.client();
    observer.on('error', () => undefined);
    const untilReads = await countReads(observer);
    const responses = atOnce(200, async (index) => {
      const started = performance.now();
      const { status } = await app.fetch(index % 4 === 0 ? '/write' : '/me', {
        method: index % 4 === 0 ? 'POST' : 'GET',
        headers,
      });
      return { status, took: performance.now() - started };
    });
    await untilReads(20);
    await redis.kill();
    observer.disconnect();
    for (const { status, took } of await responses) {
      expect([200, 201, 503]).toContain(status);
      expect(took).toBeLessThan(BUDGET_MS + SLACK_MS);
    }
  });

  it('an event loop that stood still for longer than the budget is no logout', async () => {
    const observer = redis.client();
    const untilReads = await countReads(observer);
    const responses = atOnce(10, () => app.fetch('/me', { headers }));
    await untilReads(1);
    const until = performance.now() + 2 * BUDGET_MS;
    while (performance.now() < until);
    for (const { status } of await responses) expect([200, 503]).toContain(status);
    expect(await healed()).toBe(200);
    await observer.quit();
  });

  it('busy with a script: 503, and goes on by itself', async () => {
    const observer = redis.client();
    const killer = redis.client();
    await observer.config('SET', 'busy-reply-threshold', '20');
    const endless = observer.eval('while true do end', 0).catch(() => 'killed');
    await untilBusy(killer);
    await expect503('/me');
    await expect503('/write', 'POST');
    await killer.script('KILL');
    await endless;
    expect(await healed()).toBe(200);
    await observer.quit();
    await killer.quit();
  });

  it('made a replica, as a failover does it: reads go on, a write is 503, and works again on a master', async () => {
    const observer = redis.client();
    await observer.config('SET', 'replica-serve-stale-data', 'yes');
    await observer.replicaof('127.0.0.1', String(await freePort()));
    expect(await healed()).toBe(200);
    await expect503('/write', 'POST');
    await expect503('/login', 'POST', {});
    await observer.call('REPLICAOF', 'NO', 'ONE');
    let status: number;
    do ({ status } = await app.fetch('/write', { method: 'POST', headers }));
    while (status === 503);
    expect(status).toBe(201);
    await observer.quit();
  });

  it('without the right to a command, or with too many connections, it is a 503 that names neither', async () => {
    const observer = redis.client();
    await observer.call('ACL', 'SETUSER', 'default', '-get');
    await expect503('/me');
    await observer.call('ACL', 'SETUSER', 'default', '+get');
    expect(await healed()).toBe(200);
    await observer.config('SET', 'maxclients', '1');
    const refused = await startService(new RedisBackend(redis.url), { backendTimeout: BUDGET_MS });
    await expect(refused.sessions.createSession()).rejects.toMatchObject({ status: 503 });
    await observer.config('SET', 'maxclients', '1000');
    await refused.close();
    await observer.quit();
  });

  it('restarted empty: works by itself, and the session is known to be gone', async () => {
    await redis.kill();
    await expect503('/me');
    await redis.start();
    expect(await healed()).toBe(401);
    expect((await app.fetch('/login', { method: 'POST' })).status).toBe(200);
  });

  it('frozen: 503 within the budget, with 50 requests in flight; goes on when the server does', async () => {
    redis.pause();
    await atOnce(50, () => expect503('/me'));
    await expect503('/login', 'POST', {});
    redis.resume();
    expect(await healed()).toBe(200);
  });

  it('a login that Redis comes to after its caller was told 503 makes no session', async () => {
    redis.pause();
    await atOnce(20, () => expect503('/login', 'POST', {}));
    redis.resume();
    await healed();
    const observer = redis.client();
    // Of a backend that still looks at its server there may be other keys.
    const records = async () => (await observer.keys('*')).filter((key) => /\}[\w-]{43}$/.test(key));
    // What Redis has still stored in time, but too late for its caller, is ended in the background.
    await soon(async () => ((await records()).length === 1 ? true : undefined));
    await observer.quit();
  });

  it('a change that Redis comes to late does not bring back what was ended meanwhile', async () => {
    const service = await startService(new RedisBackend(redis.url), { backendTimeout: BUDGET_MS }, app.clock);
    const { session, token } = await service.sessions.createSession({ user: { userId: 'late' } });
    session.data.late = true;
    redis.pause();
    await expect(service.sessions.updateSession(session)).rejects.toMatchObject({
      code: expect.stringMatching('BACKEND'),
    });
    redis.resume();
    await healed();
    const other = await startService(new RedisBackend(redis.url), {}, app.clock);
    await other.sessions.deleteSession(session.sessionId);
    await expect(other.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    await service.close();
    await other.close();
  });

  it('out of memory: reads and logout go on, a write is 503, a touch is skipped', async () => {
    const observer = redis.client();
    await observer.config('SET', 'maxmemory', '1');
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    app.clock.advanceSeconds(120);
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    await expect503('/write', 'POST');
    await expect503('/login', 'POST', {});
    expect(await (await app.fetch('/logout', { method: 'POST', headers })).json()).toEqual({ ended: true });
    expect((await app.fetch('/me', { headers })).status).toBe(401);
    await observer.quit();
  });

  it('SCRIPT FLUSH is not noticed', async () => {
    const observer = redis.client();
    await observer.script('FLUSH');
    expect((await app.fetch('/write', { method: 'POST', headers })).status).toBe(201);
    await observer.quit();
  });

  it('a password that Redis does not take is a 503, and neither in an error nor in a log', async () => {
    const observer = redis.client();
    await observer.config('SET', 'requirepass', 'the right one');
    const service = await startService(new RedisBackend(`redis://:the-wrong-one@127.0.0.1:${redis.port}`), {
      backendTimeout: BUDGET_MS,
    });
    const error: unknown = await service.sessions.createSession().catch((failure: unknown) => failure);
    expect(error).toMatchObject({ status: 503 });
    const { inspect } = await import('node:util');
    expect(inspect(error, { depth: 10 })).not.toContain('the-wrong-one');
    await service.close();
    await observer.quit();
  });

  it('frozen during the shutdown: the application closes within its budget', async () => {
    redis.pause();
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS + 1000);
  });

  it('the store closes after the last request in flight', async () => {
    let arrived = 0;
    const allArrived = new Promise<void>((resolve) => {
      (app.app.getHttpServer() as NodeJS.EventEmitter).on('request', () => {
        if (++arrived === 20) resolve();
      });
    });
    const pending = atOnce(20, () =>
      app.fetch('/write', { method: 'POST', headers: { ...headers, connection: 'close' } }),
    );
    // A connection on which no request has arrived yet is idle, and the server closes it at once.
    await allArrived;
    const [responses] = await Promise.all([pending, app.close()]);
    for (const { status } of responses) expect(status).toBe(201);
  });
});

it('a name that no address belongs to is a 503', async () => {
  const service = await startService(new RedisBackend({ host: 'no-such-host.invalid' }), { backendTimeout: BUDGET_MS });
  await expect(service.sessions.createSession()).rejects.toMatchObject({ status: 503 });
  await service.close();
});

it('down at boot: the application starts, answers 503, and heals when Redis comes', async () => {
  const port = await freePort();
  const app = await startApp({
    controllers: [FaultController],
    session: { backend: new RedisBackend({ host: '127.0.0.1', port }), backendTimeout: BUDGET_MS },
  });
  // Genuine, as from before: whether its session lives is not known.
  const random = new RandomPool();
  const token = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' }).serialize({
    secret: newSecret(anonymousTag(random), random),
    issuedAt: app.clock.now(),
  });
  expect((await app.fetch('/unused')).status).toBe(200);
  expect((await app.fetch('/me')).status).toBe(401);
  expect((await app.fetch('/me', { headers: { authorization: `Bearer ${token.slice(0, -2)}AA` } })).status).toBe(401);
  expect((await app.fetch('/me', { headers: { authorization: `Bearer ${token}` } })).status).toBe(503);
  expect((await app.fetch('/login', { method: 'POST' })).status).toBe(503);
  const redis = await RedisServer.startOn(port);
  const startedAt = performance.now();
  let status: number;
  do ({ status } = await app.fetch('/login', { method: 'POST' }));
  while (status === 503);
  expect(status).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(1500 + SLACK_MS);
  expect((await app.fetch('/me', { headers: { authorization: `Bearer ${token}` } })).status).toBe(401);
  await app.close();
  await redis.stop();
});

it('something that is no Redis at the port is a 503', async () => {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const service = await startService(new RedisBackend({ host: '127.0.0.1', port }), { backendTimeout: BUDGET_MS });
  await expect(service.sessions.createSession()).rejects.toMatchObject({ status: 503 });
  await service.close();
  server.close();
});

it('what the query of a URL says does not weaken the client', async () => {
  const redis = await RedisServer.start();
  const service = await startService(new RedisBackend(`${redis.url}/0?commandTimeout=60000&enableOfflineQueue=true`), {
    backendTimeout: BUDGET_MS,
  });
  const { token } = await service.sessions.createSession();
  await redis.kill();
  const started = performance.now();
  await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 503 });
  expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS);
  await service.close();
  await redis.stop();
});

it('an instance whose clock is ten minutes late does not stretch the absolute end', async () => {
  const redis = await RedisServer.start();
  const options = { sessionTtl: 600, absoluteTimeout: 1000 };
  const right = await startService(new RedisBackend(redis.url), options);
  const late = await startService(new RedisBackend(redis.url), options);
  late.clock.advanceSeconds(-600);
  const { session, token } = await right.sessions.createSession({ user: { userId: 'ann' } });
  await late.sessions.renewSession(token);
  right.clock.advanceSeconds(500);
  await right.sessions.renewSession(token);
  const observer = redis.client();
  const { sessionId } = session;
  const left = await observer.pttl(`session:{${sessionId.slice(0, 16)}}${sessionId.slice(16)}`);
  expect(left).toBeLessThanOrEqual(1_000_000);
  await observer.quit();
  await right.close();
  await late.close();
  await redis.stop();
});

describe('a connection of the module', () => {
  it('is given up once, however many calls a replica refuses, so that Node warns of no leak', async () => {
    const redis = await RedisServer.start();
    const observer = redis.client();
    await observer.replicaof('127.0.0.1', String(await freePort()));
    const { port } = new URL(redis.url);
    const client = newSessionRedis({ port: Number(port) }, BUDGET_MS);
    await client.connect();
    const { stream } = client;
    const listeners = stream.listenerCount('close');
    const refused = await Promise.allSettled(Array.from({ length: 40 }, () => client.set('key', 'value')));
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set(['rejected']));
    expect(stream.listenerCount('close') - listeners).toBeLessThanOrEqual(1);
    await observer.call('REPLICAOF', 'NO', 'ONE');
    await soon(() => (client.status === 'ready' && client.stream !== stream) || undefined);
    expect(await client.set('key', 'value')).toBe('OK');
    client.disconnect();
    await observer.quit();
    await redis.stop();
  });
});

describe('what a replica refuses', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  it('is a reason for another connection less and less often, so that reads go on', () => {
    const { reconnectOnError } = sessionRedisOptions(1000);
    const refused = () => reconnectOnError?.(new Error("READONLY You can't write against a read only replica."));
    expect([refused(), refused()]).toEqual([true, false]);
    expect(reconnectOnError?.(new Error('OOM command not allowed'))).toBe(false);
    let connections = 0;
    for (let count = 0; count < 600; count++) {
      jest.advanceTimersByTime(100);
      if (refused() === true) connections++;
    }
    expect(connections).toBeGreaterThan(3);
    expect(connections).toBeLessThan(12);
    jest.advanceTimersByTime(3_600_000);
    expect([refused(), refused()]).toEqual([true, false]);
    jest.advanceTimersByTime(500);
    expect(refused()).toBe(true);
  });
});

describe('a client that the application made', () => {
  let redis: RedisServer;

  beforeEach(async () => {
    redis = await RedisServer.start();
  });

  afterEach(() => redis.stop());

  it('is refused with options that would break a promise, and told what to set', async () => {
    const client = new Redis(redis.port, '127.0.0.1');
    await expect(startService(new RedisBackend(client))).rejects.toThrow(/autoResendUnfulfilledCommands must be false/);
    client.disconnect();
    const stringly = new Redis(redis.port, '127.0.0.1', { ...sessionRedisOptions(1000), stringNumbers: true });
    await expect(startService(new RedisBackend(stringly))).rejects.toThrow(/stringNumbers/);
    stringly.disconnect();
    const prefixed = new Redis(redis.port, '127.0.0.1', { ...sessionRedisOptions(1000), keyPrefix: 'app{1}:' });
    await expect(startService(new RedisBackend(prefixed))).rejects.toThrow(/braces/);
    prefixed.disconnect();
  });

  it('works with a keyPrefix of its own, and is left open', async () => {
    const client = new Redis(redis.port, '127.0.0.1', { ...sessionRedisOptions(1000), keyPrefix: 'app:' });
    const service = await startService(new RedisBackend(client));
    await atOnce(3, () => service.sessions.createSession({ user: { userId: 'ann' } }));
    const observer = redis.client();
    const keys = await observer.keys('*');
    await observer.quit();
    expect(keys).toHaveLength(4);
    for (const key of keys) expect(key).toMatch(/^app:session:\{[\w-]{16}\}/);
    expect(await service.sessions.deleteUserSessions('ann')).toBe(3);
    await service.close();
    expect(await client.ping()).toBe('PONG');
    client.disconnect();
  });
});

it('a password that changes is used by the next connection of a client on which it was set', async () => {
  const redis = await RedisServer.start('--requirepass', 'old');
  const admin = new Redis(redis.port, '127.0.0.1', { password: 'old' });
  const client = new Redis(redis.port, '127.0.0.1', { ...sessionRedisOptions(1000), password: 'old' });
  const service = await startService(new RedisBackend(client));
  const { token } = await service.sessions.createSession({ user: { userId: 'ann' } });
  await admin.config('SET', 'requirepass', 'new');
  client.options.password = 'new';
  expect((await service.sessions.getSession(token)).user?.userId).toBe('ann');
  const again = once(client, 'ready');
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await again;
  expect((await service.sessions.getSession(token)).user?.userId).toBe('ann');
  await service.close();
  client.disconnect();
  admin.disconnect();
  await redis.stop();
});

it('the options refuse a prefix with braces, whatever the backend', async () => {
  const { MemoryBackend } = await import('nestjs-sessionx');
  await expect(startService(new MemoryBackend(), { backendKeyPrefix: 'a{b}', secretKey: SECRET_KEY })).rejects.toThrow(
    /backendKeyPrefix/,
  );
});

/** What waits until the server has answered so many reads more than by now. */
async function countReads(observer: Redis): Promise<(count: number) => Promise<void>> {
  const reads = async () => Number(/cmdstat_get:calls=(\d+)/.exec(await observer.info('commandstats'))?.[1] ?? 0);
  const before = await reads();
  return async (count) => {
    while ((await reads()) < before + count);
  };
}

async function untilBusy(observer: Redis): Promise<void> {
  for (;;) {
    const answer = await observer.get('x').catch((error: unknown) => error);
    if (answer instanceof Error && answer.message.startsWith('BUSY')) return;
  }
}
