import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { MemoryBackend, SessionUsageError, type SessionModuleOptions } from 'nestjs-sessionx';

import { everyBackend, memory } from '../support/backends.js';
import { atOnce, startService, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

const DAY_S = 86_400;
const ANN = { userId: 'ann' };
const ENDED = { code: 'SESSION_ENDED' };
const NOT_FOUND = { code: 'SESSION_NOT_FOUND' };

describe('classes of sessions', () => {
  const store = memory();
  let service: ServiceUnderTest;

  beforeEach(() => store.start());
  afterEach(() => service.close());

  async function start(options: Partial<SessionModuleOptions>) {
    service = await startService(store.another(), { sessionTtl: 3600, ...options });
    return service;
  }

  /** Seconds until a new session ends: unused, and used all the time. */
  async function lifetimesOf(options: Parameters<ServiceUnderTest['sessions']['createSession']>[0]) {
    const { sessions, clock } = service;
    const { session, token } = await sessions.createSession(options);
    const start = clock.now();
    const unused = (session.expiresAt.getTime() - start) / 1000;
    let end = session.expiresAt.getTime();
    for (let use = 0; use < 200; use++) {
      clock.advance(Math.max((end - clock.now()) * 0.9, 1));
      const renewed = await sessions.renewSession(token).catch(() => null);
      if (renewed === null) break;
      const next = renewed.session.expiresAt.getTime();
      if (next === end) break;
      end = next;
      if (use === 199) end = Infinity;
    }
    return [unused, (end - start) / 1000];
  }

  it('differ where the options say so, and have the general lifetimes elsewhere', async () => {
    await start({
      absoluteTimeout: 8 * 3600,
      lifetimes: { anonymous: { ttl: 600 }, remembered: { ttl: 30 * DAY_S, absoluteTimeout: 90 * DAY_S } },
    });
    expect(await lifetimesOf({})).toEqual([600, 8 * 3600]);
    expect(await lifetimesOf({ user: ANN })).toEqual([3600, 8 * 3600]);
    expect(await lifetimesOf({ user: ANN, remember: false })).toEqual([3600, 8 * 3600]);
    expect(await lifetimesOf({ user: ANN, remember: true })).toEqual([30 * DAY_S, 90 * DAY_S]);
  });

  it.each<[Partial<SessionModuleOptions>, string]>([
    [{}, 'Sessions end after 3600 s without use.'],
    [{ slidingExpiration: false }, 'Sessions end after 3600 s from their start.'],
    [
      {
        absoluteTimeout: 28_800,
        lifetimes: { anonymous: { ttl: 600.5 }, remembered: { ttl: 30 * DAY_S, absoluteTimeout: null } },
      },
      'Sessions end after 3600 s without use, at the latest 28800 s from their start; anonymous ones after 600.5 s without use, at the latest 28800 s from their start; remembered ones after 2592000 s without use.',
    ],
  ])('are in the log of the start, with %j', async (options, line) => {
    const log = jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
    await start(options);
    expect(log.mock.calls.map(([text]) => String(text)).filter((text) => text.startsWith('Sessions'))).toEqual([line]);
    log.mockRestore();
  });

  it('absoluteTimeout: null in a class means none, whatever the general one is', async () => {
    await start({
      absoluteTimeout: 8 * 3600,
      lifetimes: { anonymous: { absoluteTimeout: 60 }, remembered: { ttl: 30 * DAY_S, absoluteTimeout: null } },
    });
    expect(await lifetimesOf({ user: ANN, remember: true })).toEqual([30 * DAY_S, Infinity]);
    expect(await lifetimesOf({})).toEqual([60, 60]);
  });

  it('a class that is left empty has the general lifetimes', async () => {
    await start({ absoluteTimeout: 7200, lifetimes: { remembered: {} } });
    expect(await lifetimesOf({ user: ANN, remember: true })).toEqual([3600, 7200]);
    const { session } = await service.sessions.createSession({ user: ANN, remember: true });
    expect(session.isRemembered).toBe(true);
  });

  it('a call may shorten the lifetimes of its class, and choose a ttl that the class allows', async () => {
    await start({ absoluteTimeout: 7200, lifetimes: { remembered: { ttl: 10 * DAY_S, absoluteTimeout: 20 * DAY_S } } });
    expect(await lifetimesOf({ user: ANN, ttl: 7200 })).toEqual([7200, 7200]);
    expect(await lifetimesOf({ user: ANN, absoluteTimeout: 60 })).toEqual([60, 60]);
    expect(await lifetimesOf({ user: ANN, remember: true, ttl: 20 * DAY_S })).toEqual([20 * DAY_S, 20 * DAY_S]);
    expect(await lifetimesOf({ user: ANN, remember: true, absoluteTimeout: DAY_S })).toEqual([DAY_S, DAY_S]);
  });

  it.each([
    [{ ttl: 7201 }, 'ttl is longer than absoluteTimeout'],
    [{ absoluteTimeout: 7201 }, 'can only shorten the absoluteTimeout'],
    [{ user: ANN, remember: true, ttl: 21 * DAY_S }, 'ttl is longer than absoluteTimeout'],
    [{ user: ANN, remember: true, absoluteTimeout: 21 * DAY_S }, 'can only shorten the absoluteTimeout'],
    [{ remember: true }, 'A session without a user cannot be remembered'],
    [{ user: ANN, remember: 'on' as never }, 'remember must be true or false'],
    [{ user: ANN, remember: 'false' as never }, 'remember must be true or false'],
    [{ user: ANN, remember: 1 as never }, 'remember must be true or false'],
    [{ user: ANN, remember: null as never }, 'remember must be true or false'],
  ])('createSession(%j) is a wrong use: %s', async (options, said) => {
    await start({ absoluteTimeout: 7200, lifetimes: { remembered: { ttl: 10 * DAY_S, absoluteTimeout: 20 * DAY_S } } });
    const call = service.sessions.createSession(options);
    await expect(call).rejects.toThrow(SessionUsageError);
    await expect(call).rejects.toThrow(said);
    expect(await service.sessions.listUserSessions('ann')).toEqual([]);
  });

  it('remember without its lifetimes is a wrong use, which says what to set', async () => {
    await start({ lifetimes: { anonymous: { ttl: 60 } } });
    const call = service.sessions.createSession({ user: ANN, remember: true });
    await expect(call).rejects.toThrow(SessionUsageError);
    await expect(call).rejects.toThrow('set the option lifetimes');
  });
});

describe.each(everyBackend())('a lifetime that changes, on $name', (store) => {
  let instances: TwoInstances;

  const remembering = { lifetimes: { remembered: { ttl: 30 * DAY_S, absoluteTimeout: 90 * DAY_S } } };

  beforeAll(async () => {
    instances = await startTwo(store, { sessionTtl: 1000, touchInterval: 10, ...remembering });
  });

  afterAll(() => instances.stop());

  const lifeOf = ({ expiresAt }: { readonly expiresAt: Date }) =>
    (expiresAt.getTime() - instances.one.clock.now()) / 1000;

  /** A session that the second instance has loaded too. */
  async function sharedSession(options = {}) {
    const { one, two } = instances;
    const { session, token } = await one.sessions.createSession({ user: ANN, ...options });
    return { session, token, other: await two.sessions.getSession(token) };
  }

  it('survives a new id: the class, the ttl and the absolute end', async () => {
    const { one } = instances;
    const { session } = await sharedSession({ remember: true });
    await one.sessions.setLifetime(session, { ttl: 500, absoluteTimeout: 800 });
    one.clock.advanceSeconds(100);
    const { session: next, token: newToken } = await one.sessions.regenerateSessionId(session);
    const token = newToken!;
    expect([next.isRemembered, lifeOf(next)]).toEqual([true, 500]);
    one.clock.advanceSeconds(400);
    await one.sessions.renewSession(token);
    one.clock.advanceSeconds(299);
    expect(await one.sessions.getSession(token)).toMatchObject({ isRemembered: true });
    await one.sessions.createSession({ user: ANN });
    const listed = await one.sessions.listUserSessions(ANN.userId);
    expect(listed.map(({ isRemembered }) => isRemembered).sort()).toEqual([false, true]);
    one.clock.advanceSeconds(1);
    await expect(one.sessions.getSession(token)).rejects.toMatchObject(NOT_FOUND);
  });

  it('a longer ttl counts from the call', async () => {
    const { one, two } = instances;
    const { session, token } = await sharedSession();
    one.clock.advanceSeconds(900);
    await one.sessions.setLifetime(session, { ttl: 5000 });
    expect(lifeOf(session)).toBe(5000);
    expect(session.lastAccessed.getTime()).toBe(one.clock.now());
    one.clock.advanceSeconds(4999);
    expect(lifeOf(await two.sessions.getSession(token))).toBe(1);
    const { session: renewed } = await two.sessions.renewSession(token);
    expect(lifeOf(renewed)).toBe(5000);
  });

  it('a shorter ttl counts from the call, ends the session without use, and is put off by use', async () => {
    const { one, two } = instances;
    const { session, token } = await sharedSession({ remember: true });
    await one.sessions.setLifetime(session, { ttl: 60 });
    expect(lifeOf(session)).toBe(60);
    const [listed] = await two.sessions
      .listUserSessions('ann')
      .then((all) => all.filter((s) => s.sessionId === session.sessionId));
    expect(lifeOf(listed!)).toBe(60);
    one.clock.advanceSeconds(59);
    const { session: used } = await two.sessions.renewSession(token);
    expect(lifeOf(used)).toBe(60);
    one.clock.advanceSeconds(59);
    expect(lifeOf(await one.sessions.getSession(token))).toBe(1);
    one.clock.advanceSeconds(1);
    await expect(two.sessions.getSession(token)).rejects.toMatchObject(NOT_FOUND);
    await expect(two.sessions.renewSession(token)).rejects.toMatchObject(NOT_FOUND);
    expect((await one.sessions.listUserSessions('ann')).map((s) => s.sessionId)).not.toContain(session.sessionId);
  });

  it('an absolute end counts from the call, and no use puts it off', async () => {
    const { one, two } = instances;
    const { session, token } = await sharedSession();
    one.clock.advanceSeconds(500);
    await one.sessions.setLifetime(session, { absoluteTimeout: 120 });
    expect(lifeOf(session)).toBe(120);
    one.clock.advanceSeconds(100);
    const { session: renewed } = await two.sessions.renewSession(token);
    expect(lifeOf(renewed)).toBe(20);
    one.clock.advanceSeconds(20);
    await expect(two.sessions.getSession(token)).rejects.toMatchObject(NOT_FOUND);
    await expect(one.sessions.setLifetime(session, { absoluteTimeout: null })).rejects.toMatchObject(ENDED);
  });

  it('an absolute end can be put off again, and taken away', async () => {
    const { one } = instances;
    const { session, token } = await sharedSession();
    await one.sessions.setLifetime(session, { absoluteTimeout: 60 });
    await one.sessions.setLifetime(session, { absoluteTimeout: 600 });
    expect(lifeOf(session)).toBe(600);
    await one.sessions.setLifetime(session, { absoluteTimeout: null });
    expect(lifeOf(session)).toBe(1000);
    one.clock.advanceSeconds(999);
    expect((await one.sessions.getSession(token)).sessionId).toBe(session.sessionId);
  });

  it('both at once', async () => {
    const { one } = instances;
    const { session } = await sharedSession();
    await one.sessions.setLifetime(session, { ttl: 2000, absoluteTimeout: 1500 });
    expect(lifeOf(session)).toBe(1500);
    await one.sessions.setLifetime(session, { ttl: 40, absoluteTimeout: 30 });
    expect(lifeOf(session)).toBe(30);
    await one.sessions.setLifetime(session, { ttl: 40, absoluteTimeout: 5000 });
    expect(lifeOf(session)).toBe(40);
  });

  it('keeps what the holder has changed, which is stored as usual, and what another one has stored meanwhile', async () => {
    const { one, two } = instances;
    const { session, token, other } = await sharedSession({ data: { a: 1, b: 1 } });
    session.data.a = 2;
    session.user!.email = 'ann@example.com';
    session.addFlashMessage('hello');
    other.data.b = 2;
    await two.sessions.updateSession(other);
    await one.sessions.setLifetime(session, { ttl: 77 });
    const between = await two.sessions.getSession(token);
    expect([between.data, between.user!.email]).toEqual([{ a: 1, b: 2 }, undefined]);
    expect(session.data).toEqual({ a: 2, b: 1 });

    await one.sessions.updateSession(session);

    const stored = await two.sessions.getSession(token);
    expect(stored.data).toEqual({ a: 2, b: 2 });
    expect([stored.user!.email, stored.getFlashMessages().map(({ message }) => message)]).toEqual([
      'ann@example.com',
      ['hello'],
    ]);
    expect(lifeOf(stored)).toBe(77);
  });

  it('a change that was read before it does not take it back', async () => {
    const { one, two } = instances;
    const { session, token, other } = await sharedSession({
      ipAddress: '192.0.2.1',
      userAgent: 'phone',
      remember: true,
    });
    await one.sessions.setLifetime(session, { ttl: 77 });
    other.data.x = 1;
    await two.sessions.updateSession(other);
    const stored = await one.sessions.getSession(token);
    expect(stored).toMatchObject({ data: { x: 1 }, ipAddress: '192.0.2.1', userAgent: 'phone', isRemembered: true });
    expect(lifeOf(stored)).toBe(77);
  });

  it('two holders at once: one sets the ttl, the other the absolute end, others change data, and all have their way', async () => {
    const { one, two } = instances;
    const { session, token, other } = await sharedSession();
    await Promise.all([
      one.sessions.setLifetime(session, { ttl: 300 }),
      two.sessions.setLifetime(other, { absoluteTimeout: 400 }),
      ...(await atOnce(4, () => two.sessions.getSession(token))).map(async (held, index) => {
        held.data[`key${index}`] = index;
        await two.sessions.updateSession(held);
      }),
    ]);
    const stored = await one.sessions.getSession(token);
    expect(stored.data).toEqual({ key0: 0, key1: 1, key2: 2, key3: 3 });
    expect(lifeOf(stored)).toBe(300);
    one.clock.advanceSeconds(299);
    expect(lifeOf((await one.sessions.renewSession(token)).session)).toBe(101);
  });

  it.each(['ttl', 'absoluteTimeout'] as const)(
    'a renewal that another instance has under way never makes a session outlive a shorter %s',
    async (kind) => {
      const { barrier, one, two } = instances;
      const { token, other } = await sharedSession({ remember: true });
      one.clock.advanceSeconds(15 * DAY_S + 1);
      const touch = barrier.stopNext('touch');
      const renewal = one.sessions.renewSession(token);
      await touch.arrived;
      await two.sessions.setLifetime(other, { [kind]: 60 });
      touch.letGo();
      const { session: renewed } = await renewal;
      one.clock.advanceSeconds(59);
      expect(lifeOf(await two.sessions.getSession(token))).toBe(1);
      one.clock.advanceSeconds(1);
      await expect(two.sessions.getSession(token)).rejects.toMatchObject(NOT_FOUND);
      await expect(one.sessions.renewSession(token)).rejects.toMatchObject(NOT_FOUND);
      await expect(one.sessions.setLifetime(renewed, { ttl: 600 })).rejects.toMatchObject(ENDED);
    },
  );

  it('a new id that another instance makes at the same time keeps it, or it fails because the session has the other id', async () => {
    const { barrier, one, two } = instances;
    for (const method of ['create', 'replace'] as const) {
      const { session, other } = await sharedSession({ remember: true });
      const stopped = barrier.stopNext(method);
      const first =
        method === 'create'
          ? one.sessions.regenerateSessionId(session)
          : one.sessions.setLifetime(session, { ttl: 60 }).then(() => null);
      await stopped.arrived;
      if (method === 'create') {
        await two.sessions.setLifetime(other, { ttl: 60 });
        stopped.letGo();
        const regenerated = await first;
        expect(lifeOf(regenerated!.session)).toBe(60);
      } else {
        await two.sessions.regenerateSessionId(other);
        stopped.letGo();
        await expect(first).rejects.toMatchObject(ENDED);
      }
    }
  });

  it('the store that fails changes nothing, and is a 503', async () => {
    const { barrier, one, two } = instances;
    const { session, token } = await sharedSession();
    barrier.fail('replace');
    await expect(one.sessions.setLifetime(session, { ttl: 5 })).rejects.toMatchObject({ status: 503 });
    barrier.heal();
    expect(lifeOf(session)).toBe(1000);
    expect(lifeOf(await two.sessions.getSession(token))).toBe(1000);
    await one.sessions.setLifetime(session, { ttl: 5 });
    expect(lifeOf(await two.sessions.getSession(token))).toBe(5);
  });

  it('a session that has ended is SESSION_ENDED, however it ended', async () => {
    const { one, two } = instances;
    const ends: ((held: Awaited<ReturnType<typeof sharedSession>>) => Promise<unknown>)[] = [
      ({ session }) => one.sessions.deleteSession(session),
      ({ other }) => two.sessions.deleteSession(other),
      ({ other }) => two.sessions.invalidateSession(other),
      ({ other }) => two.sessions.regenerateSessionId(other),
      () => two.sessions.deleteUserSessions('ann'),
      () => {
        one.clock.advanceSeconds(1000);
        return Promise.resolve();
      },
    ];
    for (const end of ends) {
      const held = await sharedSession();
      await end(held);
      await expect(one.sessions.setLifetime(held.session, { ttl: 5000 })).rejects.toMatchObject(ENDED);
      expect(held.session.status).toBe('ended');
      await expect(one.sessions.getSession(held.token)).rejects.toMatchObject({ status: 401 });
    }
  });
});

describe('a lifetime that changes', () => {
  const store = memory();
  let service: ServiceUnderTest;

  beforeEach(() => store.start());
  afterEach(() => service.close());

  const wrong: [lifetime: unknown, said: string][] = [
    [undefined, 'setLifetime() needs'],
    [null, 'setLifetime() needs'],
    [3600, 'setLifetime() needs'],
    [{}, 'setLifetime() needs'],
    [{ sessionTtl: 5 }, 'setLifetime() needs'],
    [{ ttl: undefined }, 'setLifetime() needs'],
    ...[0, -1, NaN, Infinity, null, '60', true, 0.0001, 3_153_600_001, new Date()].map((ttl): [unknown, string] => [
      { ttl },
      'ttl must be a number of seconds',
    ]),
    [{ ttl: 60, absoluteTimeout: '60' }, 'absoluteTimeout must be a number of seconds'],
    [{ absoluteTimeout: 0 }, 'absoluteTimeout must be a number of seconds'],
    [{ absoluteTimeout: 7201 }, 'can only shorten the absoluteTimeout'],
    [{ absoluteTimeout: null }, 'can only shorten the absoluteTimeout'],
    [{ ttl: 7201 }, 'ttl is longer than absoluteTimeout'],
  ];

  it.each(wrong)('setLifetime(session, %j) is a wrong use: %s', async (lifetime, said) => {
    service = await startService(store.another(), { absoluteTimeout: 7200 });
    const { session } = await service.sessions.createSession();
    const before = session.expiresAt;
    const call = service.sessions.setLifetime(session, lifetime as never);
    await expect(call).rejects.toThrow(SessionUsageError);
    await expect(call).rejects.toThrow(said);
    expect(session.expiresAt).toEqual(before);
    await expect(service.sessions.setLifetime(session.sessionId as never, { ttl: 5 })).rejects.toThrow(
      'Not a session object',
    );
  });

  it('never goes beyond the absoluteTimeout of the class, which counts from the creation', async () => {
    service = await startService(store.another(), {
      absoluteTimeout: 7200,
      lifetimes: { remembered: { ttl: DAY_S, absoluteTimeout: 10 * DAY_S } },
    });
    const { sessions, clock } = service;
    for (const [options, most] of [
      [{}, 7200],
      [{ user: ANN, remember: true }, 10 * DAY_S],
    ] as const) {
      const { session } = await sessions.createSession({ ...options, absoluteTimeout: 60 });
      clock.advanceSeconds(10);
      await sessions.setLifetime(session, { ttl: most, absoluteTimeout: most });
      expect(session.expiresAt.getTime() - session.createdAt.getTime()).toBe(most * 1000);
      await sessions.setLifetime(session, { ttl: most });
      expect(session.expiresAt.getTime() - session.createdAt.getTime()).toBe(most * 1000);
    }
  });

  it('a ttl that is longer than the session may last is a wrong use, and together with a later end it is not', async () => {
    service = await startService(store.another());
    const { sessions, clock } = service;
    const { session } = await sessions.createSession({ absoluteTimeout: 600 });
    await expect(sessions.setLifetime(session, { ttl: 601 })).rejects.toThrow('ttl is longer than absoluteTimeout');
    await sessions.setLifetime(session, { ttl: 601, absoluteTimeout: null });
    expect(session.expiresAt.getTime()).toBe(clock.now() + 601_000);
  });

  it('without sliding expiration a shorter ttl ends the session however it is used', async () => {
    service = await startService(store.another(), { slidingExpiration: false, touchInterval: 0, sessionTtl: 1000 });
    const { sessions, clock } = service;
    const { session, token } = await sessions.createSession();
    await sessions.setLifetime(session, { ttl: 60 });
    expect(session.expiresAt.getTime()).toBe(clock.now() + 60_000);
    clock.advanceSeconds(40);
    await sessions.setLifetime(await sessions.getSession(token), { absoluteTimeout: 30 });
    clock.advanceSeconds(19);
    expect((await sessions.getSession(token)).expiresAt.getTime()).toBe(clock.now() + 11_000);
    clock.advanceSeconds(11);
    await expect(sessions.getSession(token)).rejects.toMatchObject(NOT_FOUND);
  });

  it('without sliding expiration no new id moves the end of the session', async () => {
    service = await startService(store.another(), { slidingExpiration: false, sessionTtl: 1000 });
    const { sessions, clock } = service;
    const { session } = await sessions.createSession({ user: { userId: 'ann' } });
    const end = session.expiresAt.getTime();
    clock.advanceSeconds(900);
    const { session: second } = await sessions.regenerateSessionId(session, { grace: 10 });
    const { session: third, token } = await sessions.regenerateSessionId(second);
    expect(third.expiresAt.getTime()).toBe(end);
    clock.advanceSeconds(99);
    expect((await sessions.getSession(token!)).expiresAt.getTime()).toBe(end);
    clock.advanceSeconds(1);
    await expect(sessions.getSession(token!)).rejects.toMatchObject(NOT_FOUND);
  });

  it('without sliding expiration a longer ttl counts from the call, and a later end gives back what it had cut', async () => {
    service = await startService(store.another(), { slidingExpiration: false, sessionTtl: 1000 });
    const { sessions, clock } = service;
    const { session } = await sessions.createSession({ absoluteTimeout: 100 });
    clock.advanceSeconds(50);
    await sessions.setLifetime(session, { absoluteTimeout: null });
    expect(session.expiresAt.getTime()).toBe(clock.now() + 950_000);
    await sessions.setLifetime(session, { ttl: 5000 });
    expect(session.expiresAt.getTime()).toBe(clock.now() + 5_000_000);
  });

  it('of a remembered session has the general bounds when the options name none for its class any more', async () => {
    const backend = new MemoryBackend();
    service = await startService(backend, { lifetimes: { remembered: { ttl: 3600, absoluteTimeout: 7200 } } });
    const { session } = await service.sessions.createSession({ user: ANN, remember: true });
    const later = await startService(backend, { absoluteTimeout: 5400 }, service.clock);
    await expect(later.sessions.setLifetime(session, { absoluteTimeout: 5401 })).rejects.toThrow(SessionUsageError);
    await later.sessions.setLifetime(session, { absoluteTimeout: 60 });
    expect(session.expiresAt.getTime()).toBe(service.clock.now() + 60_000);
    await later.close();
  });

  it('a later end is an event, and an earlier one is none', async () => {
    service = await startService(store.another());
    const { sessions, clock, events } = service;
    const { session } = await sessions.createSession();
    await sessions.setLifetime(session, { ttl: 5000 });
    await sessions.setLifetime(session, { ttl: 50 });
    expect(events.filter(({ type }) => type === 'renewed')).toEqual([
      expect.objectContaining({ sessionId: session.sessionId, expiresAt: clock.now() + 5_000_000 }),
    ]);
  });

  it('a session that a shorter lifetime has ended takes no place of another one', async () => {
    service = await startService(store.another(), { maxSessionsPerUser: 1, onSessionLimit: 'reject' });
    const { sessions, clock } = service;
    const { session } = await sessions.createSession({ user: ANN });
    await sessions.setLifetime(session, { ttl: 60 });
    await expect(sessions.createSession({ user: ANN })).rejects.toMatchObject({ code: 'SESSION_LIMIT' });
    clock.advanceSeconds(60);
    await sessions.createSession({ user: ANN });
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
  });
});
