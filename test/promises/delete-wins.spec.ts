import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SessionConflictError, SessionNotFoundError, SessionInvalidError, type IssuedSession } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import type { BarrierBackend } from '../support/barrier-backend.js';
import { outcomes, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

describe.each(everyBackend())('what has ended stays so, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(async () => {
    instances = await startTwo(store);
    ({ barrier, one, two } = instances);
  });

  afterAll(() => instances.stop());

  const endings = [
    { name: 'deleteSession', end: (id: string) => two.sessions.deleteSession(id) },
    { name: 'deleteUserSessions', end: () => two.sessions.deleteUserSessions('ann') },
    {
      name: 'regenerateSessionId',
      end: async (_id: string, token: string) => two.sessions.regenerateSessionId(await two.sessions.getSession(token)),
    },
    {
      name: 'invalidateSession',
      end: async (_id: string, token: string) => two.sessions.invalidateSession(await two.sessions.getSession(token)),
    },
  ];

  it.each(endings)('a change that was under way before $name does not bring the session back', async ({ end }) => {
    const { token, session } = await one.sessions.createSession({ user: { userId: 'ann' } });
    const loaded = await one.sessions.getSession(token);
    loaded.data.late = true;
    const write = barrier.stopNext('replace');
    const commit = one.sessions.updateSession(loaded);
    await write.arrived;
    await end(session.sessionId, token);
    write.letGo();

    await expect(commit).rejects.toThrow(SessionNotFoundError);
    await expect(one.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    await expect(two.sessions.update(session.sessionId, () => undefined)).rejects.toThrow(SessionNotFoundError);
  });

  it.each(endings)('a touch that was under way before $name does not bring the session back', async ({ end }) => {
    const { token, session } = await one.sessions.createSession({ user: { userId: 'ann' } });
    const touch = barrier.stopNext('touch');
    const renewal = one.sessions.renewSession(token);
    await touch.arrived;
    await end(session.sessionId, token);
    touch.letGo();

    await expect(renewal).rejects.toThrow(SessionNotFoundError);
    await expect(one.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
  });

  it('a change that was in before the regeneration is in the new session, under no other id', async () => {
    const { token } = await one.sessions.createSession({ user: { userId: 'bob' }, data: { a: 1 } });
    const stale = await one.sessions.getSession(token);
    const other = await two.sessions.getSession(token);
    other.data.b = 2;
    const create = barrier.stopNext('create');
    const regeneration = one.sessions.regenerateSessionId(stale);
    await create.arrived;
    await two.sessions.updateSession(other);
    create.letGo();

    const { token: fresh } = await regeneration;
    expect((await two.sessions.getSession(fresh!)).data).toEqual({ a: 1, b: 2 });
    await expect(two.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    expect(await two.sessions.listUserSessions('bob')).toHaveLength(1);
  });

  it('of two regenerations at once one wins and the other conflicts; one id lives', async () => {
    const { token } = await one.sessions.createSession({ user: { userId: 'carl' } });
    const holders = await Promise.all([one.sessions.getSession(token), two.sessions.getSession(token)]);
    const { values, errors } = await outcomes([
      one.sessions.regenerateSessionId(holders[0]),
      two.sessions.regenerateSessionId(holders[1]),
    ]);
    expect(values).toHaveLength(1);
    expect(errors).toEqual([expect.any(SessionConflictError)]);
    expect(await one.sessions.listUserSessions('carl')).toHaveLength(1);
  });

  it('an invalidated session says so, and is on no list', async () => {
    const { token, session } = await one.sessions.createSession({ user: { userId: 'dora' } });
    expect(await one.sessions.invalidateSession(session)).toBe(true);
    expect(await one.sessions.invalidateSession(session)).toBe(false);
    await expect(two.sessions.getSession(token)).rejects.toThrow(SessionInvalidError);
    expect(await two.sessions.listUserSessions('dora')).toEqual([]);
  });

  it('to delete twice is no error, and says that nothing was there', async () => {
    const { session } = await one.sessions.createSession();
    expect(await one.sessions.deleteSession(session.sessionId)).toBe(true);
    expect(await two.sessions.deleteSession(session.sessionId)).toBe(false);
    expect(await two.sessions.deleteSession('not an id')).toBe(false);
  });

  it.each<[string, (service: ServiceUnderTest, issued: IssuedSession) => Promise<unknown>, code: string]>([
    ['was invalidated', ({ sessions }, { session }) => sessions.invalidateSession(session), 'SESSION_INVALIDATED'],
    [
      'is over since its lifetime was made shorter',
      async ({ sessions, clock }, { session }) => {
        await sessions.setLifetime(session, { ttl: 5 });
        clock.advanceSeconds(6);
      },
      'SESSION_NOT_FOUND',
    ],
  ])('to delete one that %s says that nothing was there, and is no second end', async (_, end, code) => {
    for (const user of [null, { userId: 'erik' }]) {
      const issued = await one.sessions.createSession({ user });
      const { sessionId } = issued.session;
      await end(one, issued);
      const ends = () => two.events.filter((event) => event.type === 'ended' && event.sessionId === sessionId);
      expect(await two.sessions.deleteSession(sessionId)).toBe(false);
      expect(ends()).toEqual([]);
      await expect(two.sessions.getSession(issued.token)).rejects.toMatchObject({ code });
    }
  });

  it('a deletion that was under way when another process invalidated the session is no second end, and it goes on to say why', async () => {
    const cases = [null, { userId: 'fay' }].flatMap((user) => [false, true].map((byId) => ({ user, byId })));
    for (const { user, byId } of cases) {
      const { token } = await one.sessions.createSession({ user });
      const held = await one.sessions.getSession(token);
      for (const { events } of [one, two]) events.length = 0;
      const stopped = barrier.stopNext('delete');
      const deletion = one.sessions.deleteSession(byId ? held.sessionId : held);
      await stopped.arrived;
      expect(await two.sessions.invalidateSession(await two.sessions.getSession(token))).toBe(true);
      stopped.letGo();
      expect(await deletion).toBe(false);
      expect([...one.events, ...two.events]).toMatchObject([{ type: 'ended', reason: 'invalidated' }]);
      await expect(one.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_INVALIDATED' });
    }
  });

  it('what is open by an id ends with the session at once, also where another process has given it a newer id', async () => {
    for (const byId of [false, true]) {
      const { token } = await one.sessions.createSession({ user: { userId: 'emil' } });
      const held = await one.sessions.getSession(token);
      const { sessionId } = held;
      const signal = one.sessions.whileAlive(held);
      await two.sessions.regenerateSessionId(await two.sessions.getSession(token), { grace: 60 });
      expect(await one.sessions.deleteSession(byId ? sessionId : held)).toBe(true);
      expect(signal.aborted).toBe(true);
    }
  });

  it('regeneration keeps creation time and absolute end', async () => {
    const { session } = await one.sessions.createSession({ absoluteTimeout: 4000 });
    one.clock.advanceSeconds(1800);
    const { session: fresh, token } = await one.sessions.regenerateSessionId(session);
    expect(fresh.createdAt).toEqual(session.createdAt);
    const { session: renewed } = await one.sessions.renewSession(token!);
    expect(renewed.expiresAt.getTime()).toBe(session.createdAt.getTime() + 4_000_000);
  });
});
