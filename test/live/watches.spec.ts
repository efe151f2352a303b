import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Session } from 'nestjs-sessionx';
import { once } from 'node:events';

import { everyBackend } from '../support/backends.js';
import { countingReads } from '../support/counting-reads.js';
import { soon } from '../support/soon.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const SOON_S = 0.1;
const NEVER_S = 3600;
const PATIENCE_MS = 5_000;

async function newSession(service: ServiceUnderTest, userId: string): Promise<Session> {
  return (await service.sessions.createSession({ user: { userId } })).session;
}

/** The code of the reason, when there is one. */
async function codeOf(signal: AbortSignal): Promise<unknown> {
  if (!signal.aborted) await once(signal, 'abort', { signal: AbortSignal.timeout(PATIENCE_MS) });
  return (signal.reason as { code?: unknown }).code;
}

describe.each(everyBackend())('a session that is watched, on $name', (store) => {
  let one: ServiceUnderTest;
  /** Learns of ends by notices alone, where the store has them. */
  let two: ServiceUnderTest;
  /** Looks often, at what `looks` counts. */
  let three: ServiceUnderTest;
  const looks = new Map<string, number>();

  beforeAll(async () => {
    await store.start();
    const options = { maxSessionsPerUser: 3 };
    one = await startService(store.another(), { ...options, liveCheckInterval: NEVER_S });
    const interval = store.name === 'memcached' ? SOON_S : NEVER_S;
    two = await startService(store.another(), { ...options, liveCheckInterval: interval }, one.clock);
    const counted = countingReads(store.another(), looks);
    three = await startService(counted, { ...options, liveCheckInterval: SOON_S }, one.clock);
  });

  afterAll(async () => {
    await Promise.all([one, two, three].map((service) => service.close()));
    await store.stop();
  });

  let users = 0;

  /** A session, and the same as another process has loaded it. */
  async function inTwo(other = two): Promise<{ session: Session; other: Session; token: string }> {
    const { session, token } = await one.sessions.createSession({ user: { userId: `user ${users++}` } });
    return { session, token, other: await other.sessions.getSession(token) };
  }

  /** Resolves when the third process has looked at a session again. */
  async function lookedAt({ sessionId }: Session): Promise<void> {
    const before = looks.get(sessionId) ?? 0;
    await soon(() => (looks.get(sessionId) ?? 0) > before + 1 || undefined);
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

  it('ends when it expires, without a look that is due, and for those who have loaded it anew', async () => {
    const { other, token } = await inTwo(three);
    const signal = three.sessions.whileAlive(other);
    const again = three.sessions.whileAlive(await three.sessions.getSession(token));
    one.clock.advanceSeconds(3600);
    expect(await codeOf(signal)).toBe('SESSION_EXPIRED');
    expect(await codeOf(again)).toBe('SESSION_EXPIRED');
  });

  it('ends when it expires after its lifetime was made shorter, without a look that is due', async () => {
    const { session } = await inTwo();
    const signal = one.sessions.whileAlive(session);
    await one.sessions.setLifetime(session, { ttl: 0.2 });
    one.clock.advance(200);
    expect(await codeOf(signal)).toBe('SESSION_EXPIRED');
  });

  it('lives on when another process has renewed it, and ends at the later expiry', async () => {
    const { other, token } = await inTwo(three);
    const signal = three.sessions.whileAlive(other);
    one.clock.advanceSeconds(1900);
    const { session } = await one.sessions.renewSession(token);
    one.clock.advanceSeconds(1800);
    await lookedAt(session);
    expect(signal.aborted).toBe(false);
    one.clock.advance(session.expiresAt.getTime() - one.clock.now());
    expect(await codeOf(signal)).toBe('SESSION_EXPIRED');
  });

  it.each([0, 10])(
    'goes on under a new id, with a grace of %d seconds, however often, and ends with it',
    async (grace) => {
      const { session, other } = await inTwo(three);
      const signal = three.sessions.whileAlive(other);
      const here = one.sessions.whileAlive(session);
      const first = await one.sessions.regenerateSessionId(session, { grace });
      const second = await one.sessions.regenerateSessionId(first.session, { grace });
      await lookedAt(second.session);
      expect([signal.aborted, here.aborted]).toEqual([false, false]);
      await one.sessions.deleteSession(second.session);
      expect(here.aborted).toBe(true);
      expect(await codeOf(signal)).toBe('SESSION_ENDED');
    },
  );

  it('goes on under a new id for those who watch it by either id', async () => {
    const { session, other } = await inTwo(three);
    const byOld = three.sessions.whileAlive(other);
    const { session: present, token } = await one.sessions.regenerateSessionId(session);
    const byNew = three.sessions.whileAlive(await three.sessions.getSession(token!));
    await lookedAt(present);
    expect([byOld.aborted, byNew.aborted]).toEqual([false, false]);
    await one.sessions.deleteSession(present.sessionId);
    expect([await codeOf(byOld), await codeOf(byNew)]).toEqual(['SESSION_ENDED', 'SESSION_ENDED']);
  });

  it('without a user keeps what is open under a new id in the same process, and in another one with a grace', async () => {
    const { session, token } = await one.sessions.createSession();
    const there = three.sessions.whileAlive(await three.sessions.getSession(token));
    const here = one.sessions.whileAlive(session);
    const { session: present } = await one.sessions.regenerateSessionId(session, { grace: 10 });
    await lookedAt(present);
    expect([here.aborted, there.aborted]).toEqual([false, false]);
    await one.sessions.deleteSession(present.sessionId);
    expect([await codeOf(here), await codeOf(there)]).toEqual(['SESSION_ENDED', 'SESSION_ENDED']);
  });

  it('is aborted at once when its end is known, and after a look when it is not', async () => {
    const { session, other } = await inTwo();
    await one.sessions.deleteSession(session);
    expect(one.sessions.whileAlive(session).aborted).toBe(true);
    let completed = false;
    one.sessions.untilEnded(session).subscribe({ complete: () => (completed = true) });
    expect(completed).toBe(true);
    // It has ended before it was watched.
    expect(await codeOf(two.sessions.whileAlive(other))).toBe('SESSION_ENDED');
  });
});
