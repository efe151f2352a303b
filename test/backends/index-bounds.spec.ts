import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import type { IssuedSession, Session, SessionRecord } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { FakeClock } from 'nestjs-sessionx/testing';
import { randomBytes } from 'node:crypto';

import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

/** Real milliseconds: Redis drops an expired record by its own clock, and the index gives a session up when its record has left. */
const TTL_S = 0.001;
const LOGINS = 300;
/** More than one script looks at. */
const LOST = 600;
/** For what must not fail: room for a loaded machine. */
const AMPLE_MS = 10_000;

describe('the index of a user in Redis goes with their last session, not before and not later', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
  });

  afterAll(() => redis.stop());

  /** What takes the place of a user's only session. */
  it.each<[string, (service: ServiceUnderTest, issued: IssuedSession) => Promise<unknown>]>([
    ['another login', ({ sessions }) => sessions.createSession({ user: { userId: 'ann' } })],
    ['a new id', ({ sessions }, { session }) => sessions.regenerateSessionId(session)],
    ['a new id with a grace', ({ sessions }, { session }) => sessions.regenerateSessionId(session, { grace: 10 })],
    ['a renewal', ({ sessions, clock }, { token }) => (clock.advanceSeconds(60), sessions.renewSession(token))],
    [
      'a renewal when it has lost its lifetime, as a copy into another Redis may',
      async ({ sessions, clock }, { session, token }) => {
        await observerOf(session, async (client, key, index) => [
          await client.persist(key),
          await client.persist(index),
        ]);
        clock.advanceSeconds(60);
        await sessions.renewSession(token);
      },
    ],
    [
      'a login when its record has gone',
      async ({ sessions, clock }, { session }) => {
        await observerOf(session, async (client, key) => client.del(key));
        clock.advanceSeconds(7200);
        await sessions.createSession({ user: { userId: 'ann' } });
      },
    ],
  ])('after %s', async (_, act) => {
    for (const limit of [null, 1]) {
      const service = await startService(new RedisBackend(redis.url), { sessionTtl: 3600, maxSessionsPerUser: limit });
      const issued = await service.sessions.createSession({ user: { userId: 'ann' } });
      await act(service, issued);
      const living = await service.sessions.listUserSessions('ann');
      await observerOf(living[0]!, async (client, key, index) => {
        const [indexMs, recordMs] = [await client.pttl(index), await client.pttl(key)];
        expect(recordMs).toBeGreaterThan(3_500_000);
        // Asked for one after the other.
        expect(indexMs).toBeGreaterThanOrEqual(recordMs - 1);
        expect(indexMs).toBeLessThanOrEqual(3_660_000);
      });
      await service.sessions.deleteUserSessions('ann');
      await service.close();
    }
  });

  it('and a use of a session that it has lost does not make it anew', async () => {
    const backend = new RedisBackend(redis.url);
    const service = await startService(backend);
    const { session } = await service.sessions.createSession({ user: { userId: 'ann' } });
    const expiresAt = session.expiresAt.getTime();
    await observerOf(session, async (client, _key, index) => {
      await client.del(index);
      expect(await backend.touch(session.sessionId, { lastAccessed: service.clock.now() + 1000, expiresAt })).toBe(
        true,
      );
      expect(await client.exists(index)).toBe(0);
    });
    await service.close();
  });

  it('and a session whose record has gone leaves it with a deletion, and takes no place of a limit', async () => {
    const backend = new RedisBackend(redis.url);
    const service = await startService(backend, { maxSessionsPerUser: null });
    const user = { userId: 'ann' };
    const short = await service.sessions.createSession({ user, ttl: 1 });
    const lost = await service.sessions.createSession({ user });
    await service.sessions.createSession({ user });
    await service.sessions.createSession({ user });
    for (const one of [short, lost]) await observerOf(one.session, (client, key) => client.del(key));
    expect(await backend.delete(lost.session.sessionId)).toBe('missing');
    await observerOf(short.session, async (client, _key, index) => expect(await client.zcard(index)).toBe(6));

    service.clock.advanceSeconds(2);
    const limited = await startService(new RedisBackend(redis.url), { maxSessionsPerUser: 2 }, service.clock);
    const { session: last } = await limited.sessions.createSession({ user });
    expect(await limited.sessions.listUserSessions('ann')).toHaveLength(2);
    await observerOf(last, async (client, key, index) => {
      await client.del(key);
      await limited.sessions.deleteUserSessions('ann');
      expect(await client.exists(index)).toBe(0);
    });
    await limited.close();
    await service.close();
  });

  it.each<{
    when: string;
    max: number;
    onSessionLimit: 'evict-oldest' | 'reject';
    usedMs: number;
    act: (service: ServiceUnderTest, old: Session) => Promise<unknown>;
  }>([
    { when: 'a login', max: 3, onSessionLimit: 'evict-oldest', usedMs: -1, act: logIn },
    { when: 'a login', max: 3, onSessionLimit: 'reject', usedMs: -1, act: logIn },
    { when: 'a login, though others were used before', max: 3, onSessionLimit: 'reject', usedMs: 1, act: logIn },
    {
      when: 'a new id of the session that was used before all others',
      max: 2,
      onSessionLimit: 'evict-oldest',
      usedMs: 1,
      act: ({ sessions }, old) => sessions.regenerateSessionId(old),
    },
  ])(
    'and hundreds whose records have gone leave it with $when, and none that lives ($onSessionLimit)',
    async (given) => {
      const { max: maxSessionsPerUser, onSessionLimit, usedMs, act } = given;
      const options = { maxSessionsPerUser, onSessionLimit, backendTimeout: AMPLE_MS };
      const service = await startService(new RedisBackend(redis.url), options);
      const { session: old } = await service.sessions.createSession({ user: { userId: 'ann' } });
      const usedAt = service.clock.now() + usedMs;
      service.clock.advance(10);
      const { session: latest } = await service.sessions.createSession({ user: { userId: 'ann' } });
      await observerOf(latest, async (client, _key, index) => {
        const gone = Array.from({ length: LOST }, () => randomBytes(32).toString('base64url'));
        const entries = gone.flatMap((member) => [old.expiresAt.getTime(), member, 1e14 + usedAt, `~${member}`]);
        await client.zadd(index, ...entries);
        await act(service, old);
        expect(await service.sessions.listUserSessions('ann')).toHaveLength(maxSessionsPerUser);
        expect(await client.zcard(index)).toBe(2 * maxSessionsPerUser);
      });
      await service.sessions.deleteUserSessions('ann');
      await service.close();
    },
  );

  it('and each record and alias with its own expiry', async () => {
    const clock = new FakeClock();
    const backend = new RedisBackend(redis.url);
    const note = () => undefined;
    await backend.open({
      clock,
      keyPrefix: 'session:',
      timeoutMs: 1000,
      logger: { log: note, warn: note, error: note },
    });
    const record = (letter: string, lifetimeMs: number) =>
      ({
        id: `${'a'.repeat(16)}${letter.repeat(42)}A` as SessionRecord['id'],
        version: 1,
        status: 'active',
        userTag: 'a'.repeat(16) as SessionRecord['userTag'],
        lastAccessed: clock.now(),
        expiresAt: clock.now() + lifetimeMs,
        payload: '{}',
      }) satisfies SessionRecord;
    const [old, fresh] = [record('b', 30_000), record('c', 60_000)];
    const alias: SessionRecord = {
      ...old,
      version: 2,
      status: 'alias',
      userTag: null,
      expiresAt: clock.now() + 90_000,
    };
    await backend.create(old, { timeoutMs: 1000 });
    await backend.create(fresh, { timeoutMs: 1000, replaces: { id: old.id, version: 1, alias } });
    await backend.close();

    for (const [{ id }, lifetimeMs] of [
      [alias, 90_000],
      [fresh, 60_000],
    ] as const) {
      await observerOf({ sessionId: id }, async (client, key) => {
        const leftMs = await client.pttl(key);
        expect(leftMs).toBeLessThanOrEqual(lifetimeMs);
        expect(leftMs).toBeGreaterThan(lifetimeMs - 20_000);
      });
    }
  });

  function logIn({ sessions }: ServiceUnderTest): Promise<unknown> {
    return sessions.createSession({ user: { userId: 'ann' } });
  }

  async function observerOf(
    { sessionId }: { readonly sessionId: string },
    look: (client: Redis, key: string, index: string) => Promise<unknown>,
  ): Promise<void> {
    const client = redis.client();
    const index = `session:{${sessionId.slice(0, 16)}}`;
    await look(client, index + sessionId.slice(16), index);
    await client.quit();
  }
});

