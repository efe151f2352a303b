import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryBackend, SessionEvents, SessionService, type SessionEvent } from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { HandlerController, Handlers, type Handler } from '../support/handler-controller.js';
import { startService } from '../support/services.js';

const ANN = { userId: 'ann' };
const CLIENT = { ipAddress: '127.0.0.1', userAgent: 'Browser/1' };
/** The client for which sessions of a test are made outside of a request. */
const MAKER = { ipAddress: '203.0.113.7', userAgent: 'Phone/2' };

const setups = everyBackend().flatMap((store) => PLATFORMS.map((platform) => ({ store, platform, name: store.name })));

describe.each(setups)('events for an audit log, on $name and $platform', ({ store, platform }) => {
  let barrier: BarrierBackend;
  let app: AppUnderTest;
  let sessions: SessionService;
  let events: SessionEvent[];

  beforeAll(async () => {
    await store.start();
    barrier = new BarrierBackend(store.another());
    app = await startApp({
      platform,
      controllers: [HandlerController],
      providers: [Handlers],
      session: {
        backend: barrier.backend,
        backendTimeout: 10_000,
        maxSessionsPerUser: 2,
        tokenSourcePriority: ['bearer', 'header', 'cookie'],
      },
    });
    sessions = app.app.get(SessionService);
    app.app.get(SessionEvents).all.subscribe((event) => {
      if (event.type !== 'store-down' && event.type !== 'store-up') events.push(event);
    });
  });

  beforeEach(async () => {
    events = [];
    await sessions.deleteUserSessions('ann');
    events = [];
  });

  afterAll(async () => {
    await app.close();
    await store.stop();
  });

  async function run(token: string | null, handler: Handler): Promise<void> {
    app.app.get(Handlers).current = handler;
    const headers: Record<string, string> = { 'user-agent': CLIENT.userAgent };
    if (token !== null) headers.authorization = `Bearer ${token}`;
    const response = await app.fetch('/run', { method: 'POST', headers });
    expect(response.status).toBe(200);
    await response.text();
  }

  it('a start, a login, a regeneration and a logout name their client, the way of the token, and what led to them', async () => {
    const ids: string[] = [];
    await run(null, async ({ sessions: all, request }) => {
      const { session } = await all.start(request, { transport: 'header' });
      ids.push(session.sessionId);
      await all.login(request, ANN, { transport: 'bearer' });
      ids.push(session.sessionId);
      await all.regenerateSessionId(session);
      ids.push(session.sessionId);
      await all.logout(request);
    });
    const [started, loggedIn, regenerated] = ids;
    const at = app.clock.now();
    const login = { cause: 'login', transport: 'bearer', ...CLIENT, at };
    expect(events).toEqual([
      { type: 'created', sessionId: started, userId: null, cause: 'start', transport: 'header', ...CLIENT, at },
      { type: 'created', sessionId: loggedIn, userId: 'ann', ...login },
      { type: 'ended', sessionId: started, userId: null, reason: 'replaced-at-login', by: null, ...login },
      {
        type: 'regenerated',
        sessionId: regenerated,
        previousSessionId: loggedIn,
        userId: 'ann',
        ...login,
        cause: 'regenerated',
      },
      { type: 'ended', sessionId: regenerated, userId: 'ann', reason: 'logout', by: null, ...login, cause: 'logout' },
    ]);
  });

  it('a session that a login has evicted names the login', async () => {
    for (let count = 0; count < 2; count++) await sessions.createSession({ user: ANN, ...MAKER });
    await run(null, ({ sessions: all, request }) => all.login(request, ANN).then(() => 'ok'));
    expect(events.filter(({ type }) => type === 'ended')).toMatchObject([
      { reason: 'evicted-by-limit', userId: 'ann', cause: 'login', transport: 'bearer', ...CLIENT },
    ]);
  });

  it('outside of a request the client is that of the session, and its user is named', async () => {
    const { session, token } = await sessions.createSession({ user: ANN, ...MAKER });
    const { session: next } = await sessions.regenerateSessionId(await sessions.getSession(token));
    expect(await sessions.deleteSession(next.sessionId, { by: 'admin-1' })).toBe(true);
    const outside = { transport: null, ...MAKER, userId: 'ann' };
    expect(events).toMatchObject([
      { type: 'created', sessionId: session.sessionId, cause: 'created', ...outside },
      { type: 'regenerated', sessionId: next.sessionId, cause: 'regenerated', ...outside },
      { type: 'ended', sessionId: next.sessionId, cause: 'deleted', reason: 'deleted', by: 'admin-1', ...outside },
    ]);
  });

  it('whoever ends sessions can be named at each call that does', async () => {
    const [one, two] = [await sessions.createSession({ user: ANN }), await sessions.createSession({ user: ANN })];
    const by = 'admin-1';
    await sessions.invalidateSession(one.session, { by });
    await sessions.deleteSession(two.session, { by });
    await sessions.createSession({ user: ANN });
    await sessions.deleteUserSessions('ann', { by });
    expect(events.filter(({ type }) => type === 'ended')).toMatchObject([
      { reason: 'invalidated', cause: 'invalidated', by, userId: 'ann' },
      { reason: 'deleted', cause: 'deleted', by, userId: 'ann' },
      { reason: 'logout-everywhere', cause: 'logout-everywhere', by, userId: 'ann', ipAddress: null, userAgent: null },
    ]);
  });

  it('a session of a request that is ended by other calls names the request', async () => {
    for (const end of [
      ({ sessions: all, session }) => all.invalidateSession(session!, { by: 'ann' }),
      ({ sessions: all, session }) => all.deleteSession(session!, { by: 'ann' }),
    ] as Handler[]) {
      const { token } = await sessions.createSession({ user: ANN, ...MAKER });
      events = [];
      await run(token, end);
      expect(events).toMatchObject([{ type: 'ended', userId: 'ann', by: 'ann', transport: 'bearer', ...CLIENT }]);
    }
  });

  it('deleteSession of an id says nothing where there was no session, also when another call was faster', async () => {
    const { session } = await sessions.createSession({ user: ANN });
    events = [];
    const remove = barrier.stopNext('delete');
    const slow = sessions.deleteSession(session.sessionId, { by: 'slow' });
    await remove.arrived;
    expect(await sessions.deleteSession(session.sessionId, { by: 'fast' })).toBe(true);
    remove.letGo();
    expect(await slow).toBe(false);
    expect(await sessions.deleteSession(session.sessionId)).toBe(false);
    expect(events).toMatchObject([{ type: 'ended', by: 'fast', userId: 'ann' }]);
  });

  it('deleteSession of an id ends the session too where the store does not say whose it is', async () => {
    const { session, token } = await sessions.createSession({ user: ANN });
    events = [];
    barrier.fail('read');
    expect(await sessions.deleteSession(session.sessionId)).toBe(true);
    barrier.heal();
    expect(events).toMatchObject([{ type: 'ended', userId: null, ipAddress: null, userAgent: null }]);
    await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  it('a login that cannot be stored tells that its session has ended again', async () => {
    app.app.get(Handlers).current = async ({ sessions: all, request }) => {
      const { session } = await all.login(request, ANN);
      session.data.first = true;
      barrier.fail('replace');
    };
    const response = await app.fetch('/run', { method: 'POST', headers: { 'user-agent': CLIENT.userAgent } });
    barrier.heal();
    expect(response.status).toBe(503);
    expect(events).toMatchObject([
      { type: 'created', cause: 'login', userId: 'ann' },
      { type: 'ended', reason: 'deleted', cause: 'login', userId: 'ann', by: null, ...CLIENT },
    ]);
  });

  it('a login that cannot be stored ends its session no second time where a log-out everywhere has', async () => {
    app.app.get(Handlers).current = async ({ sessions: all, request }) => {
      const { session } = await all.login(request, ANN);
      session.data.first = true;
      await all.deleteUserSessions('ann', { by: 'admin-1' });
      barrier.fail('replace');
    };
    const response = await app.fetch('/run', { method: 'POST', headers: { 'user-agent': CLIENT.userAgent } });
    barrier.heal();
    expect(response.status).toBe(503);
    expect(events).toMatchObject([
      { type: 'created', cause: 'login' },
      { type: 'ended', by: 'admin-1' },
    ]);
  });

  it('a login in the place of a session that has ended meanwhile ends it no second time', async () => {
    const { session, token } = await sessions.createSession({ user: ANN });
    events = [];
    await run(token, async ({ sessions: all, request }) => {
      await all.deleteSession(session.sessionId, { by: 'admin-1' });
      await all.login(request, ANN);
    });
    expect(events).toMatchObject([
      { type: 'ended', sessionId: session.sessionId, by: 'admin-1' },
      { type: 'created', cause: 'login' },
    ]);
  });

  it('a logout of a session that was invalidated meanwhile ends it no second time, and it goes on to say why', async () => {
    const { token } = await sessions.createSession({ user: ANN });
    events = [];
    await run(token, async ({ sessions: all, request }) => {
      await all.current(request);
      await sessions.invalidateSession(await sessions.getSession(token), { by: 'admin-1' });
      expect(await all.logout(request)).toBe(false);
    });
    expect(events).toMatchObject([{ type: 'ended', reason: 'invalidated', by: 'admin-1' }]);
    await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_INVALIDATED' });
  });

  it('a login in the place of a session that another process has given a new id tells the end of that', async () => {
    const other = await startService(store.another(), { backendTimeout: 10_000 }, app.clock);
    for (const user of [ANN, null]) {
      const { session, token } = await sessions.createSession({ user });
      const signal = sessions.whileAlive(session);
      events = [];
      let newId: string | undefined;
      await run(token, async ({ sessions: all, request }) => {
        await all.current(request);
        const held = await other.sessions.getSession(token);
        newId = (await other.sessions.regenerateSessionId(held, { grace: 60 })).session.sessionId;
        await all.login(request, ANN);
        expect(signal.aborted).toBe(true);
      });
      expect(events).toMatchObject([
        { type: 'created', cause: 'login' },
        { type: 'ended', sessionId: newId, reason: 'replaced-at-login' },
      ]);
    }
    if (store.name !== 'memory') await other.close();
  });

  it('nothing of a token is in any event', async () => {
    const { token } = await sessions.createSession({ user: ANN });
    await run(token, ({ sessions: all, request }) => all.logout(request).then(() => 'ok'));
    expect(events).toHaveLength(2);
    expect(JSON.stringify(events)).not.toContain(token.slice(16, 48));
  });
});

it('an address and a User-Agent are reported as sessions store them', async () => {
  const { sessions, events, close } = await startService(new MemoryBackend());
  await sessions.createSession({ ipAddress: '::ffff:192.0.2.1', userAgent: 'x'.repeat(2000) });
  expect(events).toMatchObject([{ ipAddress: '192.0.2.1', userAgent: 'x'.repeat(512) }]);
  await close();
});

it('deleteSession of an id costs a read, which tells whether it was alive, and a deletion', async () => {
  const barrier = new BarrierBackend(new MemoryBackend());
  const app = await startApp({ controllers: [], session: { backend: barrier.backend } });
  const sessions = app.app.get(SessionService);
  const { session } = await sessions.createSession();
  const before = barrier.total;
  await sessions.deleteSession(session.sessionId);
  expect(barrier.total - before).toBe(2);
  await app.close();
});
