import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MemoryBackend, SessionConflictError, type IssuedSession } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { everyBackend, memcached, memory, redis } from '../support/backends.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

describe.each(everyBackend())('the limit of sessions per user, on $name', (store) => {
  let evicting: ServiceUnderTest;
  let rejecting: ServiceUnderTest;

  beforeAll(async () => {
    await store.start();
    evicting = await startService(store.another(), { maxSessionsPerUser: 3 });
    rejecting = await startService(
      store.another(),
      { maxSessionsPerUser: 3, onSessionLimit: 'reject' },
      evicting.clock,
    );
  });

  afterAll(async () => {
    await evicting.close();
    await rejecting.close();
    await store.stop();
  });

  it('20 parallel logins with a limit of 3 leave exactly 3, and the events name the others', async () => {
    const issued = await atOnce(20, () => evicting.sessions.createSession({ user: { userId: 'ann' } }));
    const { values } = await outcomes(issued.map(({ token }) => evicting.sessions.getSession(token)));
    expect(values).toHaveLength(3);
    expect(await evicting.sessions.listUserSessions('ann')).toHaveLength(3);
    const evicted = evicting.events.flatMap((event) =>
      event.type === 'ended' && event.reason === 'evicted-by-limit' ? [event.sessionId] : [],
    );
    expect(new Set(evicted).size).toBe(17);
  });

  it('20 parallel logins that are rejected beyond 3 leave exactly 3', async () => {
    const { values, errors } = await outcomes(
      Array.from({ length: 20 }, () => rejecting.sessions.createSession({ user: { userId: 'bob' } })),
    );
    expect(values).toHaveLength(3);
    expect(errors).toHaveLength(17);
    for (const error of errors) {
      expect(error).toBeInstanceOf(SessionConflictError);
      expect(error).toMatchObject({ code: 'SESSION_LIMIT', status: 409 });
    }
    expect(await rejecting.sessions.listUserSessions('bob')).toHaveLength(3);
  });

  it('evicts the session that nobody has used for the longest time, and spares the one in use, however short its life', async () => {
    const user = { userId: 'carl' };
    const remembered = 30 * 86_400;
    const laptop = await evicting.sessions.createSession({ user, ttl: remembered, userAgent: 'laptop' });
    await evicting.sessions.createSession({ user, ttl: remembered, userAgent: 'phone' });
    const kiosk = await evicting.sessions.createSession({ user, ttl: 600, userAgent: 'kiosk' });
    for (const { token } of [laptop, kiosk]) {
      evicting.clock.advanceSeconds(100);
      await evicting.sessions.renewSession(token);
    }
    await evicting.sessions.createSession({ user, userAgent: 'tablet' });
    const agents = async () => (await evicting.sessions.listUserSessions('carl')).map(({ userAgent }) => userAgent);
    expect((await agents()).sort()).toEqual(['kiosk', 'laptop', 'tablet']);
    evicting.clock.advanceSeconds(100);
    await evicting.sessions.renewSession(kiosk.token);
    await evicting.sessions.createSession({ user, userAgent: 'watch' });
    expect((await agents()).sort()).toEqual(['kiosk', 'tablet', 'watch']);
  });

  it('does not count sessions that have expired or ended, nor anonymous ones, nor the one that a regeneration replaces', async () => {
    await rejecting.sessions.createSession({ user: { userId: 'dora' }, ttl: 5 });
    const ended = await rejecting.sessions.createSession({ user: { userId: 'dora' } });
    await rejecting.sessions.deleteSession(ended.session.sessionId);
    const { session: invalidated } = await rejecting.sessions.createSession({ user: { userId: 'dora' } });
    await rejecting.sessions.invalidateSession(invalidated);
    rejecting.clock.advanceSeconds(6);
    await atOnce(2, () => rejecting.sessions.createSession({ user: { userId: 'dora' } }));
    const last = await rejecting.sessions.createSession({ user: { userId: 'dora' } });
    await rejecting.sessions.regenerateSessionId(last.session);
    await atOnce(5, () => rejecting.sessions.createSession());
    await expect(rejecting.sessions.createSession({ user: { userId: 'dora' } })).rejects.toMatchObject({
      code: 'SESSION_LIMIT',
    });
  });
});

