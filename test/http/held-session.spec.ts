import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import {
  SessionConflictError,
  SessionEvents,
  SessionNotFoundError,
  SessionService,
  type LoginResult,
  type SessionEvent,
  type SessionUser,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { HandlerController, Handlers, type Handler, type HandlerContext } from '../support/handler-controller.js';

const ANN = { userId: 'ann' };
const BOB = { userId: 'bob' };

const setups = everyBackend().flatMap((store) => PLATFORMS.map((platform) => ({ store, platform, name: store.name })));

describe.each(setups)('the session that a handler holds, on $name and $platform', ({ store, platform }) => {
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
      session: { backend: barrier.backend, backendTimeout: 10_000 },
    });
    sessions = app.app.get(SessionService);
    app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
  });

  beforeEach(async () => {
    events = [];
    barrier.heal();
    for (const user of [ANN, BOB]) await sessions.deleteUserSessions(user.userId);
  });

  afterAll(async () => {
    await app.close();
    await store.stop();
  });

  /** The response to a request with `token`, and the token that the client has afterwards. */
  async function run(token: string | null, handler: Handler) {
    app.app.get(Handlers).current = handler;
    const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
    const response = await app.fetch('/run', { method: 'POST', headers });
    const body: unknown = await response.text().then((text) => (text === '' ? null : (JSON.parse(text) as unknown)));
    return { status: response.status, body, token: response.headers.get('x-session-token') ?? token ?? '' };
  }

  async function anonymous(data: Record<string, unknown> = {}): Promise<string> {
    return (await sessions.createSession({ data })).token;
  }

  async function messagesOf(token: string): Promise<string[]> {
    return (await sessions.getSession(token)).getFlashMessages().map(({ message }) => message);
  }

  describe('becomes the new session', () => {
    it('at a login: what is changed on it afterwards is stored', async () => {
      const { status, body, token } = await run(await anonymous({ cart: ['book'] }), async (context) => {
        const { session, request } = context;
        const { session: returned } = await context.sessions.login(request, { ...ANN, username: 'Ann' });
        session!.data.visits = 1;
        session!.addFlashMessage('Welcome');
        session!.user!.email = 'ann@example.org';
        return { same: returned === session, id: session!.sessionId, name: session!.user!.username };
      });
      expect(status).toBe(200);
      const stored = await sessions.getSession(token);
      expect(body).toEqual({ same: true, id: stored.sessionId, name: 'Ann' });
      expect(stored.data).toEqual({ cart: ['book'], visits: 1 });
      expect(stored.user).toMatchObject({ ...ANN, email: 'ann@example.org' });
      expect(stored.getFlashMessages()).toMatchObject([{ message: 'Welcome' }]);
    });

    it('at a regeneration too', async () => {
      const { token: before } = await sessions.createSession({ user: ANN, data: { a: 1 } });
      const { body, token } = await run(before, async (context) => {
        const session = context.session!;
        const { user } = session;
        const { session: returned } = await context.sessions.regenerateSessionId(session);
        session.data.b = 2;
        user!.roles.push('admin');
        session.addFlashMessage('elevated');
        return { same: returned === session && user === session.user };
      });
      expect(body).toEqual({ same: true });
      const stored = await sessions.getSession(token);
      expect(stored.data).toEqual({ a: 1, b: 2 });
      expect(stored.user?.roles).toEqual(['admin']);
      expect(await messagesOf(token)).toEqual(['elevated']);
      await expect(sessions.getSession(before)).rejects.toThrow(SessionNotFoundError);
    });

    it('at a new proof of identity, which ends what was open before, with a signal for what is opened afterwards', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { body } = await run(before, async ({ sessions: inRequest, session, request }) => {
        const signal = inRequest.whileAlive(session!);
        await inRequest.reauthenticate(request);
        const next = inRequest.whileAlive(session!);
        return { ended: signal.aborted, lives: !next.aborted, stays: inRequest.whileAlive(session!) === next };
      });
      expect(body).toEqual({ ended: true, lives: true, stays: true });
    });

    it('with its data object, and the objects in it', async () => {
      const { token } = await run(await anonymous({ cart: { items: ['book'] } }), async (context) => {
        const { data } = context.session!;
        const cart = data.cart as { items: string[] };
        await context.sessions.login(context.request, ANN);
        cart.items.push('pen');
        data.theme = 'dark';
        await context.sessions.regenerateSessionId(context.session!);
        cart.items.push('cup');
        return data === context.session!.data;
      });
      expect((await sessions.getSession(token)).data).toEqual({
        cart: { items: ['book', 'pen', 'cup'] },
        theme: 'dark',
      });
    });

    it('with what was changed before, once', async () => {
      const { token } = await run(await anonymous(), async (context) => {
        context.session!.data.n = 1;
        context.session!.addFlashMessage('before');
        await context.sessions.login(context.request, ANN);
        context.session!.addFlashMessage('after');
        await context.sessions.updateSession(context.session!);
        await context.sessions.regenerateSessionId(context.session!);
      });
      expect((await sessions.getSession(token)).data).toEqual({ n: 1 });
      expect(await messagesOf(token)).toEqual(['before', 'after']);
    });

    it('with what another request has stored meanwhile, and what this one changes while the login runs', async () => {
      const before = await anonymous({ theme: 'light', gone: true });
      const { body, token } = await run(before, async (context) => {
        const { data } = context.session!;
        const write = barrier.stopNext('create');
        const login = context.sessions.login(context.request, ANN);
        await write.arrived;
        const other = await context.sessions.getSession(before);
        other.data.theme = 'dark';
        delete other.data.gone;
        await context.sessions.updateSession(other);
        data.during = true;
        write.letGo();
        await login;
        return { ...data };
      });
      expect(body).toEqual({ theme: 'dark', during: true });
      expect((await sessions.getSession(token)).data).toEqual({ theme: 'dark', during: true });
    });

    it('for two logins, one after the other or at once: the second replaces the session of the first', async () => {
      for (const together of [false, true]) {
        events = [];
        const { token } = await run(await anonymous({ n: 1 }), async (context) => {
          const first = context.sessions.login(context.request, ANN);
          if (!together) await first;
          const second = context.sessions.login(context.request, { ...ANN, username: 'Ann' });
          const results = [await first, await second];
          context.session!.data.n = 2;
          return results.map(({ session }) => session === context.session);
        });
        const stored = await sessions.getSession(token);
        expect(stored.data).toEqual({ n: 2 });
        expect(stored.user?.username).toBe('Ann');
        expect(await sessions.listUserSessions('ann')).toHaveLength(1);
        expect(events.map(({ type }) => type)).toEqual(['created', 'created', 'ended', 'created', 'ended']);
        await sessions.deleteUserSessions('ann');
      }
    });

    it('for two logins at once without a session before them', async () => {
      const { status, token } = await run(null, async (context) => {
        const [first, second] = await Promise.all([
          context.sessions.login(context.request, ANN),
          context.sessions.login(context.request, ANN),
        ]);
        first.session.data.by = 'first';
        return first.session === second.session;
      });
      expect(status).toBe(200);
      expect((await sessions.getSession(token)).data).toEqual({ by: 'first' });
      expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    });

    it('for a start and a login at once', async () => {
      const { token } = await run(null, async (context) => {
        const [started] = await Promise.all([
          context.sessions.start(context.request, { data: { cart: ['book'] } }),
          context.sessions.login(context.request, ANN),
        ]);
        started.session.data.late = true;
      });
      const stored = await sessions.getSession(token);
      expect(stored.user?.userId).toBe('ann');
      expect(stored.data).toEqual({ cart: ['book'], late: true });
    });

    it('for two regenerations at once, and a change beside them', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status, token } = await run(before, async (context) => {
        const session = context.session!;
        const both = [context.sessions.regenerateSessionId(session), context.sessions.regenerateSessionId(session)];
        session.data.beside = true;
        await context.sessions.updateSession(session);
        await Promise.all(both);
        session.data.after = true;
      });
      expect(status).toBe(200);
      expect((await sessions.getSession(token)).data).toEqual({ beside: true, after: true });
      expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    });

    it('for calls that take it: updateSession, takeFlash, update by its id', async () => {
      const { body, token } = await run(await anonymous(), async (context) => {
        const session = context.session!;
        session.addFlashMessage('one');
        await context.sessions.login(context.request, ANN);
        session.data.saved = true;
        await context.sessions.updateSession(session);
        await context.sessions.update(session.sessionId, ({ data }) => {
          data.updated = true;
        });
        session.addFlashMessage('two');
        return (await context.sessions.takeFlash(session)).map(({ message }) => message);
      });
      expect(body).toEqual(['one', 'two']);
      expect((await sessions.getSession(token)).data).toEqual({ saved: true, updated: true });
      expect(await messagesOf(token)).toEqual([]);
    });

    it('also where the response is written by hand, or the handler throws', async () => {
      const before = await anonymous();
      const { status, token } = await run(before, async (context) => {
        await context.sessions.login(context.request, ANN);
        context.session!.data.late = true;
        throw new Error('a bug of the application');
      });
      expect(status).toBe(500);
      expect((await sessions.getSession(token)).data).toEqual({ late: true });
    });
  });

  describe('as another user', () => {
    it('carries nothing over, changed or not', async () => {
      const first = await sessions.createSession({ user: ANN, data: { secret: 'of ann' } });
      const { body, token } = await run(first.token, async (context) => {
        const { data } = context.session!;
        const cart: string[] = [];
        data.cart = cart;
        context.session!.user!.email = 'ann@example.org';
        context.session!.addFlashMessage('for ann');
        await context.sessions.login(context.request, BOB);
        const seen = { ...data };
        cart.push('of ann');
        data.mine = 'of bob';
        context.session!.addFlashMessage('for bob');
        return { seen, email: context.session!.user!.email ?? null, flash: context.session!.getFlashMessages().length };
      });
      expect(body).toEqual({ seen: {}, email: null, flash: 1 });
      const stored = await sessions.getSession(token);
      expect(stored.data).toEqual({ mine: 'of bob' });
      expect(stored.user).toEqual({ ...BOB, roles: [], permissions: [], metadata: {} });
      expect(await messagesOf(token)).toEqual([]);
    });

    it('carries nothing over of what cannot be emptied, nor of what cannot be stored', async () => {
      for (const prepare of [Object.freeze, Object.seal, (data: object) => Object.assign(data, { when: new Date() })]) {
        const first = await sessions.createSession({ user: ANN, data: { secret: 'of ann' } });
        const { status, token } = await run(first.token, async (context) => {
          prepare(context.session!.data);
          await context.sessions.login(context.request, BOB);
          context.session!.data.mine = 'of bob';
        });
        expect(status).toBe(200);
        expect((await sessions.getSession(token)).data).toEqual({ mine: 'of bob' });
      }
    });

    it('leaves the object of the former user as it was, and lets nothing be changed on it', async () => {
      const { token: before } = await sessions.createSession({ user: { ...ANN, username: 'Ann' } });
      const { body, token } = await run(before, async (context) => {
        const former = context.session!.user!;
        await context.sessions.login(context.request, BOB);
        context.session!.data.impersonator = former.userId;
        const change = () => {
          former.email = 'lost@example.org';
        };
        expect(change).toThrow(TypeError);
        return former;
      });
      expect(body).toMatchObject({ userId: 'ann', username: 'Ann' });
      expect((await sessions.getSession(token)).data).toEqual({ impersonator: 'ann' });
    });

    it('the same user stays one object, with the fields that the login gives it', async () => {
      const { token: before } = await sessions.createSession({ user: { ...ANN, email: 'old@example.org' } });
      const { token } = await run(before, async (context) => {
        const user: SessionUser = context.session!.user!;
        await context.sessions.login(context.request, { ...ANN, roles: ['admin'] });
        user.username = 'Ann';
        return user === context.session!.user;
      });
      expect((await sessions.getSession(token)).user).toEqual({
        ...ANN,
        username: 'Ann',
        roles: ['admin'],
        permissions: [],
        metadata: {},
      });
    });

    it('an anonymous session of a request gives what it has to the first user only', async () => {
      const { token } = await run(await anonymous({ cart: 'book' }), async (context) => {
        await context.sessions.login(context.request, ANN);
        context.session!.data.ann = true;
        await context.sessions.login(context.request, BOB);
        context.session!.data.bob = true;
      });
      expect((await sessions.getSession(token)).data).toEqual({ bob: true });
    });
  });

  describe('stays as it was when a login fails', () => {
    it('by a conflict: what was changed is refused, as the session is gone', async () => {
      const before = await anonymous({ n: 1 });
      const { status, body } = await run(before, async (context) => {
        const session = context.session!;
        const id = session.sessionId;
        const write = barrier.stopNext('create');
        const login = context.sessions.login(context.request, ANN);
        await write.arrived;
        await context.sessions.deleteSession(id);
        write.letGo();
        const error: unknown = await login.catch((failure: unknown) => failure);
        return {
          conflict: error instanceof SessionConflictError,
          unchanged: session.sessionId === id && session.user === null && session.data.n === 1,
        };
      });
      expect([status, body]).toEqual([200, { conflict: true, unchanged: true }]);
    });

    it('by a store that fails: it is still the anonymous session, and can be changed', async () => {
      const before = await anonymous({ n: 1 });
      const { status, token } = await run(before, async (context) => {
        const session = context.session!;
        const { data } = session;
        session.addFlashMessage('kept');
        barrier.fail('create');
        const login = context.sessions.login(context.request, ANN);
        await expect(login).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
        barrier.heal();
        data.n = 2;
        return session.isAnonymous;
      });
      expect(status).toBe(200);
      expect(token).toBe(before);
      expect((await sessions.getSession(before)).data).toEqual({ n: 2 });
      expect(await messagesOf(before)).toEqual(['kept']);
    });

    it('by a value that cannot be stored, which must not be lost without a word', async () => {
      const before = await anonymous({ n: 1 });
      const { status } = await run(before, async (context) => {
        context.session!.data.when = new Date();
        await context.sessions.login(context.request, ANN);
      });
      expect(status).toBe(500);
      expect(await sessions.listUserSessions('ann')).toEqual([]);
      expect((await sessions.getSession(before)).data).toEqual({ n: 1 });
    });
  });

  const endings: [name: string, end: Handler][] = [
    ['logout', ({ sessions: all, request }) => all.logout(request)],
    ['deleteSession', ({ sessions: all, session }) => all.deleteSession(session!.sessionId)],
    ['deleteSession of the object', ({ sessions: all, session }) => all.deleteSession(session!)],
    ['deleteUserSessions', ({ sessions: all }) => all.deleteUserSessions('ann')],
    ['invalidateSession', ({ sessions: all, session }) => all.invalidateSession(session!)],
  ];

  describe.each(endings)('after %s', (_name, end) => {
    const changes: [what: string, change: Handler][] = [
      ['data', ({ session }) => Object.assign(session!.data, { late: true })],
      ['a field of the user', ({ session }) => Object.assign(session!.user!, { email: 'late@example.org' })],
      ['a flash message', ({ session }) => session!.addFlashMessage('late')],
    ];

    it.each(changes)('a change of %s is SESSION_ENDED, and a 401', async (_what, change) => {
      const { token: before } = await sessions.createSession({ user: ANN, data: { n: 1 } });
      const { status, body } = await run(before, async (context) => {
        await end(context);
        await change(context);
      });
      expect(status).toBe(401);
      expect(body).toEqual({ statusCode: 401, message: 'Unauthorized' });
      expect(events).toContainEqual(expect.objectContaining({ type: 'rejected', reason: 'SESSION_ENDED' }));
      expect(await sessions.listUserSessions('ann')).toEqual([]);
    });

    it('without a change it is a 200, and what is read stays', async () => {
      const { token: before } = await sessions.createSession({ user: ANN, data: { n: 1 } });
      const { status, body } = await run(before, async (context) => {
        const { user, data } = context.session!;
        await end(context);
        return { goodbye: user?.userId, n: data.n };
      });
      expect([status, body]).toEqual([200, { goodbye: 'ann', n: 1 }]);
      expect(events.filter(({ type }) => type === 'rejected')).toEqual([]);
    });

    it('updateSession refuses the change at once', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { body } = await run(before, async (context) => {
        await end(context);
        context.session!.data.late = true;
        const error: unknown = await context.sessions.updateSession(context.session!).catch((e: unknown) => e);
        delete context.session!.data.late;
        return { code: (error as SessionNotFoundError).code };
      });
      expect(body).toMatchObject({ code: 'SESSION_ENDED' });
    });
  });

  it('require() finds it no more when an explicit save has found that it ended', async () => {
    const { token: before } = await sessions.createSession({ user: ANN });
    const { body } = await run(before, async (context) => {
      const session = context.session!;
      await sessions.deleteUserSessions(ANN.userId);
      session.data.late = true;
      await expect(context.sessions.updateSession(session)).rejects.toThrow(SessionNotFoundError);
      delete session.data.late;
      const error: unknown = await context.sessions.require(context.request).catch((e: unknown) => e);
      return { code: (error as SessionNotFoundError).code };
    });
    expect(body).toEqual({ code: 'SESSION_NOT_FOUND' });
  });

  describe('after an end elsewhere', () => {
    const logins: [name: string, login: (context: HandlerContext) => Promise<LoginResult>][] = [
      ['login as the same user', ({ sessions: all, request }) => all.login(request, ANN)],
      ['login as another user', ({ sessions: all, request }) => all.login(request, BOB)],
      ['start', ({ sessions: all, request }) => all.start(request)],
    ];
    const refusals: [name: string, call: (context: HandlerContext) => Promise<unknown>][] = [
      ['updateSession', ({ sessions: all, session }) => all.updateSession(session!)],
      ['update', ({ sessions: all, session }) => all.update(session!, ({ data }) => Object.assign(data, { n: 2 }))],
      ['setLifetime', ({ sessions: all, session }) => all.setLifetime(session!, { ttl: 60 })],
      ['oneTime.put', ({ sessions: all, session }) => all.oneTime.put(session!, 'state', 's')],
    ];

    /** @returns the response to a request whose session has ended elsewhere while `handler` runs */
    async function runEnded(handler: Handler) {
      const { token: before } = await sessions.createSession({ user: ANN });
      return run(before, async (context) => {
        await sessions.deleteUserSessions(ANN.userId);
        return handler(context);
      });
    }

    const living = async () =>
      (await Promise.all([ANN, BOB].map(({ userId }) => sessions.listUserSessions(userId)))).flat().length;

    describe.each(logins)('of which the handler is told before a %s', (_name, login) => {
      it.each(refusals)('by %s: what was changed before takes back no token', async (_call, refusal) => {
        const { status, body, token } = await runEnded(async (context) => {
          context.session!.data.before = true;
          await expect(refusal(context)).rejects.toMatchObject({ code: 'SESSION_ENDED' });
          const { session } = await login(context);
          return { id: session.sessionId, status: [context.session!.status, session.status] };
        });
        const { sessionId } = await sessions.getSession(token);
        expect([status, body]).toEqual([200, { id: sessionId, status: ['ended', 'active'] }]);
      });

      it('what is changed on the former session afterwards is a 401, and leaves no session behind', async () => {
        const { status } = await runEnded(async (context) => {
          context.session!.data.before = true;
          await context.sessions.updateSession(context.session!).catch(() => undefined);
          await login(context);
          context.session!.data.after = true;
        });
        expect([status, await living()]).toEqual([401, 0]);
      });
    });

    it('of which the handler is not told, a change is a 401', async () => {
      const { status } = await runEnded(({ session }) => {
        session!.data.late = true;
      });
      expect([status, await living()]).toEqual([401, 0]);
    });

    it('and a call beside a login that is told so, the login gives a session that can be changed', async () => {
      const { status, body, token } = await runEnded(async (context) => {
        const { sessions: all, request } = context;
        const [, { session }] = await Promise.all([
          all.update(context.session!, ({ data }) => Object.assign(data, { n: 1 })).catch(() => undefined),
          all.login(request, BOB),
        ]);
        const current = await all.current(request);
        session.data.after = true;
        return { status: session.status, isCurrent: current === session };
      });
      expect([status, body]).toEqual([200, { status: 'active', isCurrent: true }]);
      expect(await sessions.getSession(token)).toMatchObject({ user: BOB, data: { after: true } });
    });
  });

  describe('ended beside a login', () => {
    const calls: [name: string, calls: (context: HandlerContext) => Promise<unknown>[]][] = [
      ['one login', ({ sessions: all, request }) => [all.login(request, BOB)]],
      ['two logins', ({ sessions: all, request }) => [all.login(request, BOB), all.login(request, ANN)]],
    ];
    const ends: [name: string, end: Handler][] = [
      ['deleteSession', ({ sessions: all, session }) => all.deleteSession(session!)],
      ['invalidateSession', ({ sessions: all, session }) => all.invalidateSession(session!)],
    ];
    const owners = [
      { owner: 'a user', user: ANN },
      { owner: 'nobody', user: null },
    ];
    const cases = calls.flatMap(([login, begin]) =>
      ends.flatMap(([name, end]) => owners.map(({ owner, user }) => ({ login, begin, name, end, owner, user }))),
    );

    it.each(cases)('of $owner by $name, before $login: the last one gives a session', async ({ begin, end, user }) => {
      const { token: before } = await sessions.createSession({ user, data: { n: 1 } });
      const { status, body, token } = await run(before, async (context) => {
        context.session!.data.n = 2;
        const results = await Promise.all([end(context), ...begin(context)]);
        const { session } = results.at(-1) as LoginResult;
        session.data.after = true;
        return { user: session.user!.userId, status: session.status };
      });
      const found = await sessions.getSession(token);
      expect([status, body]).toEqual([200, { user: found.user!.userId, status: 'active' }]);
      expect(found.data).toEqual({ after: true });
      const all = await Promise.all([ANN, BOB].map(({ userId }) => sessions.listUserSessions(userId)));
      expect(all.flat().map(({ sessionId }) => sessionId)).toEqual([found.sessionId]);
    });

    it('and a start: the login gives a session', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status, token } = await run(before, async ({ sessions: all, request, session }) => {
        await Promise.all([all.start(request), all.deleteSession(session!), all.login(request, BOB)]);
      });
      expect(status).toBe(200);
      expect((await sessions.getSession(token)).user?.userId).toBe('bob');
      expect(await sessions.listUserSessions('bob')).toHaveLength(1);
    });
  });

  describe('after a logout', () => {
    it('what was changed before ends with the session', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status, body } = await run(before, async (context) => {
        context.session!.data.visits = 1;
        context.session!.addFlashMessage('never seen');
        return { ended: await context.sessions.logout(context.request) };
      });
      expect([status, body]).toEqual([200, { ended: true }]);
    });

    it('a session that is started is another object, and the former stays ended', async () => {
      const { token: before } = await sessions.createSession({ user: ANN, data: { secret: 'of ann' } });
      const { status, body, token } = await run(before, async (context) => {
        await context.sessions.logout(context.request);
        const current = await context.sessions.current(context.request);
        const { session } = await context.sessions.start(context.request);
        session.data.mine = true;
        return { current, same: session === context.session, status: [context.session!.status, session.status] };
      });
      expect([status, body]).toEqual([200, { current: null, same: false, status: ['ended', 'active'] }]);
      expect((await sessions.getSession(token)).data).toEqual({ mine: true });
    });

    it('a change of the former session fails a login that follows, and leaves no session behind', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status, token } = await run(before, async (context) => {
        await context.sessions.login(context.request, BOB);
        await context.sessions.logout(context.request);
        await context.sessions.login(context.request, ANN);
        context.session!.data.late = true;
      });
      expect([status, token]).toEqual([401, before]);
      for (const user of [ANN, BOB]) expect(await sessions.listUserSessions(user.userId)).toEqual([]);
    });

    it('a change of any of several former sessions fails the login that follows', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status } = await run(before, async (context) => {
        await context.sessions.logout(context.request);
        await context.sessions.login(context.request, BOB);
        await context.sessions.logout(context.request);
        await context.sessions.login(context.request, ANN);
        context.session!.data.late = true;
      });
      expect(status).toBe(401);
      for (const user of [ANN, BOB]) expect(await sessions.listUserSessions(user.userId)).toEqual([]);
    });

    it('to end the former session once more takes no token from the login that followed', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status, body, token } = await run(before, async (context) => {
        await context.sessions.logout(context.request);
        await context.sessions.login(context.request, BOB);
        return { ended: await context.sessions.deleteSession(context.session!) };
      });
      expect([status, body]).toEqual([200, { ended: false }]);
      expect((await sessions.getSession(token)).user?.userId).toBe('bob');
    });

    it('require() says that this request has ended it', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { body } = await run(before, async (context) => {
        await context.sessions.logout(context.request);
        const error: unknown = await context.sessions.require(context.request).catch((e: unknown) => e);
        return { message: (error as SessionNotFoundError).message };
      });
      expect(body).toEqual({ message: 'The session was ended by this request.' });
    });

    it('regenerateSessionId refuses the former session', async () => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status } = await run(before, async (context) => {
        await context.sessions.logout(context.request);
        await context.sessions.regenerateSessionId(context.session!);
      });
      expect(status).toBe(401);
      expect(await sessions.listUserSessions('ann')).toEqual([]);
    });
  });

  it.each([
    { why: 'the store fails', status: 503, isHandedOut: true },
    { why: 'it has ended', status: 401, isHandedOut: false },
  ])(
    'its new token goes out with a change that cannot be stored because $why: $isHandedOut',
    async ({ status: expected, isHandedOut }) => {
      const { token: before } = await sessions.createSession({ user: ANN });
      const { status, token } = await run(before, async (context) => {
        await context.sessions.regenerateSessionId(context.session!);
        context.session!.data.n = 1;
        if (isHandedOut) barrier.fail('replace');
        else await sessions.deleteUserSessions(ANN.userId);
      });
      barrier.heal();
      expect([status, token !== before]).toEqual([expected, isHandedOut]);
      // The old one is dead in any case.
      const found = await sessions.getSession(token).catch(() => null);
      expect(found?.user?.userId).toBe(isHandedOut ? ANN.userId : undefined);
    },
  );

  it('is the one of the last login, also where that begins while the response waits for another one', async () => {
    let second: Promise<unknown> | undefined;
    const { token } = await run(await anonymous(), ({ sessions: all, request }) => {
      const write = barrier.stopNext('create');
      const first = all.login(request, ANN);
      second = write.arrived
        // By then the handler has returned, and its response waits.
        .then(() => eventLoopTurn())
        .then(() => {
          const next = all.login(request, { ...ANN, username: 'Ann' });
          write.letGo();
          return Promise.all([first, next]);
        });
      return true;
    });
    await second;
    expect((await sessions.getSession(token)).user?.username).toBe('Ann');
  });

  it('names in its events the user that it has by then', async () => {
    const { token } = await sessions.createSession({ user: ANN });
    events = [];
    await run(token, async (context) => {
      await context.sessions.login(context.request, BOB);
      await context.sessions.logout(context.request);
    });
    expect(events.filter(({ type }) => type === 'ended')).toMatchObject([
      { reason: 'replaced-at-login', userId: 'ann' },
      { reason: 'logout', userId: 'bob' },
    ]);
  });

  it('tells by its status that it has ended', async () => {
    const { token: before } = await sessions.createSession({ user: ANN });
    const { body } = await run(before, async (context) => {
      const session = context.session!;
      const seen = [session.status];
      await context.sessions.invalidateSession(session);
      seen.push(session.status, String(session.toJSON().status) as never);
      return { seen, current: await context.sessions.current(context.request) };
    });
    expect(body).toEqual({ seen: ['active', 'invalidated', 'invalidated'], current: null });
  });
});

