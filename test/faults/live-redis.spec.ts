import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import type { Session } from 'nestjs-sessionx';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';
import { once } from 'node:events';

import { fakeIntervals } from '../support/fake-intervals.js';
import { FaultProxy, redisFrameLength } from '../support/fault-proxy.js';
import { LogLines } from '../support/log-lines.js';
import { RedisServer } from '../support/redis-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import { soon } from '../support/soon.js';

/** Never comes in a test. */
const NEVER_S = 3600;
const SOON_S = 0.1;
/** Of the connection that listens. */
const CHECK_EVERY_MS = 10_000;
/** Between a publication and the end. */
const NOTICE_LIMIT_MS = 1000;

let redis: RedisServer;
let admin: Redis;
const opened: ServiceUnderTest[] = [];
const log = new LogLines();

/** Another process. */
async function start(
  backend: RedisBackend,
  liveCheckInterval: number,
  options: { backendTimeout?: number } = {},
): Promise<ServiceUnderTest> {
  const clock = opened[0]?.clock;
  const service = await startService(backend, { liveCheckInterval, ...options }, clock);
  Logger.overrideLogger(log);
  opened.push(service);
  return service;
}

beforeEach(async () => {
  redis = await RedisServer.start();
  admin = redis.client();
  admin.on('error', () => undefined);
});

afterEach(async () => {
  jest.useRealTimers();
  await Promise.all(opened.splice(0).map((service) => service.close()));
  admin.disconnect();
  await redis.stop();
  log.clear();
  Logger.overrideLogger(false);
});

async function subscribers(): Promise<number> {
  const [, count] = (await admin.pubsub('NUMSUB', 'session:ended')) as [string, number];
  return count;
}

async function ended(signal: AbortSignal): Promise<string> {
  if (!signal.aborted) await once(signal, 'abort', { signal: AbortSignal.timeout(5000) });
  return (signal.reason as { code: string }).code;
}

/** A session that `one` has made, and its watch in `two`, which has begun. */
async function watched(one: ServiceUnderTest, two: ServiceUnderTest, userId = 'ann') {
  const { session, token } = await one.sessions.createSession({ user: { userId } });
  const held = await two.sessions.getSession(token);
  return { session, token, held, signal: two.sessions.whileAlive(held) };
}

