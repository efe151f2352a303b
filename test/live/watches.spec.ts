import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Session } from 'nestjs-sessionx';
import { once } from 'node:events';

import { everyBackend } from '../support/backends.js';
import { startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

/** Where nothing notifies. */
const INTERVAL_S = 0.2;
const LONG = { timeout: 5_000 };

async function newSession(service: ServiceUnderTest, userId = 'ann'): Promise<Session> {
  return (await service.sessions.createSession({ user: { userId } })).session;
}

/** The code of the reason. */
async function codeOf(signal: AbortSignal): Promise<unknown> {
  if (!signal.aborted) await once(signal, 'abort', { signal: AbortSignal.timeout(LONG.timeout) });
  return (signal.reason as { code?: unknown }).code;
}

describe.each(everyBackend().map((store) => [store.name, store] as const))(
  'a session that is watched, on %s',
  (_, store) => {
    let apps: TwoInstances;
    let one: ServiceUnderTest;
    let two: ServiceUnderTest;

    beforeAll(async () => {
      apps = await startTwo(store, { liveCheckInterval: INTERVAL_S, maxSessionsPerUser: 3 });
      ({ one, two } = apps);
    });

    afterAll(() => apps.stop());

    /** As another process has loaded it. */
    async function inTwo(userId?: string): Promise<{ session: Session; other: Session; token: string }> {
      const { session, token } = await one.sessions.createSession({
        user: { userId: userId ?? `user-${Math.random()}` },
      });
      return { session, token, other: await two.sessions.getSession(token) };
    }

    const ends: [string, (session: Session) => Promise<unknown>][] = [
      ['revoked by its id', ({ sessionId }) => one.sessions.deleteSession(sessionId)],
      ['deleted', (session) => one.sessions.deleteSession(session)],
      ['invalidated', (session) => one.sessions.invalidateSession(session)],
      ['logged out everywhere', ({ user }) => one.sessions.deleteUserSessions(user!.userId)],
      [
        'evicted by the limit',
        async ({ user }) => {
          one.clock.advance(1);
          for (let i = 0; i < 3; i++) await newSession(one, user!.userId);
        },
      ],
    ];

    it.each(ends)('ends for another process when it is %s', async (_how, end) => {
      const { session, other } = await inTwo();
      const signal = two.sessions.whileAlive(other);
      const completed = new Promise((resolve) =>
        two.sessions.untilEnded(other).subscribe({ complete: () => resolve('completed') }),
      );
      expect(signal.aborted).toBe(false);
      await end(session);
      expect(await codeOf(signal)).toBe('SESSION_ENDED');
      expect(await completed).toBe('completed');
    });

    it.each(ends)('ends at once in the process in which it is %s', async (_how, end) => {
      const { session } = await inTwo();
      const signal = one.sessions.whileAlive(session);
      await end(session);
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toMatchObject({ code: 'SESSION_ENDED', status: 401 });
    });

    it('ends when it expires, also without a look that is due', async () => {
      const { other } = await inTwo();
      const signal = two.sessions.whileAlive(other);
      one.clock.advanceSeconds(3600);
      expect(await codeOf(signal)).toBe('SESSION_EXPIRED');
    });

    it('lives on when another process has renewed it, and ends at the later expiry', async () => {
      const { other, token } = await inTwo();
      const signal = two.sessions.whileAlive(other);
      one.clock.advanceSeconds(1900);
      const { session } = await one.sessions.renewSession(token);
      one.clock.advanceSeconds(1800);
      const { other: another } = await inTwo();
      // By then the timer has been at the first one.
      await one.sessions.deleteSession(another);
      await codeOf(two.sessions.whileAlive(another));
      await new Promise((resolve) => setTimeout(resolve, 3 * INTERVAL_S * 1000));
      expect(signal.aborted).toBe(false);
      one.clock.advanceSeconds(session.expiresAt.getTime() / 1000 - one.clock.now() / 1000);
      expect(await codeOf(signal)).toBe('SESSION_EXPIRED');
    });

    it.each([0, 10])(
      'goes on under a new id, with a grace of %d seconds, however often, and ends with it',
      async (grace) => {
        const { session, other } = await inTwo();
        const signal = two.sessions.whileAlive(other);
        const here = one.sessions.whileAlive(session);
        const first = await one.sessions.regenerateSessionId(session, { grace });
        const second = await one.sessions.regenerateSessionId(first.session, { grace });
        await new Promise((resolve) => setTimeout(resolve, 2 * INTERVAL_S * 1000));
        expect([signal.aborted, here.aborted]).toEqual([false, false]);
        await one.sessions.deleteSession(second.session);
        expect(here.aborted).toBe(true);
        expect(await codeOf(signal)).toBe('SESSION_ENDED');
      },
    );

    it('is aborted at once when its end is known', async () => {
      const { session, other } = await inTwo();
      await one.sessions.deleteSession(session);
      expect(one.sessions.whileAlive(session).aborted).toBe(true);
      let completed = false;
      one.sessions.untilEnded(session).subscribe({ complete: () => (completed = true) });
      expect(completed).toBe(true);
      // Not known here: it is looked up.
      expect(await codeOf(two.sessions.whileAlive(other))).toBe('SESSION_ENDED');
    });
  },
);