/** More than one script of Redis looks at. */
const MANY = 1000;

describe.each([memory(), redis()])('a limit of a thousand sessions, on $name', (store) => {
  beforeAll(() => store.start());

  afterAll(() => store.stop());

  it('takes a thousand logins at once of a user who has as many, and leaves the last used of all', async () => {
    const service = await startService(store.another(), { maxSessionsPerUser: MANY, backendTimeout: 5_000 });
    const user = { userId: 'ann' };
    const before = await atOnce(MANY, () => service.sessions.createSession({ user }));
    service.clock.advanceSeconds(100);
    const used = before.slice(0, 10);
    await atOnce(used.length, (index) => service.sessions.renewSession(used[index]!.token));
    service.clock.advanceSeconds(1);
    const after = await atOnce(MANY - used.length, () => service.sessions.createSession({ user }));
    const listed = (await service.sessions.listUserSessions(user.userId)).map(({ sessionId }) => sessionId);
    expect(listed.sort()).toEqual([...used, ...after].map(({ session }) => session.sessionId).sort());
    const evicted = service.events.filter((event) => event.type === 'ended' && event.reason === 'evicted-by-limit');
    expect(evicted).toHaveLength(MANY - used.length);
    await service.close();
  });
});

describe.each([redis(), memcached()])('the limit of sessions per user, with clocks that differ, on $name', (store) => {
  beforeAll(() => store.start());

  afterAll(() => store.stop());

  const limits = [
    { onSessionLimit: 'evict-oldest', hours: 2 },
    { onSessionLimit: 'evict-oldest', hours: -2 },
    { onSessionLimit: 'reject', hours: 2 },
  ] as const;

  it.each(limits)(
    'holds whichever clock is right, with one that is $hours hours off ($onSessionLimit)',
    async ({ onSessionLimit, hours }) => {
      const options = { maxSessionsPerUser: 3, onSessionLimit, sessionTtl: 3600 };
      const right = await startService(store.another(), options);
      const clock = new FakeClock(right.clock.now() + hours * 3_600_000);
      const ahead = await startService(store.another(), options, clock);
      const user = { userId: `${onSessionLimit} ${hours}` };
      const issued: IssuedSession[] = [];
      for (const { sessions } of [right, right, right, ahead, ahead, right, right]) {
        const { values } = await outcomes([sessions.createSession({ user })]);
        issued.push(...values);
      }
      for (const { sessions } of [right, ahead]) {
        const { values } = await outcomes(issued.map(({ token }) => sessions.getSession(token)));
        expect(values.length).toBeLessThanOrEqual(3);
      }
      const observer = await startService(store.another(), {}, new FakeClock(0));
      // A clock by which nothing has expired: what the store still has of them.
      const { values: stored } = await outcomes(issued.map(({ token }) => observer.sessions.getSession(token)));
      expect(stored).toHaveLength(3);
      await Promise.all([right, ahead, observer].map((service) => service.close()));
    },
  );
});

it('the limit is 100 sessions by default, and null is none', async () => {
  const byDefault = await startService(new MemoryBackend());
  const without = await startService(new MemoryBackend(), { maxSessionsPerUser: null });
  for (const { sessions } of [byDefault, without]) {
    await atOnce(120, () => sessions.createSession({ user: { userId: 'ann' } }));
  }
  expect(await byDefault.sessions.listUserSessions('ann')).toHaveLength(100);
  expect(await without.sessions.listUserSessions('ann')).toHaveLength(120);
  await Promise.all([byDefault, without].map((service) => service.close()));
});