describe('watches on Redis', () => {
  it('end within a second by a publication, have one more connection while there are any, and none afterwards', async () => {
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await start(new RedisBackend(redis.url), SOON_S);
    const { session, signal } = await watched(one, two);
    await soon(async () => (await subscribers()) === 1 || undefined);
    const before = performance.now();
    await one.sessions.deleteSession(session.sessionId);
    await ended(signal);
    expect(performance.now() - before).toBeLessThan(NOTICE_LIMIT_MS);
    await soon(async () => (await subscribers()) === 0 || undefined);
    expect(log.of('warn', 'error')).toEqual([]);
  });

  it('need no interval, of whatever kind the end is, with a client of the application and its key prefix too', async () => {
    const client = new Redis(redis.port, '127.0.0.1', { ...sessionRedisOptions(1000), keyPrefix: 'shop:' });
    const one = await start(new RedisBackend({ port: redis.port, keyPrefix: 'shop:' }), NEVER_S);
    const two = await start(new RedisBackend(client), NEVER_S);
    const ends: ((session: Session) => Promise<unknown>)[] = [
      (session) => one.sessions.deleteSession(session.sessionId),
      (session) => one.sessions.invalidateSession(session),
      ({ user }) => one.sessions.deleteUserSessions(user!.userId),
    ];
    for (const end of ends) {
      const { session, signal } = await watched(one, two);
      await soon(async () => (await admin.pubsub('NUMSUB', 'shop:session:ended'))[1] === 1 || undefined);
      await end(session);
      expect(await ended(signal)).toBe('SESSION_ENDED');
    }
    expect(await subscribers()).toBe(0);
    await two.close();
    client.disconnect();
  });

  it('of a user with hundreds of sessions end too, each of them', async () => {
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await startService(
      new RedisBackend(redis.url),
      { liveCheckInterval: NEVER_S, maxSessionsPerUser: null },
      one.clock,
    );
    opened.push(two);
    const all: AbortSignal[] = [];
    for (let i = 0; i < 600; i++) {
      const { token } = await two.sessions.createSession({ user: { userId: 'many' } });
      all.push(two.sessions.whileAlive(await two.sessions.getSession(token)));
    }
    await soon(async () => (await subscribers()) === 1 || undefined);
    const limited = await startService(new RedisBackend(redis.url), { maxSessionsPerUser: 300 }, one.clock);
    opened.push(limited);
    await limited.sessions.createSession({ user: { userId: 'many' } });
    await soon(() => all.filter(({ aborted }) => aborted).length === 301 || undefined);
    await one.sessions.deleteUserSessions('many');
    await soon(() => all.every(({ aborted }) => aborted) || undefined);
  });

  it('end within the interval when the publication is lost on its way', async () => {
    const proxy = await FaultProxy.to(redis.port, redisFrameLength);
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await start(new RedisBackend(`redis://${proxy.address}`), 0.5, { backendTimeout: 200 });
    const { session, signal } = await watched(one, two);
    await soon(async () => (await subscribers()) === 1 || undefined);
    proxy.forgetConnections('silence');
    await one.sessions.deleteSession(session.sessionId);
    expect(await ended(signal)).toBe('SESSION_ENDED');
    await two.close();
    await proxy.stop();
  });

  it('listen again after the connection was lost, and when Redis comes back', async () => {
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await start(new RedisBackend(redis.url), NEVER_S);
    const first = await watched(one, two);
    await soon(async () => (await subscribers()) === 1 || undefined);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await soon(async () => (await subscribers()) === 1 || undefined);
    await one.sessions.deleteSession(first.session.sessionId);
    expect(await ended(first.signal)).toBe('SESSION_ENDED');
  });

  it('listen by another connection when nothing is answered any more on theirs, as by a server that is frozen', async () => {
    fakeIntervals();
    const proxy = await FaultProxy.to(redis.port, redisFrameLength);
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await start(new RedisBackend(`redis://${proxy.address}`), NEVER_S, { backendTimeout: 100 });
    const { session, token, signal } = await watched(one, two);
    await soon(async () => (await subscribers()) === 1 || undefined);
    proxy.forgetConnections('silence');
    jest.advanceTimersByTime(CHECK_EVERY_MS);
    // The server has not noticed that the first one is gone.
    await soon(async () => (await subscribers()) === 2 || undefined);
    await soon(() => two.sessions.getSession(token).catch(() => undefined));
    await one.sessions.deleteSession(session.sessionId);
    expect(await ended(signal)).toBe('SESSION_ENDED');
    await two.close();
    await proxy.stop();
  });

  it('stay on a connection that is answered', async () => {
    fakeIntervals();
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await start(new RedisBackend(redis.url), NEVER_S, { backendTimeout: 100 });
    const { session, signal } = await watched(one, two);
    const listening = async () => /^id=(\d+) .* sub=1 /m.exec(String(await admin.client('LIST')))?.[1];
    const before = await soon(listening);
    for (let check = 0; check < 3; check++) {
      jest.advanceTimersByTime(CHECK_EVERY_MS);
      await soon(async () => / sub=1 .*cmd=ping/.exec(String(await admin.client('LIST'))) ?? undefined);
    }
    expect(await listening()).toBe(before);
    await one.sessions.deleteSession(session.sessionId);
    expect(await ended(signal)).toBe('SESSION_ENDED');
  });

  it('listen again with the password that the application has given to its client since', async () => {
    await admin.call('ACL', 'SETUSER', 'default', '>old');
    const options = { username: 'default', password: 'old' };
    const client = new Redis(redis.port, '127.0.0.1', { ...sessionRedisOptions(1000), ...options });
    const one = await start(new RedisBackend(client), NEVER_S);
    const { session, signal } = await watched(one, one);
    await soon(async () => (await subscribers()) === 1 || undefined);
    await admin.call('ACL', 'SETUSER', 'default', '>new', '<old');
    client.options.password = 'new';
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await soon(async () => (await subscribers()) === 1 || undefined);
    await admin.del(`session:{${session.sessionId.slice(0, 16)}}${session.sessionId.slice(16)}`);
    await admin.publish('session:ended', `${session.sessionId.slice(0, 16)} ${session.sessionId.slice(16)}`);
    expect(await ended(signal)).toBe('SESSION_ENDED');
    await one.close();
    client.disconnect();
  });

  it('of a user without a right to the channel end within the interval, and one line says so', async () => {
    await admin.call('ACL', 'SETUSER', 'shop', 'on', '>secret', '~session:*', 'resetchannels', '+@all');
    const url = `redis://shop:secret@127.0.0.1:${redis.port}`;
    const one = await start(new RedisBackend(url), NEVER_S);
    const two = await start(new RedisBackend(url), SOON_S);
    for (let i = 0; i < 3; i++) {
      const { session, signal } = await watched(one, two);
      expect(await one.sessions.deleteSession(session.sessionId)).toBe(true);
      expect(await ended(signal)).toBe('SESSION_ENDED');
    }
    expect(log.of('warn', 'error')).toEqual([expect.stringContaining('no right to the channel')]);
  });

  it('do without MGET where the user has no right to it', async () => {
    await admin.call('ACL', 'SETUSER', 'shop', 'on', '>secret', '~session:*', 'resetchannels', '+@all', '-mget');
    const url = `redis://shop:secret@127.0.0.1:${redis.port}`;
    const one = await start(new RedisBackend(url), NEVER_S);
    const two = await start(new RedisBackend(url), SOON_S);
    const { session, signal } = await watched(one, two);
    await one.sessions.deleteSession(session.sessionId);
    expect(await ended(signal)).toBe('SESSION_ENDED');
  });

  it('stay while Redis is down, which one line says, until the known expiry; and end by what happened meanwhile when it is back', async () => {
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await start(new RedisBackend(redis.url), SOON_S, { backendTimeout: 100 });
    const short = await two.sessions.createSession({ user: { userId: 'bob' }, ttl: 60 });
    const shortSignal = two.sessions.whileAlive(short.session);
    const { session, signal } = await watched(one, two);
    redis.pause();
    const blind = (): boolean => log.of('warn').some((line) => line.includes('cannot be looked up'));
    await soon(() => blind() || undefined);
    expect([signal.aborted, shortSignal.aborted]).toEqual([false, false]);
    one.clock.advanceSeconds(60);
    expect(await ended(shortSignal)).toBe('SESSION_EXPIRED');
    expect(signal.aborted).toBe(false);
    redis.resume();
    await soon(() => log.of('log').some((line) => line.includes('can be looked up again')) || undefined);
    expect(log.of('warn').filter((line) => line.includes('cannot be looked up'))).toHaveLength(1);
    await one.sessions.deleteSession(session.sessionId);
    expect(await ended(signal)).toBe('SESSION_ENDED');
  });

  it('leave no connection when the application closes while the second one is being made', async () => {
    const one = await start(new RedisBackend(redis.url), NEVER_S);
    const two = await startService(new RedisBackend(redis.url), {}, one.clock);
    const { session } = await two.sessions.createSession({ user: { userId: 'ann' } });
    two.sessions.whileAlive(session);
    await new Promise((resolve) => setImmediate(resolve));
    await two.close();
    await one.close();
    const ours = await soon(async () => {
      const clients = String(await admin.client('LIST'))
        .trim()
        .split('\n');
      return clients.length === 1 ? clients : undefined;
    });
    expect(ours).toHaveLength(1);
  });
});
