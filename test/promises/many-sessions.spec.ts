import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SessionConflictError, type SessionRecord, type SessionUser, type UserTag } from 'nestjs-sessionx';

import { RandomPool } from '../../src/tokens/random-pool.js';
import { newSecret, sessionIdOf, tagOf } from '../../src/tokens/session-secret.js';
import { memcachedOfMany, memoryOfMany, redisOfMany } from '../support/many-sessions.js';
import { atOnce, outcomes, startService } from '../support/services.js';

/** More than Lua passes to one command. */
const MANY_FOR_LUA = 9_000;
/** Several times as many as any store works on in one step. */
const SEVERAL_STEPS = 1_200;
/** For what must not fail: room for a loaded machine. */
const AMPLE_MS = 60_000;

const random = new RandomPool();

describe.each([memoryOfMany(), redisOfMany(), memcachedOfMany()])(
  'a user with thousands of sessions, on $name',
  (store) => {
    const many = store.name === 'redis' ? MANY_FOR_LUA : SEVERAL_STEPS;
    let users = 0;

    beforeAll(() => store.start());

    afterAll(() => store.stop());

    async function startWithMany(options: Parameters<typeof startService>[1] = {}, count = many) {
      const service = await startService(store.another(), { backendTimeout: AMPLE_MS, ...options });
      const userId = `user ${users++}`;
      const first = await service.sessions.createSession({ user: { userId } });
      const tag = tagOf(first.session.sessionId);
      const backend = store.another();
      await backend.open?.({ keyPrefix: 'session:', timeoutMs: AMPLE_MS, clock: service.clock, logger: console });
      const read = (await backend.read(first.session.sessionId))!;
      const template = { ...read, payload: String(read.payload) };
      if (store.name !== 'memory') await backend.close();
      const records = Array.from({ length: count }, (_, index) => copyOf(template, tag, index + 1));
      await store.fill('session:', tag, [template, ...records]);
      return { service, userId, first, records };
    }

    /** A session of the same user that was last used so many milliseconds before. */
    function copyOf(record: SessionRecord, tag: UserTag, idleMs: number): SessionRecord {
      const id = sessionIdOf(newSecret(tag, random));
      const payload = record.payload.replace(record.id, id);
      return { ...record, id, payload, lastAccessed: record.lastAccessed - idleMs };
    }

    function idsOf(sessions: readonly { readonly sessionId: string }[]): string[] {
      return sessions.map(({ sessionId }) => sessionId).sort();
    }

    it('has another role in each of them after updateUserSessions()', async () => {
      const { service, userId } = await startWithMany(
        { backendTimeout: 2_000, maxSessionsPerUser: null },
        SEVERAL_STEPS,
      );
      const change = ({ roles }: SessionUser) => void (roles[0] = 'guest');
      expect(await service.sessions.updateUserSessions(userId, change)).toBe(SEVERAL_STEPS + 1);
      const left = { count: 0 };
      const count = ({ roles }: SessionUser) => void (left.count += roles[0] === 'guest' ? 0 : 1);
      expect(await service.sessions.updateUserSessions(userId, count)).toBe(0);
      expect(left.count).toBe(0);
      await service.close();
    });

    it.each([3, 1000])(
      'gets a limit of %d by the next login, which spares the last used ones and names the others',
      async (max) => {
        const { service, userId, first, records } = await startWithMany({ maxSessionsPerUser: max });
        const next = await service.sessions.createSession({ user: { userId } });
        const spared = records.slice(0, max - 2).map(({ id }) => ({ sessionId: id }));
        const expected = idsOf([first.session, next.session, ...spared]);
        expect(idsOf(await service.sessions.listUserSessions(userId))).toEqual(expected);
        const evicted = service.events.flatMap((event) =>
          event.type === 'ended' && event.reason === 'evicted-by-limit' ? [event.sessionId] : [],
        );
        expect(evicted.sort()).toEqual(
          records
            .slice(max - 2)
            .map(({ id }) => id as string)
            .sort(),
        );
        await service.close();
      },
    );

    it('is logged out everywhere: all have ended, and the count is true', async () => {
      const { service, userId, first, records } = await startWithMany();
      expect(await service.sessions.listUserSessions(userId)).toHaveLength(many + 1);
      expect(await service.sessions.deleteUserSessions(userId, { except: first.session.sessionId })).toBe(many);
      expect(idsOf(await service.sessions.listUserSessions(userId))).toEqual(idsOf([first.session]));
      expect((await service.sessions.getSession(first.token)).sessionId).toBe(first.session.sessionId);
      const { values } = await outcomes(
        records.slice(0, 500).map(({ id }) => service.sessions.update(id, () => undefined)),
      );
      expect(values).toEqual([]);
      expect(await service.sessions.deleteUserSessions(userId)).toBe(1);
      await service.close();
    });

    it('loses no login that races a log-out everywhere: it is ended and counted, or listed', async () => {
      const { service, userId } = await startWithMany({ maxSessionsPerUser: null }, SEVERAL_STEPS);
      const other = await startService(
        store.another(),
        { backendTimeout: AMPLE_MS, maxSessionsPerUser: null },
        service.clock,
      );
      const logins = atOnce(20, () => other.sessions.createSession({ user: { userId } }));
      const count = await service.sessions.deleteUserSessions(userId);
      const { values } = await outcomes((await logins).map(({ token }) => other.sessions.getSession(token)));
      expect(idsOf(await other.sessions.listUserSessions(userId))).toEqual(idsOf(values));
      expect(count).toBe(SEVERAL_STEPS + 1 + 20 - values.length);
      expect(await other.sessions.deleteUserSessions(userId)).toBe(values.length);
      await Promise.all([service, other].map(({ close }) => close()));
    });

    it('gets a limit by 20 logins at once, and has no more sessions than that', async () => {
      const { service, userId } = await startWithMany({ maxSessionsPerUser: 3 }, SEVERAL_STEPS);
      // So that all others have been used before.
      service.clock.advance(1);
      const issued = await atOnce(20, () => service.sessions.createSession({ user: { userId } }));
      const { values } = await outcomes(issued.map(({ token }) => service.sessions.getSession(token)));
      expect(values).toHaveLength(3);
      expect(await service.sessions.listUserSessions(userId)).toHaveLength(3);
      await service.close();
    });

    it('keeps all of them where a new limit rejects', async () => {
      const { service, userId } = await startWithMany(
        { maxSessionsPerUser: 3, onSessionLimit: 'reject' },
        SEVERAL_STEPS,
      );
      await expect(service.sessions.createSession({ user: { userId } })).rejects.toThrow(SessionConflictError);
      expect(await service.sessions.listUserSessions(userId)).toHaveLength(SEVERAL_STEPS + 1);
      await service.close();
    });
  },
);
