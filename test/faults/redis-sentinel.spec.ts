import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { once } from 'node:events';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';

import { adminOf, until } from '../support/redis-cluster.js';
import { RedisSentinels } from '../support/redis-sentinel.js';
import { RedisServer } from '../support/redis-server.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

const BUDGET_MS = 500;
/** What a loaded machine may add to a timeout. */
const SLACK_MS = 1500;

describe('a Redis under Sentinel', () => {
  let group: RedisSentinels;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeEach(async () => {
    group = await RedisSentinels.start();
    one = await startService(new RedisBackend(group.addresses), { backendTimeout: BUDGET_MS });
    two = await startService(new RedisBackend(group.addresses), { backendTimeout: BUDGET_MS }, one.clock);
  }, 60_000);

  afterEach(async () => {
    await one.close();
    await two.close();
    await group.stop();
  });

  const faults = [
    {
      what: 'whose master is killed',
      strike: async () => (await group.master()).server.kill(),
    },
    {
      what: 'whose master hangs, and a Sentinel with it',
      strike: async () => {
        (await group.master()).server.pause();
        group.sentinels[0]!.pause();
      },
    },
  ];

  it.each(faults)('$what: 503 within the budget, then the new master has every session', async ({ strike }) => {
    const made = await atOnce(6, (index) => one.sessions.createSession({ user: { userId: 'ann' }, data: { index } }));
    const [{ session, token }] = made as [(typeof made)[0]];
    // Each process has used its scripts, so that it takes them for known, which the new master's are not.
    await two.sessions.update(session.sessionId, () => undefined);
    const before = await group.master();
    await group.replicated(before);
    await strike();

    let failures = 0;
    await until('the session can be read again', async () => {
      const started = performance.now();
      const { errors } = await outcomes<unknown>([
        one.sessions.getSession(token),
        two.sessions.update(session.sessionId, () => undefined),
        two.sessions.getSession(token),
      ]);
      expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS);
      for (const error of errors) expect(error).toMatchObject({ status: 503 });
      failures += errors.length;
      return errors.length === 0;
    });

    expect(failures).toBeGreaterThan(0);
    expect(await group.master()).not.toBe(before);
    for (const [index, { token: theirs }] of made.entries()) {
      expect((await one.sessions.getSession(theirs)).data).toEqual({ index });
    }
    expect((await two.sessions.createSession({ user: { userId: 'ann' } })).token).toBeDefined();
    expect(await one.sessions.deleteUserSessions('ann')).toBe(7);
  });
});

describe('a Redis that refuses writes', () => {
  let redis: RedisServer;
  let admin: Redis;
  let client: Redis;
  let service: ServiceUnderTest;

  beforeEach(async () => {
    redis = await RedisServer.start();
    admin = await adminOf(redis.port);
    client = new Redis(redis.port, '127.0.0.1', sessionRedisOptions(BUDGET_MS));
    service = await startService(new RedisBackend(client), { backendTimeout: BUDGET_MS });
  });

  afterEach(async () => {
    await service.close();
    client.disconnect();
    admin.disconnect();
    await redis.stop();
  });

  const refusals = [
    {
      what: 'for want of replicas',
      begin: () => admin.config('SET', 'min-replicas-to-write', '1'),
      end: () => admin.config('SET', 'min-replicas-to-write', '0'),
    },
    {
      what: 'as it is a replica now',
      // A replica without a master: it keeps its data, and waits for a master that never comes.
      begin: () => admin.replicaof('127.0.0.1', 1),
      end: () => admin.replicaof('NO', 'ONE'),
    },
  ];

  it.each(refusals)('$what: a write and a logout are 503, never a success; reads go on', async ({ begin, end }) => {
    const { session, token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    await begin();
    for (const write of [
      () => service.sessions.createSession({ user: { userId: 'ann' } }),
      () => service.sessions.update(session.sessionId, ({ data }) => (data.lost = true)),
      () => service.sessions.deleteSession(session.sessionId),
      () => service.sessions.deleteUserSessions('ann'),
    ]) {
      await expect(write()).rejects.toMatchObject({ status: 503 });
      await until('reads go on', async () => {
        const { values, errors } = await outcomes([service.sessions.getSession(token)]);
        for (const error of errors) expect(error).toMatchObject({ status: 503 });
        return values.length === 1;
      });
    }
    await end();
    expect((await service.sessions.getSession(token)).data).toEqual({});
    expect((await service.sessions.update(session.sessionId, ({ data }) => (data.kept = true))).data.kept).toBe(true);
    expect(await service.sessions.deleteUserSessions('ann')).toBe(1);
  });

  it('as a replica: the client leaves the connection at once, to look for the master', async () => {
    const { session } = await service.sessions.createSession();
    await admin.replicaof('127.0.0.1', 1);
    const left = once(client, 'close', { signal: AbortSignal.timeout(BUDGET_MS + SLACK_MS) });
    await expect(service.sessions.update(session.sessionId, ({ data }) => (data.n = 1))).rejects.toMatchObject({
      status: 503,
    });
    await left;
  });
});

it('a client of replicas is refused: they may still have what was ended', async () => {
  const client = new Redis({
    ...sessionRedisOptions(1000),
    sentinels: [{ host: '127.0.0.1', port: 1 }],
    name: 'sessions',
    role: 'slave',
    lazyConnect: true,
  });
  await expect(startService(new RedisBackend(client))).rejects.toThrow(/role must be "master"/);
  client.disconnect();
});
