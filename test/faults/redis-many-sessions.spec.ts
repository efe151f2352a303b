import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { SessionNotFoundError, type IssuedSession, type SessionId, type UserTag } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { once } from 'node:events';

import { ScriptGate } from '../support/script-gate.js';
import { RedisServer } from '../support/redis-server.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

/** Several parts, of which a script works on one. */
const MANY = 900;
/** The most commands that a script may run, a few for each of some hundred sessions. */
const COMMANDS_OF_A_SCRIPT = 500;
/** For what must not fail: room for a loaded machine. */
const AMPLE_MS = 20_000;

describe('a user of Redis who has more sessions than one script looks at', () => {
  let redis: RedisServer;
  let observer: Redis;
  let gated: ScriptGate;
  let backend: RedisBackend;
  /** The process whose scripts can be stopped. */
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;
  let users = 0;
  let userId: string;
  let issued: IssuedSession[];

  beforeAll(async () => {
    redis = await RedisServer.start();
    observer = redis.client();
  });

  beforeEach(async () => {
    const options = { backendTimeout: AMPLE_MS, maxSessionsPerUser: null };
    gated = new ScriptGate(redis.port, AMPLE_MS);
    backend = new RedisBackend(gated.client);
    one = await startService(backend, options);
    two = await startService(new RedisBackend(redis.url), options, one.clock);
    userId = `user ${users++}`;
    issued = await atOnce(MANY, () => one.sessions.createSession({ user: { userId } }));
  });

  afterEach(async () => {
    gated.heal();
    await one.close();
    await two.close();
    gated.client.disconnect();
  });

  afterAll(async () => {
    await observer.quit();
    await redis.stop();
  });

  async function living(sessions: readonly IssuedSession[] = issued): Promise<IssuedSession[]> {
    const { values } = await outcomes(
      sessions.map(async (session) => {
        await two.sessions.getSession(session.token);
        return session;
      }),
    );
    return values;
  }

  async function listed(service = two): Promise<string[]> {
    return (await service.sessions.listUserSessions(userId)).map(({ sessionId }) => sessionId).sort();
  }

  function idsOf(sessions: readonly IssuedSession[]): string[] {
    return sessions.map(({ session }) => session.sessionId as string).sort();
  }

  /** All keys that Redis keeps of the user. */
  async function keys(): Promise<string[]> {
    return observer.keys(`session:{${issued[0]!.session.sessionId.slice(0, 16)}}*`);
  }

  /** A log-out everywhere that has moved the sessions away and ended some, and waits. */
  async function halfWay(options?: { except: SessionId }) {
    const arrived = gated.holdScripts(2);
    const count = one.sessions.deleteUserSessions(userId, options);
    await arrived;
    const left = await living();
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(MANY);
    return { count, left };
  }

  async function atWork() {
    const { count, left } = await halfWay();
    const end = () => {
      gated.heal();
      return count;
    };
    return { left, end };
  }

  /** A log-out everywhere that breaks off after it has ended some. */
  async function broken(): Promise<IssuedSession[]> {
    gated.loseScripts(2);
    await expect(one.sessions.deleteUserSessions(userId)).rejects.toMatchObject({ status: 503 });
    gated.heal();
    const left = await living();
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(MANY);
    return left;
  }

  it('is listed whole where sessions get new ids between two parts', async () => {
    const arrived = gated.holdScripts(2);
    const listing = backend.listByUser(issued[0]!.session.sessionId.slice(0, 16) as UserTag, { settles: true });
    await arrived;
    const renewed = await atOnce(200, async (index) => {
      const { session } = await two.sessions.regenerateSessionId(await two.sessions.getSession(issued[index]!.token));
      return session.sessionId;
    });
    gated.heal();
    const ids = (await listing).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(renewed));
  });

  it('is listed and logged out everywhere whole, and leaves no key behind', async () => {
    const other = await two.sessions.createSession({ user: { userId: 'bystander' } });
    expect(await listed()).toEqual(idsOf(issued));
    expect(await two.sessions.deleteUserSessions(userId)).toBe(MANY);
    expect(await living()).toEqual([]);
    expect(await keys()).toEqual([]);
    expect((await two.sessions.getSession(other.token)).user?.userId).toBe('bystander');
    const ended = two.events.filter((event) => event.type === 'ended' && event.reason === 'logout-everywhere');
    expect(ended).toHaveLength(MANY);
  });

  it('keeps the session that is to be kept, and its place in the index', async () => {
    const kept = issued[300]!.session.sessionId;
    expect(await two.sessions.deleteUserSessions(userId, { except: kept })).toBe(MANY - 1);
    expect(idsOf(await living())).toEqual([kept]);
    expect(await listed()).toEqual([kept]);
    expect((await keys()).length).toBe(2);
    const limited = await startService(new RedisBackend(redis.url), { maxSessionsPerUser: 2 }, two.clock);
    const later = [];
    for (let count = 0; count < 2; count++) {
      two.clock.advanceSeconds(1);
      later.push(await limited.sessions.createSession({ user: { userId } }));
    }
    // The least recently used one leaves.
    expect(await listed()).toEqual(idsOf(later));
    await limited.close();
    expect(await two.sessions.deleteUserSessions(userId)).toBe(2);
  });

  it('blocks Redis with no script for longer than some hundred sessions take', async () => {
    const limited = await startService(new RedisBackend(redis.url), {
      maxSessionsPerUser: 3,
      backendTimeout: AMPLE_MS,
    });
    const monitor = await observer.monitor();
    const commands: number[] = [];
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      if (source === 'lua') commands.push(commands.pop()! + 1);
      else commands.push(0);
    });
    await limited.sessions.createSession({ user: { userId } });
    await atOnce(MANY, () => two.sessions.createSession({ user: { userId } }));
    await listed();
    await two.sessions.deleteUserSessions(userId);
    const echoed = once(monitor, 'monitor');
    await observer.echo('the end');
    await echoed;
    monitor.disconnect();
    await limited.close();
    expect(commands.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(2 * MANY);
    expect(Math.max(...commands)).toBeLessThan(COMMANDS_OF_A_SCRIPT);
  });

  it('is logged in anew while a log-out everywhere is at work: the new session stays, and is listed', async () => {
    const { count, left } = await halfWay();
    const fresh = await two.sessions.createSession({ user: { userId } });
    expect(await listed()).toEqual([...idsOf(left), fresh.session.sessionId].sort());
    gated.heal();
    expect(await count).toBe(MANY);
    expect(idsOf(await living([...issued, fresh]))).toEqual([fresh.session.sessionId]);
    expect(await listed()).toEqual([fresh.session.sessionId]);
    expect(await two.sessions.deleteUserSessions(userId)).toBe(1);
  });

  it('has no session left that was renewed or changed while a log-out everywhere was at work', async () => {
    const { count, left } = await halfWay();
    two.clock.advanceSeconds(1800);
    await atOnce(left.length, (index) => two.sessions.renewSession(left[index]!.token));
    await two.sessions.update(left[0]!.session.sessionId, ({ data }) => {
      data.changed = true;
    });
    expect(await listed()).toEqual(idsOf(left));
    gated.heal();
    expect(await count).toBe(MANY);
    expect(await living()).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  it('has no session left that took the place of one while a log-out everywhere was at work', async () => {
    const { count, left } = await halfWay();
    const old = await two.sessions.getSession(left[0]!.token);
    const { session, token } = await two.sessions.regenerateSessionId(old);
    expect(await listed()).toContain(session.sessionId);
    gated.heal();
    expect(await count).toBe(MANY);
    await expect(two.sessions.getSession(token!)).rejects.toThrow(SessionNotFoundError);
    expect(await keys()).toEqual([]);
  });

  it('is counted truly by two log-outs everywhere at once', async () => {
    const { count } = await halfWay();
    const other = await two.sessions.deleteUserSessions(userId);
    gated.heal();
    expect((await count) + other).toBe(MANY);
    expect(await keys()).toEqual([]);
  });

  it('is logged out by a call that follows one that broke off', async () => {
    const left = await broken();
    expect(await listed()).toEqual(idsOf(left));
    const fresh = await two.sessions.createSession({ user: { userId } });
    expect(await two.sessions.deleteUserSessions(userId)).toBe(left.length + 1);
    expect(await living([...issued, fresh])).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  it.each(['is at work', 'broke off'])('keeps none that a log-out everywhere which %s was to end', async (state) => {
    const { left, end } = state === 'broke off' ? { left: await broken(), end: () => null } : await atWork();
    const fresh = await two.sessions.createSession({ user: { userId } });
    const [{ session: spared }] = left as [IssuedSession];
    await two.sessions.deleteUserSessions(userId, { except: spared.sessionId });
    await end();
    expect(await living([...issued, fresh])).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  it('keeps the one that each of two log-outs everywhere spares, if it is the same', async () => {
    const kept = issued[300]!.session.sessionId;
    const { count } = await halfWay({ except: kept });
    const other = await two.sessions.deleteUserSessions(userId, { except: kept });
    gated.heal();
    expect((await count) + other).toBe(MANY - 1);
    expect(idsOf(await living())).toEqual([kept]);
    expect(await listed()).toEqual([kept]);
  });

  it.each([
    { max: MANY, onSessionLimit: 'evict-oldest', grace: 0 },
    { max: MANY, onSessionLimit: 'evict-oldest', grace: 10 },
    { max: MANY, onSessionLimit: 'reject', grace: 0 },
    { max: 300, onSessionLimit: 'evict-oldest', grace: 0 },
    { max: 300, onSessionLimit: 'evict-oldest', grace: 10 },
    { max: 1, onSessionLimit: 'evict-oldest', grace: 0 },
  ] as const)(
    'has no session left that got a new id while a log-out everywhere was at work, at a limit of $max ($onSessionLimit), with a grace of $grace',
    async ({ max, onSessionLimit, grace }) => {
      const options = { maxSessionsPerUser: max, onSessionLimit, backendTimeout: AMPLE_MS };
      const limited = await startService(new RedisBackend(redis.url), options, two.clock);
      const { count, left } = await halfWay();
      const old = await limited.sessions.getSession(left.at(-1)!.token);
      const renewed = await limited.sessions.regenerateSessionId(old, { grace }).catch(() => null);
      gated.heal();
      const ended = await count;
      expect(await living([...issued, ...(renewed === null ? [] : [renewed as IssuedSession])])).toEqual([]);
      expect(await listed()).toEqual([]);
      const evicted = limited.events.filter((event) => event.type === 'ended' && event.reason === 'evicted-by-limit');
      expect(ended + evicted.length).toBe(MANY);
      await limited.close();
    },
  );

  it('goes on with what a log-out everywhere that broke off has left: each session can be used, changed and ended', async () => {
    const [first, second, third] = (await broken()) as [IssuedSession, IssuedSession, IssuedSession];
    await two.sessions.update(first.session.sessionId, ({ data }) => {
      data.changed = true;
    });
    expect((await two.sessions.getSession(first.token)).data).toEqual({ changed: true });
    expect(await two.sessions.deleteSession(second.session.sessionId)).toBe(true);
    expect(await two.sessions.invalidateSession(await two.sessions.getSession(third.token))).toBe(true);
    const ids = await listed();
    expect(ids).toContain(first.session.sessionId);
    expect(ids).not.toContain(second.session.sessionId);
    expect(ids).not.toContain(third.session.sessionId);
    expect(await two.sessions.deleteUserSessions(userId)).toBe(ids.length);
    await expect(two.sessions.getSession(third.token)).rejects.toMatchObject({ status: 401 });
  });

  it.each(['evict-oldest', 'reject'] as const)(
    'has no more sessions than the limit (%s) by the login that follows a log-out everywhere that broke off',
    async (onSessionLimit) => {
      const left = await broken();
      const options = { maxSessionsPerUser: 3, onSessionLimit, backendTimeout: AMPLE_MS };
      const limited = await startService(new RedisBackend(redis.url), options, two.clock);
      const fresh = await limited.sessions.createSession({ user: { userId } });
      expect(idsOf(await living([...left, fresh]))).toEqual([fresh.session.sessionId]);
      await limited.close();
    },
  );

  it('loses nobody to a renewal that outlives what was moved away', async () => {
    const [first] = (await broken()) as [IssuedSession];
    const tag = first.session.sessionId.slice(0, 16);
    two.clock.advanceSeconds(60);
    await two.sessions.renewSession(first.token);
    // As when all others have expired.
    await observer.pexpire(`session:{${tag}}:ending`, 1);
    while ((await observer.exists(`session:{${tag}}:ending`)) > 0) expect(await observer.ping()).toBe('PONG');
    expect(await listed()).toEqual([first.session.sessionId]);
    expect(await two.sessions.deleteUserSessions(userId)).toBe(1);
  });

  it('keeps the index as long as what was moved away', async () => {
    await broken();
    const index = `session:{${issued[0]!.session.sessionId.slice(0, 16)}}`;
    const [indexTtl, endingTtl] = [await observer.pttl(index), await observer.pttl(`${index}:ending`)];
    expect(endingTtl).toBeGreaterThan(0);
    // Asked for one after the other.
    expect(indexTtl).toBeGreaterThanOrEqual(endingTtl - 1);
  });
});