describe.each(PLATFORMS)('a login that carries nothing over (regenerateOnLogin: false), on %s', (platform) => {
  it('empties the session that the handler holds, under a new id', async () => {
    const app = await startApp({
      platform,
      controllers: [HandlerController],
      providers: [Handlers],
      session: { regenerateOnLogin: false },
    });
    const sessions = app.app.get(SessionService);
    const before = await sessions.createSession({ data: { cart: 'book' } });
    app.app.get(Handlers).current = async ({ sessions: all, request, session }) => {
      const { data } = session!;
      data.changed = true;
      session!.addFlashMessage('before');
      const { token } = await all.login(request, ANN);
      const seen = { ...data };
      data.after = true;
      return { token, seen, same: data === session!.data };
    };
    const response = await app.fetch('/run', { headers: { authorization: `Bearer ${before.token}` } });
    const { token, ...rest } = (await response.json()) as { token: string };
    expect(rest).toEqual({ seen: {}, same: true });
    const stored = await sessions.getSession(token);
    expect([stored.data, stored.getFlashMessages()]).toEqual([{ after: true }, []]);
    expect(stored.sessionId).not.toBe(before.session.sessionId);
    await expect(sessions.getSession(before.token)).rejects.toThrow(SessionNotFoundError);
    await app.close();
  });
});

describe('outside of a request', () => {
  it('regenerateSessionId returns another object, and ends the one that it is given', async () => {
    const app = await startApp({ controllers: [] });
    const sessions = app.app.get(SessionService);
    const { token } = await sessions.createSession({ user: ANN, data: { n: 1 } });
    const session = await sessions.getSession(token);
    session.data.before = true;
    const { session: next } = await sessions.regenerateSessionId(session);
    expect([next === session, next.sessionId === session.sessionId]).toEqual([false, false]);
    expect([session.status, next.status]).toEqual(['ended', 'active']);
    expect(next.data).toEqual({ n: 1, before: true });
    session.data.after = true;
    await expect(sessions.updateSession(session)).rejects.toMatchObject({ code: 'SESSION_ENDED' });
    await expect(sessions.regenerateSessionId(session)).rejects.toMatchObject({ code: 'SESSION_ENDED' });
    await app.close();
  });
});
