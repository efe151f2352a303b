import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  MemoryBackend,
  SessionBackendError,
  SessionConflictError,
  SessionDataError,
  SessionUsageError,
  type SessionBackend,
  type SessionUser,
} from 'nestjs-sessionx';
import { setImmediate as eventLoopTurn, setTimeout as sleep } from 'node:timers/promises';

import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import {
  atOnce,
  outcomes,
  startService,
  startTwo,
  type ServiceUnderTest,
  type TwoInstances,
} from '../support/services.js';

/** So short that a test waits for the second look. */
const OPTIONS = { backendTimeout: 400, maxSessionsPerUser: null };
const ADMIN = { userId: 'ann', roles: ['admin', 'user'], permissions: ['write'], email: 'old@example.com' };

const demote = (user: SessionUser): void => {
  user.roles = user.roles.filter((role) => role !== 'admin');
};

describe.each(everyBackend())('a change of a user in all their sessions, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(async () => {
    instances = await startTwo(store, OPTIONS);
    ({ barrier, one, two } = instances);
  });

  afterEach(async () => {
    barrier.heal();
    for (const userId of ['ann', 'bob']) await two.sessions.deleteUserSessions(userId);
  });

  afterAll(() => instances.stop());

  const session = (user: { userId: string } = ADMIN, service = two) => service.sessions.createSession({ user });
  const userOf = async (token: string) => (await two.sessions.getSession(token)).user;
  const usersOf = (tokens: readonly string[]) => Promise.all(tokens.map(userOf));

  it('changes roles, lock, e-mail and metadata, in every session of that user and no other, and counts them', async () => {
    const mine = await atOnce(5, (index) => session(ADMIN, index % 2 === 0 ? one : two));
    const other = await session({ ...ADMIN, userId: 'bob' });
    const count = await one.sessions.updateUserSessions('ann', (user) => {
      demote(user);
      user.permissions = [];
      user.email = 'new@example.com';
      user.metadata.locked = true;
      delete user.username;
    });
    expect(count).toBe(5);
    for (const user of await usersOf(mine.map(({ token }) => token))) {
      expect(user).toEqual({
        userId: 'ann',
        roles: ['user'],
        permissions: [],
        email: 'new@example.com',
        metadata: { locked: true },
      });
    }
    expect((await userOf(other.token))?.roles).toEqual(['admin', 'user']);
  });

  it('counts and stores nothing where nothing changes, and names what has changed in an event for each session', async () => {
    const { session: held } = await session();
    const { replace = 0 } = barrier.calls;
    one.events.length = 0;
    expect(await one.sessions.updateUserSessions('ann', () => undefined)).toBe(0);
    expect(await one.sessions.updateUserSessions('nobody', demote)).toBe(0);
    expect([barrier.calls.replace ?? 0, one.events]).toEqual([replace, []]);
    const change = (user: SessionUser) => {
      demote(user);
      delete user.email;
    };
    expect(await one.sessions.updateUserSessions('ann', change, { by: 'root' })).toBe(1);
    expect(one.events).toEqual([
      {
        type: 'user-updated',
        cause: 'user-updated',
        at: one.clock.now(),
        sessionId: held.sessionId,
        userId: 'ann',
        fields: ['roles', 'email'],
        by: 'root',
        ipAddress: null,
        userAgent: null,
        transport: null,
      },
    ]);
    expect(JSON.stringify(one.events)).not.toContain('example.com');
  });

  it('does not let a request that runs bring the old role back, by what it changes itself', async () => {
    const { token } = await session();
    const running = await one.sessions.getSession(token);
    expect(running.user?.roles).toContain('admin');
    await two.sessions.updateUserSessions('ann', demote);
    running.user!.email = 'own@example.com';
    running.data.theme = 'dark';
    await one.sessions.updateSession(running);
    expect(await userOf(token)).toMatchObject({ roles: ['user'], email: 'own@example.com' });
    const regenerated = await one.sessions.getSession(token);
    await two.sessions.updateUserSessions('ann', (user) => void (user.roles = ['guest']));
    const issued = await one.sessions.regenerateSessionId(regenerated);
    expect((await userOf(issued.token!))?.roles).toEqual(['guest']);
  });

  it('runs again where another writer is faster, and loses neither', async () => {
    const { token } = await session();
    const write = barrier.stopNext('replace');
    const updating = one.sessions.updateUserSessions('ann', (user) => void user.roles.push('seen'));
    await write.arrived;
    const other = await two.sessions.getSession(token);
    other.user!.roles = ['support'];
    other.data.step = 1;
    await two.sessions.updateSession(other);
    write.letGo();
    expect(await updating).toBe(1);
    expect((await userOf(token))?.roles).toEqual(['support', 'seen']);
    expect((await two.sessions.getSession(token)).data.step).toBe(1);
  });

  it('reaches a session that gets a new id while it is changed, in the second look too', async () => {
    const { token } = await session();
    let current = token;
    const regenerate = async () => {
      const issued = await two.sessions.regenerateSessionId(await two.sessions.getSession(current));
      current = issued.token!;
    };
    const firstWrite = barrier.stopNext('replace');
    const updating = one.sessions.updateUserSessions('ann', demote);
    await firstWrite.arrived;
    await regenerate();
    const secondWrite = barrier.stopNext('replace');
    firstWrite.letGo();
    await secondWrite.arrived;
    await regenerate();
    secondWrite.letGo();
    expect(await updating).toBe(1);
    expect((await userOf(current))?.roles).toEqual(['user']);
  });

  it('skips sessions that end or expire meanwhile', async () => {
    const kept = await session();
    const ended = await session();
    await two.sessions.createSession({ user: ADMIN, ttl: 1 });
    const write = barrier.stopNext('replace');
    const updating = one.sessions.updateUserSessions('ann', demote);
    await write.arrived;
    await two.sessions.deleteSession(ended.session.sessionId);
    one.clock.advanceSeconds(1);
    write.letGo();
    await updating;
    expect((await userOf(kept.token))?.roles).toEqual(['user']);
    await expect(userOf(ended.token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  it('leaves no session out of those that get new ids while it runs, with a grace and without', async () => {
    // All of them write the same list of Memcached, which takes its time: on a store of their own.
    const own = everyBackend().find(({ name }) => name === store.name)!;
    const patient = await startTwo(own, { ...OPTIONS, backendTimeout: 2000 });
    let isOver = false;
    const regenerate = async (index: number): Promise<string> => {
      let { token } = await session(ADMIN, index % 2 === 0 ? patient.one : patient.two);
      for (let count = 0; !isOver; count++) {
        const { sessions } = count % 2 === 0 ? patient.one : patient.two;
        const options = index % 3 === 0 ? { grace: 1 } : {};
        const renewed = await sessions.regenerateSessionId(await sessions.getSession(token), options);
        token = renewed.token ?? '';
        await sleep(20);
      }
      return token;
    };
    const running = Promise.all(Array.from({ length: 12 }, (_, index) => regenerate(index)));
    /** A conflict says to call again: a slow machine may need that. */
    const demoteAll = (): Promise<number> =>
      patient.one.sessions.updateUserSessions('ann', demote).catch((error: unknown) => {
        if (error instanceof SessionConflictError) return demoteAll();
        throw error;
      });
    await demoteAll().finally(() => {
      isOver = true;
    });
    const users = (await running).map(async (token) => (await patient.two.sessions.getSession(token)).user);
    const roles = (await Promise.all(users)).map((user) => user?.roles);
    expect(roles).toEqual(Array.from({ length: 12 }, () => ['user']));
    await patient.stop();
  }, 90_000);

  it('makes a change once in each session, though it looks twice', async () => {
    const issued = await atOnce(3, () => session());
    const count = (user: SessionUser) => {
      user.metadata.changes = Number(user.metadata.changes ?? 0) + 1;
    };
    expect(await one.sessions.updateUserSessions('ann', count)).toBe(3);
    const users = await usersOf(issued.map(({ token }) => token));
    expect(users.map((user) => user?.metadata)).toEqual(issued.map(() => ({ changes: 1 })));
  });

  it('makes it again where a request has written an old value back in the meantime', async () => {
    const { token } = await session();
    const running = await two.sessions.getSession(token);
    const write = barrier.stopNext('replace');
    const updating = one.sessions.updateUserSessions('ann', demote);
    await write.arrived;
    write.letGo();
    await write.done;
    running.user!.roles.push('support');
    await two.sessions.updateSession(running);
    expect((await userOf(token))?.roles).toContain('admin');
    await updating;
    expect((await userOf(token))?.roles).toEqual(['user', 'support']);
  });

  it('is a 503 where the store fails, at the first look or the second, and says what was done', async () => {
    const issued = await atOnce(3, () => session());
    barrier.fail('listByUser');
    const { errors: none } = await outcomes([one.sessions.updateUserSessions('ann', demote)]);
    expect(none).toEqual([expect.objectContaining({ name: SessionBackendError.name, status: 503 })]);
    expect(String(none[0])).toContain('0 sessions were changed');

    barrier.heal();
    const listed = barrier.stopNext('listByUser');
    const updating = one.sessions.updateUserSessions('ann', demote);
    await listed.arrived;
    listed.letGo();
    await listed.done;
    barrier.fail('listByUser');
    const { errors } = await outcomes([updating]);
    expect(errors).toEqual([expect.any(SessionBackendError)]);
    expect(String(errors[0])).toContain('3 sessions were changed');
    expect(String(errors[0])).toContain('Call updateUserSessions() again');
    for (const user of await usersOf(issued.map(({ token }) => token))) expect(user?.roles).toEqual(['user']);

    barrier.heal();
    barrier.fail('replace');
    const promote = (user: SessionUser) => void (user.roles = ['admin']);
    await expect(one.sessions.updateUserSessions('ann', promote)).rejects.toMatchObject({ status: 503 });
  });

  it('refuses what is no user id and no function, an async one, a copy, and a user that cannot be stored', async () => {
    const { token } = await session();
    const { updateUserSessions } = one.sessions;
    const update = (change: unknown, userId: unknown = 'ann') =>
      Reflect.apply(updateUserSessions, one.sessions, [userId, change]) as Promise<number>;
    for (const change of [undefined, null, 'roles', {}, { roles: [] }]) {
      await expect(update(change)).rejects.toBeInstanceOf(SessionUsageError);
    }
    const later = async (user: SessionUser) => {
      demote(user);
      await eventLoopTurn();
    };
    await expect(update(later)).rejects.toThrow('must not be async');
    await expect(update(() => Promise.reject(new Error('late')))).rejects.toBeInstanceOf(SessionUsageError);
    await expect(update((user: SessionUser) => ({ ...user, roles: [] }))).rejects.toThrow('a copy of the user');
    for (const userId of ['', 7, {}, null, 'x'.repeat(513)]) {
      await expect(update(demote, userId)).rejects.toBeInstanceOf(SessionDataError);
    }
    const faults: [change: (user: Record<string, unknown>) => unknown, code: string][] = [
      [(user) => (user.userId = 'eve'), 'USER_ID_CHANGED'],
      [(user) => (user.roles = 'admin'), 'DATA_NOT_STORABLE'],
      [(user) => delete user.roles, 'DATA_NOT_STORABLE'],
      [(user) => (user.since = new Date()), 'DATA_NOT_STORABLE'],
      [(user) => (user.note = 'x'.repeat(70_000)), 'SESSION_TOO_LARGE'],
    ];
    for (const [change, code] of faults) await expect(update(change)).rejects.toMatchObject({ code });
    const own = new Error('of the application');
    await expect(
      update(() => {
        throw own;
      }),
    ).rejects.toBe(own);
    expect(await userOf(token)).toMatchObject({ ...ADMIN });
    for (const change of [
      (user: SessionUser) => user.roles.push('a'),
      (user: SessionUser) => Object.assign(user, { roles: ['b'] }),
      (user: SessionUser) => (user.roles = ['c']),
    ]) {
      expect(await update(change)).toBe(1);
    }
  });
});

describe('a change of a user in all their sessions', () => {
  it('makes many calls at once, and not all of them', async () => {
    const waiting = { now: 0, most: 0 };
    const service = await startService(counting(new MemoryBackend(), waiting), OPTIONS);
    await atOnce(500, () => service.sessions.createSession({ user: ADMIN }));
    expect(await service.sessions.updateUserSessions('ann', demote)).toBe(500);
    expect(waiting.most).toBe(32);
    await service.close();
  });

  it('is an error, and does not hold up the application, when that shuts down before the second look', async () => {
    const barrier = new BarrierBackend(new MemoryBackend());
    const service = await startService(barrier.backend, { backendTimeout: 600_000 });
    await service.sessions.createSession({ user: ADMIN });
    const write = barrier.stopNext('replace');
    const settled = outcomes([service.sessions.updateUserSessions('ann', demote)]);
    await write.arrived;
    write.letGo();
    await write.done;
    await service.close();
    const { errors } = await settled;
    expect(errors).toEqual([expect.objectContaining({ name: SessionBackendError.name, code: 'BACKEND_UNAVAILABLE' })]);
    expect(String(errors[0])).toContain('1 session was changed');
  });

  it('is an error after the application has shut down', async () => {
    const service = await startService(new MemoryBackend(), OPTIONS);
    await service.close();
    await expect(service.sessions.updateUserSessions('ann', demote)).rejects.toBeInstanceOf(SessionBackendError);
  });

  it('goes on where one session is changed by others all the time, and says that it was left', async () => {
    const real = new MemoryBackend();
    let busyId = '';
    const busy = new Proxy(real, {
      get: (target, name: keyof MemoryBackend) => {
        if (name !== 'replace') return bound(target, name);
        return (...args: Parameters<MemoryBackend['replace']>) =>
          args[0].id === busyId ? Promise.resolve('changed') : target.replace(...args);
      },
    });
    const service = await startService(busy, OPTIONS);
    const issued = await atOnce(5, () => service.sessions.createSession({ user: ADMIN }));
    busyId = issued[2]!.session.sessionId;
    const { errors } = await outcomes([service.sessions.updateUserSessions('ann', demote)]);
    // The last pause may end after the time.
    expect([SessionConflictError.name, SessionBackendError.name]).toContain((errors[0] as Error).name);
    expect(String(errors[0])).toContain('4 sessions were changed');
    await service.close();
  });
});

/** Counts the calls of `replace` that are under way. */
function counting(real: SessionBackend, waiting: { now: number; most: number }): SessionBackend {
  return new Proxy(real, {
    get: (target, name: keyof SessionBackend) => {
      if (name !== 'replace') return bound(target, name);
      return async (...args: Parameters<SessionBackend['replace']>) => {
        waiting.most = Math.max(waiting.most, ++waiting.now);
        await eventLoopTurn();
        try {
          return await target.replace(...args);
        } finally {
          waiting.now--;
        }
      };
    },
  });
}

function bound<T extends object>(target: T, name: keyof T): unknown {
  const member: unknown = target[name];
  return typeof member === 'function' ? (member.bind(target) as unknown) : member;
}
