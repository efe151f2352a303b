import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SessionConflictError } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

describe.each(everyBackend())('P10: the limit of sessions per user, on $name', (store) => {
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

  it('evicts what expires first', async () => {
    const lifetimes = [300, 100, 200];
    for (const ttl of lifetimes)
      await evicting.sessions.createSession({ user: { userId: 'carl' }, ttl, userAgent: String(ttl) });
    await evicting.sessions.createSession({ user: { userId: 'carl' }, ttl: 400, userAgent: '400' });
    const left = await evicting.sessions.listUserSessions('carl');
    expect(left.map(({ userAgent }) => userAgent).sort()).toEqual(['200', '300', '400']);
  });

  it('does not count sessions that have expired or ended, nor anonymous ones, nor the one that a regeneration replaces', async () => {
    await rejecting.sessions.createSession({ user: { userId: 'dora' }, ttl: 5 });
    const ended = await rejecting.sessions.createSession({ user: { userId: 'dora' } });
    await rejecting.sessions.deleteSession(ended.session.sessionId);
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
