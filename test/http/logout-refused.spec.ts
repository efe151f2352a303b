import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Query, Req, UseGuards } from '@nestjs/common';
import { parseSetCookie } from 'cookie';
import {
  CurrentSession,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type Session,
  type SessionEvent,
  type SessionModuleOptions,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend, memory, type BackendUnderTest } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const NAME = 'sid';
const HEADER = 'x-session-token';
const COOKIE = { name: NAME, secure: false };
const OWN = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };
const HOME = { 'user-agent': 'the browser' };
const MOVED = { 'user-agent': 'the browser, after an update' };

@Controller()
class DoorController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(
    @Req() request: object,
    @Query('user') userId = 'ann',
    @Query('transport') transport?: 'cookie' | 'header',
  ) {
    const { token, csrfToken, session } = await this.sessions.login(request, { userId }, { transport });
    return { token, csrfToken, id: session.sessionId, data: session.data };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }

  @UseSession()
  @HttpCode(200)
  @Post('start')
  async start(@Req() request: object, @Query('then') then: string) {
    await this.sessions.start(request);
    return then === 'login' ? this.login(request) : this.logout(request);
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() { sessionId, user }: Session) {
    return { id: sessionId, user: user?.userId };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('cart')
  cart(@CurrentSession() session: Session) {
    session.data.cart = 1;
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('new-id')
  async newId(@CurrentSession() session: Session) {
    return { token: (await this.sessions.regenerateSessionId(session, { grace: 10 })).token };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('proof')
  async proof(@Req() request: object) {
    return { token: (await this.sessions.reauthenticate(request)).token };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('password')
  async password(@Req() request: object) {
    return { token: (await this.sessions.credentialsChanged(request)).token };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('invalidate')
  async invalidate(@CurrentSession() session: Session) {
    return { ended: await this.sessions.invalidateSession(session) };
  }
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly setCookies: string[];
  /** The token that came with it; null: none. */
  readonly token: string | null;
}

class Client {
  readonly events: SessionEvent[] = [];

  private constructor(
    readonly app: AppUnderTest,
    readonly barrier: BarrierBackend,
  ) {}

  static async start(
    platform: (typeof PLATFORMS)[number],
    store: BackendUnderTest,
    session: Partial<SessionModuleOptions>,
  ): Promise<Client> {
    const barrier = new BarrierBackend(store.another());
    const app = await startApp({
      platform,
      controllers: [DoorController],
      session: { ...session, backend: barrier.backend },
    });
    const client = new Client(app, barrier);
    app.app.get(SessionEvents).all.subscribe((event) => client.events.push(event));
    return client;
  }

  async send(method: string, path: string, headers: Record<string, string>): Promise<Answer> {
    const response = await this.app.fetch(path, { method, headers });
    const setCookies = response.headers.getSetCookie();
    const cookie = setCookies.map((line) => parseSetCookie(line)).find(({ name }) => name === NAME);
    const body = (await response.json()) as Record<string, unknown>;
    const token = response.headers.get(HEADER) ?? cookie?.value ?? null;
    return { status: response.status, body, setCookies, token };
  }

  get = (path: string, headers: Record<string, string>) => this.send('GET', path, headers);
  post = (path: string, headers: Record<string, string>) => this.send('POST', path, headers);

  endings(): object[] {
    return this.events.flatMap((event) =>
      event.type === 'ended' ? [{ id: event.sessionId, reason: event.reason, userId: event.userId }] : [],
    );
  }
}

describe.each(PLATFORMS)('a logout by a token whose session is refused, on %s', (platform) => {
  describe.each(everyBackend())('on $name', (store) => {
    let client: Client;

    beforeAll(async () => {
      await store.start();
      client = await Client.start(platform, store, { userAgentBinding: true });
    });

    beforeEach(() => {
      client.events.length = 0;
    });

    afterEach(() => {
      client.barrier.heal();
    });

    afterAll(async () => {
      await client.app.close();
      await store.stop();
    });

    const by = (token: string, agent = HOME) => ({ [HEADER]: token, ...agent });
    const signIn = async () => (await client.post('/login', HOME)).token!;

    /** A session that somebody else has got a newer id for, and whose former one has no grace any more. */
    async function replaced() {
      const old = await signIn();
      const { token } = await client.post('/new-id', by(old));
      client.app.clock.advanceSeconds(10);
      const { status, body } = await client.get('/me', by(token!));
      expect([status, (await client.get('/me', by(old))).status]).toEqual([200, 401]);
      return { old, token: token!, id: body.id };
    }

    it('ends the session under its newer id, after the grace of the old one', async () => {
      const { old, token, id } = await replaced();
      const logout = await client.post('/logout', by(old));
      expect([logout.status, logout.body, logout.token]).toEqual([200, { ended: true }, null]);
      expect((await client.get('/me', by(token))).status).toBe(401);
      expect(client.endings()).toEqual([{ id, reason: 'logout', userId: 'ann' }]);
      expect((await client.post('/logout', by(old))).body).toEqual({ ended: false });
    });

    /** `count` new ids, each with a grace. */
    async function renewed(token: string, count: number): Promise<string> {
      const sessions = client.app.app.get(SessionService);
      let { session, latest } = {
        session: await sessions.getSession(token, { userAgent: HOME['user-agent'] }),
        latest: token,
      };
      for (let ids = 0; ids < count; ids++) {
        const newer = await sessions.regenerateSessionId(session, { grace: 10 });
        ({ session } = newer);
        latest = newer.token!;
      }
      return latest;
    }

    it.each([
      [0, 39],
      [10, 11],
    ])(
      'by an id of a hundred ids ago, %d s after the last of them, takes %d calls, and so it does again',
      async (seconds, calls) => {
        const old = await signIn();
        const token = await renewed(old, 100);
        client.app.clock.advanceSeconds(seconds);
        for (const ended of [true, false]) {
          const before = client.barrier.total;
          const logout = await client.post('/logout', by(old));
          expect([logout.status, logout.body, client.barrier.total - before]).toEqual([200, { ended }, calls]);
          expect((await client.get('/me', by(token))).status).toBe(401);
        }
        expect(client.endings()).toMatchObject([{ reason: 'logout', userId: 'ann' }]);
        expect((await client.post('/login', by(old))).status).toBe(200);
      },
    );

    it.each([0, 10])(
      'a login by an id of forty ids ago ends the session, %d s after the last of them',
      async (seconds) => {
        const old = await signIn();
        const token = await renewed(old, 40);
        client.app.clock.advanceSeconds(seconds);
        const before = client.barrier.total;
        const login = await client.post('/login', by(old));
        expect([login.status, login.body.data]).toEqual([200, {}]);
        expect(client.barrier.total - before).toBeLessThan(50);
        expect((await client.get('/me', by(token))).status).toBe(401);
        expect((await client.get('/me', by(login.token!))).status).toBe(200);
      },
    );

    it.each(['/login', '/proof', '/password'])('ends nothing by an id of before %s', async (path) => {
      const old = await signIn();
      const { token } = await client.post(path, by(await renewed(old, 5)));
      const latest = await renewed(token!, 5);
      client.app.clock.advanceSeconds(10);
      expect((await client.post('/logout', by(old))).body).toEqual({ ended: false });
      expect((await client.get('/me', by(latest))).status).toBe(200);
    });

    it('ends a session that is bound to another client', async () => {
      const token = await signIn();
      const { body } = await client.get('/me', by(token));
      expect((await client.get('/me', by(token, MOVED))).status).toBe(401);
      expect((await client.post('/logout', by(token, MOVED))).body).toEqual({ ended: true });
      expect((await client.get('/me', by(token))).status).toBe(401);
      expect(client.endings()).toEqual([{ id: body.id, reason: 'logout', userId: 'ann' }]);
    });

    describe.each(['logout', 'login'])('ends it by a %s also after start() in the same request', (then) => {
      const reason = then === 'logout' ? 'logout' : 'replaced-at-login';

      it('under its newer id', async () => {
        const { old, token, id } = await replaced();
        const response = await client.post(`/start?then=${then}`, by(old));
        expect([response.status, response.body]).toMatchObject([200, then === 'logout' ? { ended: true } : {}]);
        expect((await client.get('/me', by(token))).status).toBe(401);
        expect(client.endings()).toContainEqual({ id, reason, userId: 'ann' });
        // The one that was started has ended too.
        expect(client.endings()).toHaveLength(2);
      });

      it('bound to another client', async () => {
        const token = await signIn();
        const { body } = await client.get('/me', by(token));
        expect((await client.post(`/start?then=${then}`, by(token, MOVED))).status).toBe(200);
        expect((await client.get('/me', by(token))).status).toBe(401);
        expect(client.endings()).toContainEqual({ id: body.id, reason, userId: 'ann' });
      });
    });

    it('ends it by an old id in its grace, too', async () => {
      const old = await signIn();
      const { token } = await client.post('/new-id', by(old));
      expect((await client.post('/logout', by(old, MOVED))).body).toEqual({ ended: true });
      for (const one of [old, token!]) expect((await client.get('/me', by(one))).status).toBe(401);
    });

    it('leaves a session that was invalidated as it is', async () => {
      const old = await signIn();
      const { token } = await client.post('/new-id', by(old));
      await client.post('/invalidate', by(token!));
      for (const one of [token!, old]) {
        expect((await client.post('/logout', by(one))).body).toEqual({ ended: false });
        expect((await client.post('/login', by(one))).status).toBe(200);
        const reading = client.app.app.get(SessionService).getSession(token!, { userAgent: HOME['user-agent'] });
        await expect(reading).rejects.toMatchObject({ code: 'SESSION_INVALIDATED' });
      }
    });

    it('is a 503 when the store fails, and the session goes on', async () => {
      const token = await signIn();
      client.barrier.fail('delete');
      const logout = await client.post('/logout', by(token, MOVED));
      expect(logout.status).toBe(503);
      client.barrier.heal();
      expect((await client.get('/me', by(token))).status).toBe(200);
      expect((await client.post('/logout', by(token, MOVED))).body).toEqual({ ended: true });
    });

    it('a login by such a token ends the session too, and takes nothing from it', async () => {
      const { old, token, id } = await replaced();
      await client.post('/cart', by(token));
      const login = await client.post('/login', by(old));
      expect([login.status, login.body.data]).toEqual([200, {}]);
      expect((await client.get('/me', by(token))).status).toBe(401);
      expect(client.endings()).toEqual([{ id, reason: 'replaced-at-login', userId: 'ann' }]);
      const moved = await client.post('/login?user=bob', by(login.token!, MOVED));
      expect((await client.get('/me', by(login.token!))).status).toBe(401);
      expect((await client.get('/me', by(moved.token!, MOVED))).body.user).toBe('bob');
    });
  });

  describe('by cookie', () => {
    let client: Client | undefined;

    afterEach(() => client?.app.close());

    async function start(session: Partial<SessionModuleOptions> = {}): Promise<Client> {
      const store = memory();
      await store.start();
      client = await Client.start(platform, store, {
        tokenSourcePriority: ['cookie', 'header'],
        cookie: COOKIE,
        userAgentBinding: true,
        ...session,
      });
      return client;
    }

    const by = (token: string, headers: Record<string, string> = {}) => ({
      ...OWN,
      ...HOME,
      cookie: `${NAME}=${token}`,
      ...headers,
    });

    it('clears the cookie of a session that is bound to another client', async () => {
      const { post, get } = await start();
      const { token } = await post('/login', by(''));
      const logout = await post('/logout', by(token!, MOVED));
      expect(logout.body).toEqual({ ended: true });
      expect(logout.setCookies.map((line) => parseSetCookie(line))).toMatchObject([{ name: NAME, maxAge: 0 }]);
      expect((await get('/me', by(token!))).status).toBe(401);
    });

    it('clears the cookie of an old id after its grace', async () => {
      const { post, get, app } = await start();
      const { token: old } = await post('/login', by(''));
      const { token } = await post('/new-id', by(old!));
      app.clock.advanceSeconds(10);
      const logout = await post('/logout', by(old!));
      expect(logout.body).toEqual({ ended: true });
      expect(logout.setCookies.map((line) => parseSetCookie(line))).toMatchObject([{ name: NAME, maxAge: 0 }]);
      expect((await get('/me', by(token!))).status).toBe(401);
    });

    it.each([false, true])('is refused for another site, and ends nothing (requireToken: %s)', async (requireToken) => {
      const { post, get, events } = await start({ csrf: { requireToken } });
      const { token, body } = await post('/login', by(''));
      const csrf = { 'x-csrf-token': body.csrfToken as string };
      const refused: Record<string, string>[] = [
        { ...MOVED, ...csrf, 'sec-fetch-site': 'cross-site' },
        { ...MOVED, 'x-csrf-token': 'x'.repeat(86) },
      ];
      if (requireToken) refused.push(MOVED);
      for (const headers of refused) {
        const logout = await post('/logout', by(token!, headers));
        expect([logout.status, logout.setCookies]).toEqual([403, []]);
        expect(events.at(-1)).toMatchObject({ type: 'rejected', reason: expect.stringMatching(/^CSRF_/) as unknown });
        expect((await get('/me', by(token!))).status).toBe(200);
      }
      expect((await post('/logout', by(token!, { ...MOVED, ...csrf }))).body).toEqual({ ended: true });
    });

    it('after start() too, it needs the CSRF token of the refused session', async () => {
      const { post, get } = await start({ csrf: { requireToken: true } });
      const { token, body } = await post('/login', by(''));
      expect((await post('/start?then=logout', by(token!, MOVED))).status).toBe(403);
      expect((await get('/me', by(token!))).status).toBe(200);
      const csrf = { 'x-csrf-token': body.csrfToken as string };
      expect((await post('/start?then=logout', by(token!, { ...MOVED, ...csrf }))).body).toEqual({ ended: true });
      expect((await get('/me', by(token!))).status).toBe(401);
    });

    it('ends the sessions of several cookies also after start() in the same request', async () => {
      const { post, get } = await start();
      const tokens = [(await post('/login', by(''))).token!, (await post('/login?user=bob', by(''))).token!];
      const cookie = tokens.map((token) => `${NAME}=${token}`).join('; ');
      expect((await post('/start?then=logout', by('', { cookie }))).body).toEqual({ ended: true });
      for (const token of tokens) expect((await get('/me', by(token))).status).toBe(401);
    });

    it('a login from another site is refused, and ends nothing', async () => {
      const { post, get } = await start();
      const { token } = await post('/login', by(''));
      const login = await post('/login', by(token!, { ...MOVED, 'sec-fetch-site': 'cross-site' }));
      expect([login.status, login.setCookies]).toEqual([403, []]);
      expect((await get('/me', by(token!))).status).toBe(200);
    });

    it('a logout by header leaves the cookie beside it, and its session', async () => {
      const { post, get } = await start({ tokenSourcePriority: ['header', 'cookie'] });
      const { token: byHeader } = await post('/login', HOME);
      const { token: inCookie } = await post('/login?transport=cookie', by(''));
      const logout = await post('/logout', { ...by(inCookie!), ...MOVED, [HEADER]: byHeader! });
      expect([logout.body, logout.setCookies]).toEqual([{ ended: true }, []]);
      expect((await get('/me', { [HEADER]: byHeader!, ...HOME })).status).toBe(401);
      expect((await get('/me', by(inCookie!))).status).toBe(200);
    });

    it('costs a logout and a login by a token of no session nothing', async () => {
      const { post, barrier } = await start();
      const { token } = await post('/login', by(''));
      await post('/logout', by(token!));
      const before = barrier.total;
      expect((await post('/logout', by(token!))).body).toEqual({ ended: false });
      expect(barrier.total - before).toBe(1);
      await post('/login', by(token!));
      expect(barrier.total - before).toBe(3);
    });
  });
});
