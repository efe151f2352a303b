import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  MemoryBackend,
  SessionBackendError,
  SessionConflictError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionUsageError,
  type RegenerateOptions,
  type Session,
} from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import type { BarrierBackend } from '../support/barrier-backend.js';
import {
  atOnce,
  outcomes,
  startService,
  startTwo,
  type ServiceUnderTest,
  type TwoInstances,
} from '../support/services.js';

const GRACE = { grace: 10 };

describe.each(everyBackend())('a new id with a grace, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;
  let users = 0;
  let userId: string;

  beforeAll(async () => {
    instances = await startTwo(store);
    ({ barrier, one, two } = instances);
  });

  beforeEach(() => {
    userId = `user ${++users}`;
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => instances.stop());

  /** A session that has got a new id on the first instance. */
  async function renamed(options: { user?: { userId: string } | null } = {}) {
    const { token: oldToken, session } = await one.sessions.createSession({
      user: options.user === undefined ? { userId } : options.user,
      data: { a: 1 },
    });
    const oldId = session.sessionId;
    const { token, session: fresh } = await one.sessions.regenerateSessionId(
      await one.sessions.getSession(oldToken),
      GRACE,
    );
    return { oldToken, oldId, token: token!, fresh };
  }

  async function expectEnded(...tokens: string[]): Promise<void> {
    for (const token of tokens) {
      for (const { sessions } of [one, two])
        await expect(sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    }
  }

  describe.each(['of a user', 'of a guest'])('for a session %s', (kind) => {
    const owner = () => (kind === 'of a user' ? { userId } : null);

    it('serves the old token with the same session, to the millisecond, and not afterwards', async () => {
      const { oldToken, oldId, token, fresh } = await renamed({ user: owner() });
      one.clock.advance(9_999);
      for (const { sessions } of [one, two]) {
        const byOld = await sessions.getSession(oldToken);
        expect(byOld.sessionId).toBe(fresh.sessionId);
        expect(byOld.sessionId).not.toBe(oldId);
        expect(byOld.data).toEqual({ a: 1 });
      }
      one.clock.advance(1);
      await expect(two.sessions.getSession(oldToken)).rejects.toMatchObject({
        status: 401,
        code: 'SESSION_ID_REPLACED',
      });
      expect((await two.sessions.getSession(token)).data).toEqual({ a: 1 });
    });

    it('lets both tokens change the same record, in either direction', async () => {
      const { oldToken, token } = await renamed({ user: owner() });
      const byOld = await two.sessions.getSession(oldToken);
      const byNew = await one.sessions.getSession(token);
      byOld.data.old = 1;
      byNew.data.new = 1;
      await Promise.all([two.sessions.updateSession(byOld), one.sessions.updateSession(byNew)]);
      expect((await two.sessions.getSession(oldToken)).data).toEqual({ a: 1, old: 1, new: 1 });
    });

    it('puts a change that was under way under the old id into the session', async () => {
      const { token: oldToken } = await one.sessions.createSession({ user: owner(), data: { a: 1 } });
      const late = await one.sessions.getSession(oldToken);
      late.data.late = true;
      const write = barrier.stopNext('replace');
      const commit = one.sessions.updateSession(late);
      await write.arrived;
      const { token } = await two.sessions.regenerateSessionId(await two.sessions.getSession(oldToken), GRACE);
      write.letGo();
      await commit;
      expect((await two.sessions.getSession(token!)).data).toEqual({ a: 1, late: true });
      late.data.again = true;
      await one.sessions.updateSession(late);
      expect((await two.sessions.getSession(token!)).data).toEqual({ a: 1, late: true, again: true });
    });

    it('takes a change along that was stored before the new id was', async () => {
      const { token: oldToken } = await one.sessions.createSession({ user: owner(), data: { a: 1 } });
      const create = barrier.stopNext('create');
      const regeneration = one.sessions.regenerateSessionId(await one.sessions.getSession(oldToken), GRACE);
      await create.arrived;
      const other = await two.sessions.getSession(oldToken);
      other.data.b = 2;
      await two.sessions.updateSession(other);
      create.letGo();
      const { token } = await regeneration;
      for (const text of [oldToken, token!]) expect((await two.sessions.getSession(text)).data).toEqual({ a: 1, b: 2 });
    });

    it('refuses a change under the old id that comes after the grace', async () => {
      const { token: oldToken } = await one.sessions.createSession({ user: owner(), data: { a: 1 } });
      const late = await two.sessions.getSession(oldToken);
      late.data.late = true;
      const { token } = await one.sessions.regenerateSessionId(await one.sessions.getSession(oldToken), GRACE);
      one.clock.advanceSeconds(10);
      await expect(two.sessions.updateSession(late)).rejects.toMatchObject({ code: 'SESSION_ENDED' });
      await expect(two.sessions.update(late.sessionId, () => undefined)).rejects.toThrow(SessionNotFoundError);
      expect((await one.sessions.getSession(token!)).data).toEqual({ a: 1 });
    });

    const endings: [string, (ids: { oldId: string; newId: string; held: Session }) => Promise<unknown>][] = [
      ['deleteSession by the old id', ({ oldId }) => two.sessions.deleteSession(oldId)],
      ['deleteSession by the new id', ({ newId }) => two.sessions.deleteSession(newId)],
      ['deleteSession of an object under the old id', ({ held }) => two.sessions.deleteSession(held)],
      ['invalidateSession of an object under the old id', ({ held }) => two.sessions.invalidateSession(held)],
    ];

    it.each(endings)('dies with %s, within the grace and after it', async (_how, end) => {
      for (const seconds of [5, 15]) {
        const { token: oldToken, session } = await one.sessions.createSession({ user: owner() });
        const held = await two.sessions.getSession(oldToken);
        const { token, session: fresh } = await one.sessions.regenerateSessionId(session, GRACE);
        one.clock.advanceSeconds(seconds);
        expect(await end({ oldId: held.sessionId, newId: fresh.sessionId, held })).toBe(true);
        const ended = { type: 'ended', sessionId: fresh.sessionId, userId: owner()?.userId ?? null };
        expect(two.events.at(-1)).toMatchObject(ended);
        await expectEnded(oldToken, token!);
      }
    });

    it('dies with a new id without a grace, and with one after another', async () => {
      const { oldToken, token } = await renamed({ user: owner() });
      const { token: third } = await one.sessions.regenerateSessionId(await one.sessions.getSession(token), GRACE);
      expect((await two.sessions.getSession(oldToken)).data).toEqual({ a: 1 });
      const { token: last } = await one.sessions.regenerateSessionId(await one.sessions.getSession(third!));
      await expectEnded(oldToken, token, third!);
      expect((await two.sessions.getSession(last!)).data).toEqual({ a: 1 });
    });

    it('follows one alias after the other, each as long as it lives', async () => {
      const { oldToken, token } = await renamed({ user: owner() });
      one.clock.advanceSeconds(5);
      await one.sessions.regenerateSessionId(await one.sessions.getSession(token), { grace: 2 });
      expect((await two.sessions.getSession(oldToken)).data).toEqual({ a: 1 });
      one.clock.advanceSeconds(2);
      // Its own grace is not over, but that of the id to which it leads.
      await expectEnded(oldToken, token);
    });

    it('ends with its own grace, also if the next id has a longer one', async () => {
      const { oldToken, token } = await renamed({ user: owner() });
      await one.sessions.regenerateSessionId(await one.sessions.getSession(token), { grace: 300 });
      one.clock.advanceSeconds(10);
      await expectEnded(oldToken);
      expect((await two.sessions.getSession(token)).data).toEqual({ a: 1 });
    });

    it('is reported when the old id is used after the grace', async () => {
      const { oldToken, oldId, fresh } = await renamed({ user: owner() });
      one.clock.advanceSeconds(11);
      const before = two.events.length;
      await expect(two.sessions.getSession(oldToken, { ipAddress: '192.0.2.1', userAgent: 'thief' })).rejects.toThrow(
        SessionNotFoundError,
      );
      expect(two.events.slice(before)).toEqual([
        {
          type: 'reused',
          sessionId: fresh.sessionId,
          previousSessionId: oldId,
          userId: owner() === null ? null : userId,
          ipAddress: '192.0.2.1',
          userAgent: 'thief',
          onReuse: 'ignore',
          at: one.clock.now(),
        },
        expect.objectContaining({ type: 'rejected', reason: 'SESSION_ID_REPLACED', sessionId: oldId }),
      ]);
    });

    it('is not reported within the grace, nor when the session has ended', async () => {
      const { oldToken, fresh } = await renamed({ user: owner() });
      const before = two.events.length;
      await two.sessions.getSession(oldToken);
      await one.sessions.deleteSession(fresh.sessionId);
      one.clock.advanceSeconds(11);
      await expect(two.sessions.getSession(oldToken)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
      expect(two.events.slice(before).map(({ type }) => type)).toEqual(['rejected']);
    });

    it('of two new ids at once one wins, and the other conflicts; its holder is served by the old id', async () => {
      const { token: oldToken } = await one.sessions.createSession({ user: owner(), data: { a: 1 } });
      const holders = [await one.sessions.getSession(oldToken), await two.sessions.getSession(oldToken)] as const;
      const create = barrier.stopNext('create');
      const slow = one.sessions.regenerateSessionId(holders[0], GRACE);
      await create.arrived;
      const { token } = await two.sessions.regenerateSessionId(holders[1], GRACE);
      create.letGo();
      await expect(slow).rejects.toThrow(SessionConflictError);
      for (const text of [oldToken, token!]) expect((await one.sessions.getSession(text)).data).toEqual({ a: 1 });
    });

    it('gives no token to a client that comes by the old id', async () => {
      const { oldToken, token } = await renamed({ user: owner() });
      const byOld = await two.sessions.getSession(oldToken);
      await expect(two.sessions.regenerateSessionId(byOld, GRACE)).rejects.toThrow(SessionConflictError);
      await expect(two.sessions.regenerateSessionId(byOld)).rejects.toThrow(SessionConflictError);
      await expect(two.sessions.renewSession(oldToken)).rejects.toThrow(SessionConflictError);
      expect((await two.sessions.getSession(token)).data).toEqual({ a: 1 });
    });
  });

  it('is on no list, and counts for no limit', async () => {
    const { fresh } = await renamed();
    expect((await two.sessions.listUserSessions(userId)).map(({ sessionId }) => sessionId)).toEqual([fresh.sessionId]);
    expect(await two.sessions.deleteUserSessions(userId)).toBe(1);
  });

  it('dies with a log-out everywhere', async () => {
    const { oldToken, token } = await renamed();
    await two.sessions.deleteUserSessions(userId);
    await expectEnded(oldToken, token);
  });

  it('dies when the session is invalidated, and says so', async () => {
    const { oldToken, fresh } = await renamed();
    await two.sessions.invalidateSession(fresh);
    await expect(two.sessions.getSession(oldToken)).rejects.toThrow(SessionInvalidError);
  });

  it('is not reported after the grace when the session was invalidated', async () => {
    const { oldToken, fresh } = await renamed();
    await two.sessions.invalidateSession(fresh);
    one.clock.advanceSeconds(11);
    const before = two.events.length;
    await expect(two.sessions.getSession(oldToken)).rejects.toMatchObject({ code: 'SESSION_INVALIDATED' });
    expect(two.events.slice(before).map(({ type }) => type)).toEqual(['rejected']);
  });

  it('a log-out everywhere that is faster than the new id leaves neither', async () => {
    const { token: oldToken } = await one.sessions.createSession({ user: { userId } });
    const create = barrier.stopNext('create');
    const regeneration = one.sessions.regenerateSessionId(await one.sessions.getSession(oldToken), GRACE);
    await create.arrived;
    expect(await two.sessions.deleteUserSessions(userId)).toBe(1);
    create.letGo();
    await expect(regeneration).rejects.toThrow(SessionConflictError);
    await expectEnded(oldToken);
    expect(await two.sessions.listUserSessions(userId)).toEqual([]);
  });

  it('a logout that is slower than the new id ends it', async () => {
    const { token: oldToken, session } = await one.sessions.createSession({ user: { userId } });
    const stopped = barrier.stopNext('delete');
    const logout = one.sessions.deleteSession(session);
    await stopped.arrived;
    const { token } = await two.sessions.regenerateSessionId(await two.sessions.getSession(oldToken), GRACE);
    stopped.letGo();
    expect(await logout).toBe(true);
    await expectEnded(oldToken, token!);
  });

  it('in any order with a logout and a log-out everywhere, nothing lives afterwards that was not created anew', async () => {
    for (let round = 0; round < 10; round++) {
      const { token: oldToken } = await one.sessions.createSession({ user: { userId } });
      const held = await two.sessions.getSession(oldToken);
      const { values } = await outcomes<unknown>([
        one.sessions.regenerateSessionId(await one.sessions.getSession(oldToken), GRACE),
        round % 2 === 0 ? two.sessions.deleteSession(held) : two.sessions.deleteUserSessions(userId),
      ]);
      for (const value of values) {
        if (typeof value === 'object') await expectEnded((value as { token: string }).token);
      }
      await expectEnded(oldToken);
      expect(await two.sessions.listUserSessions(userId)).toEqual([]);
    }
  });

  it('10 readers around it: none is refused', async () => {
    for (let round = 0; round < 10; round++) {
      const { token } = await one.sessions.createSession({ user: { userId }, data: { round } });
      const holder = await one.sessions.getSession(token);
      const readers = atOnce(10, (index) => (index % 2 === 0 ? one : two).sessions.getSession(token));
      const regeneration = one.sessions.regenerateSessionId(holder, GRACE);
      const later = atOnce(10, (index) => (index % 2 === 0 ? one : two).sessions.getSession(token));
      for (const { data } of [...(await readers), ...(await later)]) expect(data).toEqual({ round });
      await regeneration;
    }
  });

  it('costs two reads by the old id, one by the new one', async () => {
    const { oldToken, token } = await renamed();
    const before = barrier.total;
    await one.sessions.getSession(token);
    expect(barrier.total - before).toBe(1);
    await one.sessions.getSession(oldToken);
    expect(barrier.total - before).toBe(3);
  });

  it('is unknown, not refused, when the store fails at either read', async () => {
    const { oldToken } = await renamed();
    const first = barrier.stopNext('read');
    const reading = one.sessions.getSession(oldToken);
    await first.arrived;
    const second = barrier.stopNext('read');
    first.letGo();
    await second.arrived;
    barrier.fail('read');
    second.letGo();
    await expect(reading).rejects.toThrow(SessionBackendError);
    await expect(one.sessions.getSession(oldToken)).rejects.toThrow(SessionBackendError);
    barrier.heal();
    expect((await one.sessions.getSession(oldToken)).data).toEqual({ a: 1 });
  });

  it('goes on when only the response of the store was lost', async () => {
    const { token: oldToken } = await one.sessions.createSession({ user: { userId }, data: { a: 1 } });
    const holder = await one.sessions.getSession(oldToken);
    const restore = loseResponseOfCreate(barrier);
    const { token } = await one.sessions.regenerateSessionId(holder, GRACE);
    restore();
    for (const text of [oldToken, token!]) expect((await two.sessions.getSession(text)).data).toEqual({ a: 1 });
  });

  it.each([1, 2])(
    'goes on when the connection was lost with the response, and %i reads come before it is back',
    async (fails) => {
      const { token: oldToken } = await one.sessions.createSession({ user: { userId }, data: { a: 1 } });
      const holder = await one.sessions.getSession(oldToken);
      const restore = loseResponseOfCreate(barrier);
      const { backend } = barrier;
      const read = backend.read.bind(backend);
      let reads = 0;
      backend.read = (...args) => (++reads <= fails ? Promise.reject(new Error('not connected')) : read(...args));
      try {
        const { token } = await one.sessions.regenerateSessionId(holder, GRACE);
        expect((await two.sessions.getSession(token!)).data).toEqual({ a: 1 });
      } finally {
        Reflect.deleteProperty(backend, 'read');
        restore();
      }
    },
  );

  it('an outcome that is unknown is a 503 where another new id of the same time has been stored', async () => {
    const { token: oldToken } = await one.sessions.createSession({ user: { userId }, data: { a: 1 } });
    const [holder, other] = [await one.sessions.getSession(oldToken), await two.sessions.getSession(oldToken)];
    const create = barrier.stopNext('create');
    const slow = one.sessions.regenerateSessionId(holder, GRACE);
    await create.arrived;
    const { token } = await two.sessions.regenerateSessionId(other, GRACE);
    barrier.fail('create');
    create.letGo();
    await expect(slow).rejects.toThrow(SessionBackendError);
    for (const text of [oldToken, token!]) expect((await two.sessions.getSession(text)).data).toEqual({ a: 1 });
  });

  it('is not confirmed after a lost response when the session has ended since', async () => {
    const { token: oldToken, session } = await one.sessions.createSession({ user: { userId }, data: { a: 1 } });
    const holder = await one.sessions.getSession(oldToken);
    const restore = loseResponseOfCreate(barrier);
    const alias = barrier.stopNext('read');
    const renewal = one.sessions.regenerateSessionId(holder, GRACE);
    await alias.arrived;
    const fresh = barrier.stopNext('read');
    alias.letGo();
    await fresh.arrived;
    expect(await two.sessions.deleteSession(session.sessionId)).toBe(true);
    fresh.letGo();
    await expect(renewal).rejects.toThrow(SessionBackendError);
    restore();
  });

  it('an outcome that stays unknown is a 503, and leaves the client a session', async () => {
    const { token: oldToken } = await one.sessions.createSession({ user: { userId }, data: { a: 1 } });
    const holder = await one.sessions.getSession(oldToken);
    const restore = loseResponseOfCreate(barrier);
    barrier.fail('read');
    await expect(one.sessions.regenerateSessionId(holder, GRACE)).rejects.toThrow(SessionBackendError);
    barrier.heal();
    restore();
    expect((await two.sessions.getSession(oldToken)).data).toEqual({ a: 1 });
  });

  it('keeps creation time and absolute end', async () => {
    const { session, token: oldToken } = await one.sessions.createSession({ user: { userId }, absoluteTimeout: 4000 });
    one.clock.advanceSeconds(1800);
    const { session: fresh } = await one.sessions.regenerateSessionId(await one.sessions.getSession(oldToken), GRACE);
    expect(fresh.createdAt).toEqual(session.createdAt);
    one.clock.advanceSeconds(2199);
    await one.sessions.update(fresh.sessionId, () => undefined);
  });

  const wrong: [string, unknown][] = [
    ['a negative number', { grace: -1 }],
    ['more than 300 seconds', { grace: 300.001 }],
    ['NaN', { grace: NaN }],
    ['Infinity', { grace: Infinity }],
    ['a string', { grace: '10' }],
    ['a bigint', { grace: 10n }],
    ['a number in place of the options', 10],
    ['null in place of the options', null],
    ['an array in place of the options', [10]],
  ];

  it.each(wrong)('refuses %s, and the session stays as it is', async (_what, options) => {
    const { session, token } = await one.sessions.createSession({ user: { userId } });
    const call = one.sessions.regenerateSessionId(session, options as RegenerateOptions);
    await expect(call).rejects.toThrow(SessionUsageError);
    expect((await one.sessions.getSession(token)).sessionId).toBe(session.sessionId);
  });

  it.each([0, undefined])('a grace of %s is none', async (grace) => {
    const { session, token: oldToken } = await one.sessions.createSession({ user: { userId } });
    await one.sessions.regenerateSessionId(session, grace === undefined ? {} : { grace });
    await expect(two.sessions.getSession(oldToken)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  it.each([0.5, 300])('takes a grace of %s seconds', async (grace) => {
    const { session, token: oldToken } = await one.sessions.createSession({ user: { userId } });
    await one.sessions.regenerateSessionId(session, { grace });
    one.clock.advance(grace * 1000 - 1);
    await two.sessions.getSession(oldToken);
    one.clock.advance(1);
    await expectEnded(oldToken);
  });
});

describe('a late use of an old id, with onReuse', () => {
  it.each(['end-session', 'end-user-sessions'] as const)('%s', async (onReuse) => {
    const service = await startService(new MemoryBackend(), { onReuse });
    const { sessions, clock, events } = service;
    const user = { userId: 'ann' };
    const { token: oldToken, session } = await sessions.createSession({ user });
    const { token: other } = await sessions.createSession({ user });
    const { token } = await sessions.regenerateSessionId(session, GRACE);
    clock.advanceSeconds(11);
    await expect(sessions.getSession(oldToken)).rejects.toMatchObject({ status: 401 });
    await expect(sessions.getSession(token!)).rejects.toMatchObject({ status: 401 });
    const ended = events.filter(({ type }) => type === 'ended');
    expect(ended).toHaveLength(onReuse === 'end-session' ? 1 : 2);
    for (const event of ended) expect(event).toMatchObject({ reason: 'reused', cause: 'reused', userId: 'ann' });
    const left = await sessions.getSession(other).catch(() => null);
    expect(left === null).toBe(onReuse === 'end-user-sessions');
    // It has ended, so there is nothing to report any more.
    await expect(sessions.getSession(oldToken)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(events.filter(({ type }) => type === 'reused')).toHaveLength(1);
    await service.close();
  });

  it('end-user-sessions ends the session of a guest', async () => {
    const service = await startService(new MemoryBackend(), { onReuse: 'end-user-sessions' });
    const { token: oldToken, session } = await service.sessions.createSession();
    const { token } = await service.sessions.regenerateSessionId(session, GRACE);
    service.clock.advanceSeconds(11);
    await expect(service.sessions.getSession(oldToken)).rejects.toMatchObject({ status: 401 });
    await expect(service.sessions.getSession(token!)).rejects.toMatchObject({ status: 401 });
    await service.close();
  });
});

describe('a log-out everywhere else', () => {
  it.each([600, null])(
    'keeps the session of a caller that knows it by its old id, rotateEvery: %s',
    async (rotateEvery) => {
      const service = await startService(new MemoryBackend(), { rotateEvery });
      const { sessions } = service;
      const { session } = await sessions.createSession({ user: { userId: 'ann' } });
      await sessions.createSession({ user: { userId: 'ann' } });
      const except = session.sessionId;
      const { token } = await sessions.regenerateSessionId(session, GRACE);
      expect(await sessions.deleteUserSessions('ann', { except })).toBe(1);
      expect((await sessions.getSession(token!)).user?.userId).toBe('ann');
      await service.close();
    },
  );
});

describe('a backend that knows no aliases', () => {
  class Former extends MemoryBackend {
    override readonly keepsAliases = false;
  }

  it('refuses a grace, and works without one', async () => {
    const service = await startService(new Former());
    const { session, token: oldToken } = await service.sessions.createSession({ user: { userId: 'ann' } });
    await expect(service.sessions.regenerateSessionId(session, GRACE)).rejects.toThrow(/keepsAliases/);
    await service.sessions.getSession(oldToken);
    const { token } = await service.sessions.regenerateSessionId(session);
    await expect(service.sessions.getSession(oldToken)).rejects.toMatchObject({ status: 401 });
    expect((await service.sessions.getSession(token!)).user?.userId).toBe('ann');
    await service.close();
  });

  it('stops the start with rotateEvery', async () => {
    await expect(startService(new Former(), { rotateEvery: 600 })).rejects.toThrow(/rotateEvery.*keepsAliases/s);
  });
});

/** The next creation is carried out, and its caller gets an error. Returns what ends that. */
function loseResponseOfCreate({ backend }: BarrierBackend): () => void {
  const real = backend.create.bind(backend);
  backend.create = async (...args) => {
    await real(...args);
    throw new Error('the connection was lost');
  };
  return () => {
    Reflect.deleteProperty(backend, 'create');
  };
}