describe('the index of a user who logs in again and again, and whose sessions expire, does not grow', () => {
  let redis: RedisServer;
  let memcached: MemcachedServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
    memcached = await MemcachedServer.start();
  });

  afterAll(async () => {
    await redis.stop();
    await memcached.stop();
  });

  async function logInAgainAndAgain(service: Awaited<ReturnType<typeof startService>>): Promise<string> {
    const kept = await service.sessions.createSession({ user: { userId: 'ann' } });
    for (let login = 0; login < LOGINS; login++) {
      await service.sessions.createSession({ user: { userId: 'ann' }, ttl: TTL_S });
      service.clock.advance(1);
    }
    return kept.session.sessionId.slice(0, 16);
  }

  it('in Redis', async () => {
    const service = await startService(new RedisBackend(redis.url), { maxSessionsPerUser: null });
    const observer = redis.client();
    const tag = await logInAgainAndAgain(service);
    // By the logins alone, as an application may never list.
    expect(await observer.zcard(`session:{${tag}}`)).toBeLessThan(LOGINS);
    while ((await observer.dbsize()) > 2) expect(await service.sessions.listUserSessions('ann')).toHaveLength(1);
    await service.sessions.listUserSessions('ann');
    // By its expiry and by its use.
    expect(await observer.zcard(`session:{${tag}}`)).toBe(2);
    await observer.quit();
    await service.close();
  });

  it('in Memcached', async () => {
    const service = await startService(new MemcachedBackend({ servers: memcached.address }));
    const observer = memcached.client();
    const tag = await logInAgainAndAgain(service);
    expect(await service.sessions.listUserSessions('ann')).toHaveLength(1);
    const { value } = await observer.get(`session:${tag}`);
    // A line that says whose it is, the session that lives, and the last one, which has expired since.
    expect(String(value).trimEnd().split('\n')).toHaveLength(3);
    observer.close();
    await service.close();
  });
});
