import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SessionNotFoundError, SessionUsageError } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const DAY_S = 24 * 3600;

describe.each(everyBackend())('one clock decides, on $name', (store) => {
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(() => store.start());

  beforeEach(async () => {
    one = await startService(store.another(), { sessionTtl: 100, absoluteTimeout: 250 });
    two = await startService(store.another(), { sessionTtl: 100, absoluteTimeout: 250 });
  });

  afterEach(async () => {
    await one.close();
    await two.close();
  });

  afterAll(() => store.stop());

  it('ends a session at its idle expiry, to the millisecond', async () => {
    const { token, session } = await one.sessions.createSession();
    expect(session.expiresAt.getTime()).toBe(one.clock.now() + 100_000);
    one.clock.advance(99_999);
    expect((await one.sessions.getSession(token)).lastAccessed.getTime()).toBe(one.clock.now());
    one.clock.advance(1);
    await expect(one.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
  });

  it('calls an expired session SESSION_NOT_FOUND, as one that has ended or never was, whatever the store still has', async () => {
    const unknown = { code: 'SESSION_NOT_FOUND' };
    for (const [ttl, absoluteTimeout, ends] of [
      [100, 250, 100],
      [100, 50, 50],
    ] as const) {
      const { token, session } = await one.sessions.createSession({ ttl, absoluteTimeout });
      const held = await one.sessions.getSession(token);
      one.clock.advanceSeconds(ends);
      await expect(one.sessions.getSession(token)).rejects.toMatchObject(unknown);
      await expect(one.sessions.renewSession(token)).rejects.toMatchObject(unknown);
      held.data.late = true;
      const ended = { code: 'SESSION_ENDED' };
      await expect(one.sessions.updateSession(held)).rejects.toMatchObject(ended);
      await expect(one.sessions.update(session.sessionId, () => undefined)).rejects.toMatchObject(ended);
      const gone = await one.sessions.createSession();
      await one.sessions.deleteSession(gone.session);
      await expect(one.sessions.getSession(gone.token)).rejects.toMatchObject(unknown);
    }
    const reasons = one.events.map((event) => ('reason' in event ? event.reason : null));
    expect(reasons.filter((reason) => reason?.startsWith('SESSION_'))).toEqual(Array(6).fill('SESSION_NOT_FOUND'));
  });

  it('ends a session at its absolute expiry, however much it is renewed', async () => {
    const { token } = await one.sessions.createSession();
    for (let use = 0; use < 4; use++) {
      one.clock.advanceSeconds(60);
      await one.sessions.renewSession(token);
    }
    one.clock.advance(9_999);
    expect((await one.sessions.getSession(token)).expiresAt.getTime()).toBe(one.clock.now() + 1);
    one.clock.advance(1);
    await expect(one.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
  });

  it('never moves lastAccessed or expiry back, not by a clock that is late', async () => {
    const { token } = await one.sessions.createSession();
    one.clock.advanceSeconds(50);
    const { session: ahead } = await one.sessions.renewSession(token);
    const late = await two.sessions.getSession(token);
    expect(late.lastAccessed).toEqual(ahead.lastAccessed);
    late.data.x = 1;
    await two.sessions.updateSession(late);
    await two.sessions.renewSession(token).catch(() => undefined);
    const seen = await one.sessions.getSession(token);
    expect(seen.lastAccessed).toEqual(ahead.lastAccessed);
    expect(seen.expiresAt).toEqual(ahead.expiresAt);
    expect(seen.data.x).toBe(1);
  });

  it('a commit that was read before a renewal does not take the renewal back', async () => {
    const { token } = await one.sessions.createSession({ user: { userId: 'ann' } });
    const stale = await one.sessions.getSession(token);
    one.clock.advanceSeconds(60);
    const { session: renewed } = await one.sessions.renewSession(token);
    stale.data.x = 1;
    await one.sessions.updateSession(stale);
    const [listed] = await one.sessions.listUserSessions('ann');
    expect(listed).toMatchObject({ lastAccessed: renewed.lastAccessed, expiresAt: renewed.expiresAt });
    one.clock.advanceSeconds(60);
    expect((await one.sessions.getSession(token)).data.x).toBe(1);
  });

  it('a login of its own length outlives the default, and is refused if the absolute timeout would cut it', async () => {
    const { session } = await one.sessions.createSession({ ttl: 200 });
    expect(session.expiresAt.getTime()).toBe(one.clock.now() + 200_000);
    const { session: longest } = await one.sessions.createSession({ ttl: 250, absoluteTimeout: 250 });
    expect(longest.expiresAt.getTime()).toBe(one.clock.now() + 250_000);
    for (const tooLong of [{ ttl: 251 }, { absoluteTimeout: 251 }, { ttl: 1000, absoluteTimeout: 5000 }]) {
      await expect(one.sessions.createSession(tooLong)).rejects.toThrow(SessionUsageError);
    }
  });

  it.each([
    ['the shortest', 0.001],
    ['a fraction of a second', 0.4],
    ['30 days', 30 * DAY_S],
    ['30 days and a second, which Memcached would take for a date', 30 * DAY_S + 1],
    ['ten years', 3650 * DAY_S],
  ])('a lifetime of %s is exact', async (_name, ttl) => {
    const service = await startService(store.another(), { sessionTtl: ttl, slidingExpiration: false });
    const { token, session } = await service.sessions.createSession({ user: { userId: `lives ${ttl}` } });
    expect(session.expiresAt.getTime() - session.createdAt.getTime()).toBe(ttl * 1000);
    // What ends within a second a store may drop by its own clock, which is the real one and goes on meanwhile.
    if (ttl > 1) {
      service.clock.advance(ttl * 1000 - 1);
      expect((await service.sessions.getSession(token)).sessionId).toBe(session.sessionId);
      expect(await service.sessions.listUserSessions(`lives ${ttl}`)).toHaveLength(1);
      service.clock.advance(1);
    } else {
      service.clock.advance(ttl * 1000);
    }
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    expect(await service.sessions.listUserSessions(`lives ${ttl}`)).toEqual([]);
    await service.close();
  });

  it('a clock that jumps ahead ends what is over by it, and one that is set back makes no session live longer', async () => {
    const { token, session } = await one.sessions.createSession({ user: { userId: 'jump' } });
    one.clock.advanceSeconds(-600);
    const seen = await one.sessions.getSession(token);
    expect(seen.lastAccessed).toEqual(session.lastAccessed);
    await one.sessions.renewSession(token);
    one.clock.advanceSeconds(600 + 99);
    expect((await one.sessions.getSession(token)).expiresAt).toEqual(session.expiresAt);
    one.clock.advanceSeconds(1);
    await expect(one.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    expect(await one.sessions.listUserSessions('jump')).toEqual([]);
  });

  it('a renewal through an expired session changes nothing', async () => {
    const { token, session } = await one.sessions.createSession();
    session.data.late = 1;
    one.clock.advanceSeconds(101);
    await expect(one.sessions.renewSession(token)).rejects.toMatchObject({ status: 401 });
    await expect(one.sessions.updateSession(session)).rejects.toThrow(SessionNotFoundError);
  });
});
