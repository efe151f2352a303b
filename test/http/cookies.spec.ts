import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, HttpCode, Logger, Post, Req, Res, UseGuards, type INestApplication } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { parseSetCookie } from 'cookie';
import type { ServerResponse } from 'node:http';
import {
  AllowAnonymous,
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  Session,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionModuleOptions,
  type TokenSource,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, TOKEN_FORMATS, type AppUnderTest } from '../support/apps.js';
import { send, type RawResponse } from '../support/raw-client.js';

const NAME = '__Host-session';
const OWN = ['Sec-Fetch-Site', 'same-origin'];

interface Raw {
  readonly raw?: ServerResponse;
}

interface Sender extends Raw {
  hijack?(): void;
  send(body: unknown): unknown;
}

/** Stops the slow handler until a test lets it go on. */
class Gate {
  #arrive!: () => void;
  #open!: () => void;
  #opened!: Promise<void>;
  reached!: Promise<void>;

  constructor() {
    this.close();
  }

  close(): void {
    this.reached = new Promise((resolve) => (this.#arrive = resolve));
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  async pass(): Promise<void> {
    this.#arrive();
    await this.#opened;
    this.close();
  }

  readonly go = (): void => {
    this.#open();
  };
}

const gate = new Gate();
let latest = '';

@Controller()
class CookieController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: { query: { by?: TokenSource; ttl?: string } }) {
    const { by, ttl } = request.query;
    const options = { ...(by ? { transport: by } : {}), ...(ttl ? { ttl: Number(ttl) } : {}) };
    const { session, ...answer } = await this.sessions.login(request, { userId: 'ann' }, options);
    session.addFlashMessage('hello');
    return answer;
  }

  @UseSession()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object) {
    const { session, ...answer } = await this.sessions.start(request);
    session.data.cart = [...((session.data.cart as string[] | undefined) ?? []), 'book'];
    return answer;
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    const { token, csrfToken } = await this.sessions.regenerateSessionId(session);
    return { token, csrfToken };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('everything')
  async everything(@Req() request: object, @CurrentSession() session: Session) {
    await this.sessions.regenerateSessionId(session);
    const { session: latest } = await this.sessions.login(request, { userId: 'ann' });
    latest.addFlashMessage('all at once');
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { loggedOut: await this.sessions.logout(request) };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { id: session.sessionId, user: session.user?.userId, data: session.data, expiresAt: session.expiresAt };
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @Get('data')
  data(@CurrentSession('data') data: object) {
    return data;
  }

  @Get('public')
  hello(@OptionalSession('user') user: object | null) {
    return { user };
  }

  @UseSession()
  @Get('raw-login')
  async rawLogin(@Req() request: object, @Res() response: Raw & { hijack?: () => void }) {
    response.hijack?.();
    await this.sessions.login(request, { userId: 'ann' });
    const raw = response.raw ?? (response as unknown as ServerResponse);
    raw.writeHead(200, [
      ['Set-Cookie', 'other=1; Path=/'],
      ['Set-Cookie', `${NAME}=the-application-meddles`],
      ['Cache-Control', 'public, max-age=600'],
    ] as never);
    raw.end();
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @Get('slow')
  async slow() {
    await gate.pass();
    return 'at last';
  }

  @UseSession()
  @HttpCode(200)
  @Post('in-and-out')
  async inAndOut(@Req() request: { query: { by?: TokenSource } }) {
    const { by } = request.query;
    const { session: first } = await this.sessions.start(request, by ? { transport: by } : {});
    await this.sessions.login(request, { userId: 'ann' });
    await this.sessions.logout(request);
    const { session } = await this.sessions.start(request, by ? { transport: by } : {});
    const again = session.isAnonymous && session.sessionId !== first.sessionId;
    await this.sessions.logout(request);
    return { again };
  }

  @UseSession()
  @HttpCode(200)
  @Post('start-and-logout')
  async startAndLogout(@Req() request: object) {
    await this.sessions.start(request, { transport: 'cookie' });
    await this.sessions.logout(request);
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('login-and-logout')
  async loginAndLogout(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' }, { transport: 'cookie' });
    await this.sessions.logout(request);
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('start-login-and-logout')
  async startLoginAndLogout(@Req() request: object) {
    await this.sessions.start(request, { transport: 'cookie' });
    await this.sessions.login(request, { userId: 'ann' }, { transport: 'cookie' });
    await this.sessions.logout(request);
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('regenerate-and-logout')
  async regenerateAndLogout(@Req() request: object) {
    const { session } = await this.sessions.login(request, { userId: 'ann' }, { transport: 'cookie' });
    await this.sessions.regenerateSessionId(session);
    await this.sessions.logout(request);
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('start-and-login')
  async startAndLogin(@Req() request: object) {
    await this.sessions.start(request);
    const { session } = await this.sessions.login(request, { userId: 'ann' });
    session.addFlashMessage('hello');
    return 'ok';
  }

  @UseSession()
  @Post('start-and-login-by-hand')
  async startAndLoginByHand(@Req() request: object, @Res() response: Sender) {
    await this.sessions.start(request);
    const { session } = await this.sessions.login(request, { userId: 'ann' });
    session.addFlashMessage('hello');
    response.send('ok');
  }

  @UseSession()
  @Post('login-by-hand')
  async loginByHand(@Req() request: { query: { by?: TokenSource } }, @Res() response: Sender) {
    const { by } = request.query;
    const { session } = await this.sessions.login(request, { userId: 'ann' }, by ? { transport: by } : {});
    session.addFlashMessage('hello');
    response.send({ signedIn: true });
  }

  @UseGuards(SessionGuard)
  @Post('regenerate-and-write')
  async regenerateAndWrite(@CurrentSession() session: Session) {
    const { session: next } = await this.sessions.regenerateSessionId(session);
    next.data.written = true;
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('regenerate-and-write-by-hand')
  async regenerateAndWriteByHand(@CurrentSession() session: Session, @Res() response: Sender) {
    const { session: next } = await this.sessions.regenerateSessionId(session);
    next.data.written = true;
    response.send('ok');
  }

  @UseSession()
  @HttpCode(200)
  @Post('stubborn-cart')
  async stubbornCart(@Req() request: object) {
    let tries = 1;
    await this.sessions.start(request).catch(() => {
      tries++;
      return this.sessions.start(request);
    });
    return `tried ${tries} times`;
  }

  @UseSession()
  @Post('login-then-write')
  async loginThenWrite(@Req() request: object, @Res() response: Sender) {
    const { session } = await this.sessions.login(request, { userId: 'ann' });
    response.hijack?.();
    const raw = response.raw ?? (response as unknown as ServerResponse);
    raw.writeHead(200).write('signed in');
    session.data.late = true;
    raw.end();
  }

  @UseGuards(SessionGuard)
  @Post('too-late')
  async tooLate(@Req() request: object, @CurrentSession() session: Session, @Res() response: Sender) {
    response.hijack?.();
    const raw = response.raw ?? (response as unknown as ServerResponse);
    raw.writeHead(200, { 'Content-Type': 'application/json' });
    const codeOf = (error: unknown) => (error as { code: string }).code;
    const login = await this.sessions.login(request, { userId: 'ann' }).catch(codeOf);
    const regenerate = await this.sessions.regenerateSessionId(session).catch(codeOf);
    raw.end(JSON.stringify({ login, regenerate }));
  }

  @UseSession()
  @Get('redirect-login')
  async redirectLogin(@Req() request: object, @Res() response: Raw) {
    await this.sessions.login(request, { userId: 'ann' });
    const raw = response.raw ?? (response as unknown as ServerResponse);
    raw.writeHead(302, { Location: '/me' }).end();
  }
}

const COOKIE_OPTIONS: Partial<SessionModuleOptions> = {
  tokenSourcePriority: ['cookie', 'header', 'bearer'],
  sessionTtl: 100,
  // So that each cookie tells how long it lasts; `lifetimes.spec.ts` is about those that do not.
  cookie: { persistent: 'always' },
};

/** The one cookie of ours that a response sets. */
function sessionCookie({ setCookies }: RawResponse, name = NAME) {
  const ours = setCookies.filter((line) => line.startsWith(`${name}=`));
  expect(ours).toHaveLength(1);
  return parseSetCookie(ours[0]!);
}

describe.each(PLATFORMS.flatMap((platform) => TOKEN_FORMATS.map((tokenFormat) => [platform, tokenFormat] as const)))(
  'the cookie transport, on %s, with %s tokens',
  (platform, tokenFormat) => {
    const COOKIES = { ...COOKIE_OPTIONS, tokenFormat };
    const backend = new MemoryBackend();
    let app: AppUnderTest;
    let rejected: string[];

    beforeAll(async () => {
      app = await startApp({ platform, controllers: [CookieController], session: { ...COOKIES, backend } });
      app.app
        .get(SessionEvents)
        .on('rejected')
        .subscribe(({ reason }) => rejected.push(reason));
    });

    beforeEach(() => {
      rejected = [];
    });

    afterEach(() => {
      jest.restoreAllMocks();
    });

    afterAll(() => app.close());

    const get = (path: string, ...headers: string[]) => send(app.url + path, { headers });
    const post = (path: string, ...headers: string[]) =>
      send(app.url + path, { method: 'POST', headers: [...OWN, ...headers] });
    const cookie = (value: string) => ['Cookie', `${NAME}=${value}`];

    async function signIn(query = ''): Promise<{ value: string; response: RawResponse }> {
      const response = await post(`/login${query}`);
      return { value: sessionCookie(response).value!, response };
    }

    it('a login sets one cookie with all that keeps it safe, and its value is nowhere else in the answer', async () => {
      const { value, response } = await signIn();

      const [line] = response.setCookies;
      expect(response.setCookies).toHaveLength(1);
      expect(line).toBe(`${NAME}=${value}; Max-Age=100; Path=/; HttpOnly; Secure; SameSite=Lax`);
      expect(JSON.parse(response.body)).toEqual({ token: null, csrfToken: expect.any(String) });
      expect(
        JSON.stringify({ ...response, setCookies: [], headers: { ...response.headers, 'set-cookie': [] } }),
      ).not.toContain(value);
      expect(response.headers['cache-control']).toBe('no-store');
      expect(response.headers.vary).toContain('Cookie');
    });

    it('the cookie opens the session, and nothing has to be answered', async () => {
      const { value } = await signIn();

      const response = await get('/me', ...cookie(value));

      expect(response.status).toBe(200);
      expect(response.setCookies).toEqual([]);
      expect(response.headers['cache-control']).toBeUndefined();
      expect(response.headers.vary).toMatch(/(^|, )Cookie(,|$)/);
    });

    it('cookie and session end at one instant: after a login, a renewal, and under absoluteTimeout', async () => {
      const local = await startApp({
        platform,
        controllers: [CookieController],
        session: { ...COOKIES, absoluteTimeout: 130 },
      });
      const at = (path: string, value: string) => send(local.url + path, { headers: cookie(value) });
      const login = await send(`${local.url}/login`, { method: 'POST', headers: OWN });
      const { value, maxAge } = sessionCookie(login);
      expect(maxAge).toBe(100);

      local.clock.advanceSeconds(40);
      expect((await at('/me', value!)).setCookies).toEqual([]);
      local.clock.advanceSeconds(20);
      const renewal = await at('/me', value!);
      const renewed = sessionCookie(renewal);
      expect(renewed.maxAge).toBe(70);
      const { expiresAt } = JSON.parse(renewal.body) as { expiresAt: string };
      expect(new Date(expiresAt).getTime() - local.clock.now()).toBe(70_000);
      expect(renewal.headers['cache-control']).toBe('no-store');

      local.clock.advanceSeconds(69.999);
      expect((await at('/me', renewed.value!)).status).toBe(200);
      local.clock.advance(1);
      expect((await at('/me', renewed.value!)).status).toBe(401);
      await local.close();
    });

    it('a lifetime of this login is that of its cookie; a part of a second counts as one, and 400 days are the most', async () => {
      expect(sessionCookie((await signIn('?ttl=7')).response).maxAge).toBe(7);
      expect(sessionCookie((await signIn('?ttl=0.4')).response).maxAge).toBe(1);
      expect(sessionCookie((await signIn(`?ttl=${500 * 86_400}`)).response).maxAge).toBe(400 * 86_400);
    });

    it('a new id replaces the cookie, and the old one is dead at once', async () => {
      const { value } = await signIn();

      const response = await post('/regenerate', ...cookie(value));

      const next = sessionCookie(response).value!;
      expect(next).not.toBe(value);
      expect(JSON.parse(response.body)).toEqual({ token: null, csrfToken: expect.any(String) });
      expect((await get('/me', ...cookie(value))).status).toBe(401);
      expect((await get('/me', ...cookie(next))).status).toBe(200);
    });

    it('many reasons to set it in one response make one cookie', async () => {
      const { value } = await signIn();

      const response = await post('/everything', ...cookie(value));

      expect((await get('/me', ...cookie(sessionCookie(response).value!))).status).toBe(200);
    });

    it('an anonymous session moves into the login, and its cookie is dead', async () => {
      const anonymous = sessionCookie(await post('/cart')).value!;
      const again = await post('/cart', ...cookie(anonymous));
      expect(again.setCookies).toEqual([]);
      expect(JSON.parse(again.body)).toMatchObject({ token: null });

      const login = await post('/login', ...cookie(anonymous));

      const { data } = JSON.parse((await get('/me', ...cookie(sessionCookie(login).value!))).body) as { data: object };
      expect(data).toEqual({ cart: ['book', 'book'] });
      expect((await get('/data', ...cookie(anonymous))).status).toBe(401);
    });

    const CLEARED = `${NAME}=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax`;
    const CLEARED_PARTITIONED = CLEARED.replace('SameSite=Lax', 'Partitioned; SameSite=None');

    it('logout clears it, with the attributes that it was set with', async () => {
      const { value } = await signIn();

      const response = await post('/logout', ...cookie(value));

      expect(response.setCookies).toEqual([CLEARED]);
      expect(response.headers['cache-control']).toBe('no-store');
      expect((await get('/me', ...cookie(value))).status).toBe(401);
    });

    it('one that opens nothing is cleared: forged, malformed, of a session that has ended, expired; on an open route too', async () => {
      const { value } = await signIn('?ttl=10');
      const { value: ended } = await signIn();
      await post('/logout', ...cookie(ended));
      app.clock.advanceSeconds(10);
      for (const bad of [`${value.slice(0, -1)}x`, 'garbage', ended, value, 'x'.repeat(8000)]) {
        const refused = await get('/me', ...cookie(bad));
        expect(refused.status).toBe(401);
        expect(refused.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
        expect(refused.setCookies).toEqual([CLEARED]);
        const open = await get('/public', ...cookie(bad));
        expect(open.status).toBe(200);
        expect(open.setCookies).toEqual([CLEARED]);
        expect(open.headers['cache-control']).toBe('no-store');
      }
    });

    it('a fetch or a prefetch that is under way while another request gets a new id does not take the new cookie away', async () => {
      const { value } = await signIn();
      const background = [...OWN, 'Sec-Fetch-Mode', 'cors'];
      const ahead = [...OWN, 'Sec-Fetch-Mode', 'navigate', 'Sec-Purpose', 'prefetch'];
      await post('/regenerate', ...cookie(value));

      for (const path of ['/me', '/public'])
        for (const headers of [background, ahead])
          expect((await get(path, ...headers, ...cookie(value))).setCookies).toEqual([]);
      expect((await get('/me', ...OWN, 'Sec-Fetch-Mode', 'navigate', ...cookie(value))).setCookies).toEqual([CLEARED]);
      expect((await get('/me', 'Sec-Fetch-Mode', 'cors', ...cookie(value))).setCookies).toEqual([CLEARED]);
      expect((await get('/me', ...background, ...cookie('garbage'))).setCookies).toEqual([CLEARED]);
    });

    it('a logout by fetch clears it', async () => {
      const { value } = await signIn();
      expect((await post('/logout', 'Sec-Fetch-Mode', 'cors', ...cookie(value))).setCookies).toEqual([CLEARED]);
    });

    it('the cookie of a session that is bound to another client is left alone: the session lives', async () => {
      const local = await startApp({
        platform,
        controllers: [CookieController],
        session: { ...COOKIES, userAgentBinding: true },
      });
      const phone = ['User-Agent', 'phone'];
      const login = await send(`${local.url}/login`, { method: 'POST', headers: [...OWN, ...phone] });
      const own = cookie(sessionCookie(login).value!);
      const refused = await send(`${local.url}/me`, { headers: [...own, 'User-Agent', 'laptop'] });
      expect([refused.status, refused.setCookies]).toEqual([401, []]);
      expect((await send(`${local.url}/me`, { headers: [...own, ...phone] })).status).toBe(200);
      await local.close();
    });

    it('a renewal whose answer was lost is answered again, until the browser has it', async () => {
      const { value } = await signIn();
      for (let seconds = 60; seconds < 150; seconds += 20) {
        app.clock.advanceSeconds(seconds === 60 ? 60 : 20);
        const { maxAge } = sessionCookie(await get('/me', ...cookie(value)));
        expect(maxAge).toBeGreaterThan(40);
      }
      const renewed = sessionCookie(await get('/me', ...cookie(value))).value!;
      expect((await get('/me', ...cookie(renewed))).setCookies).toEqual([]);
    });

    it('a renewal that is late does not overwrite the cookie that a login has set meanwhile', async () => {
      const anonymous = sessionCookie(await post('/cart')).value!;
      app.clock.advanceSeconds(60);
      const slow = get('/slow', ...cookie(anonymous));
      const { reached, go } = gate;
      await reached;
      const login = sessionCookie(await post('/login', ...cookie(anonymous))).value!;
      go();
      const late = await slow;
      expect([late.status, late.setCookies]).toEqual([200, []]);
      expect((await get('/me', ...cookie(login))).status).toBe(200);
    });

    it.each<[when: string, happens: (session: Session, sessions: SessionService) => unknown]>([
      ['the session is invalidated', (session, sessions) => sessions.invalidateSession(session)],
      ['the store fails', () => jest.spyOn(backend, 'read').mockRejectedValue(new Error())],
    ])('a renewal does not go out of a slow request where %s meanwhile', async (_when, happens) => {
      const { value } = await signIn();
      app.clock.advanceSeconds(60);
      const slow = get('/slow', ...cookie(value));
      await gate.reached;
      const sessions = app.app.get(SessionService);
      await happens(await sessions.getSession(value), sessions);
      gate.go();
      const late = await slow;
      expect([late.status, late.setCookies]).toEqual([200, []]);
    });

    it('a renewal goes out of a slow request too, if nothing has happened meanwhile', async () => {
      const { value } = await signIn();
      app.clock.advanceSeconds(60);
      const slow = get('/slow', ...cookie(value));
      await gate.reached;
      gate.go();
      expect(sessionCookie(await slow).maxAge).toBe(100);
    });

    it('a login that is logged out by the same request leaves no cookie, no token and no CSRF token in the answer', async () => {
      const response = await post('/in-and-out');
      expect(response.setCookies).toEqual([]);
      expect(response.headers['x-csrf-token']).toBeUndefined();
      expect(JSON.parse(response.body)).toMatchObject({ again: true });
      const header = await post('/in-and-out?by=header');
      expect([header.setCookies, header.headers['x-session-token']]).toEqual([[], undefined]);
    });

    describe('a request that has brought no cookie clears none, as a login beside it may have set one by now:', () => {
      it.each(['/start-and-logout', '/login-and-logout', '/start-login-and-logout', '/regenerate-and-logout'])(
        '%s',
        async (path) => {
          const { token } = await logIn(app.app, { userId: 'ann' });
          for (const headers of [[], ['Cookie', 'theme=dark'], ['Cookie', `${NAME}=`], ['X-Session-Token', token]]) {
            const response = await post(path, ...headers);
            expect([response.status, response.setCookies]).toEqual([200, []]);
          }
        },
      );

      it.each<[path: string, status: number, outcome: () => Promise<'missing'>]>([
        ['/start-and-login', 503, () => Promise.reject(new Error('full'))],
        ['/start-and-login-by-hand', 503, () => Promise.reject(new Error('full'))],
        ['/start-and-login', 401, () => Promise.resolve('missing')],
        ['/start-and-login-by-hand', 401, () => Promise.resolve('missing')],
      ])('%s, whose changes cannot be stored: %i', async (path, status, outcome) => {
        const replace = jest.spyOn(backend, 'replace').mockImplementation(outcome);
        const response = await post(path);
        expect(replace).toHaveBeenCalled();
        expect([response.status, response.setCookies]).toEqual([status, []]);
      });

      it('one that has brought a cookie does', async () => {
        const { value } = await signIn();
        expect((await post('/start-and-logout', ...cookie(value))).setCookies).toEqual([CLEARED]);
        expect((await post('/login-and-logout', ...cookie('garbage'))).setCookies).toEqual([CLEARED]);
      });
    });

    describe('when the commit behind a login fails', () => {
      it.each(['/login', '/login-by-hand', '/login?by=header', '/login-by-hand?by=header'])(
        '%s is a 503 that gives nothing, and no session stays that nobody could use',
        async (path) => {
          const backend = new MemoryBackend();
          const local = await startApp({ platform, controllers: [CookieController], session: { ...COOKIES, backend } });
          jest.spyOn(backend, 'replace').mockRejectedValue(new Error('full'));
          const events: string[] = [];
          local.app.get(SessionEvents).all.subscribe(({ type }) => events.push(type));
          const response = await send(local.url + path, { method: 'POST', headers: OWN });
          expect([response.status, response.setCookies]).toEqual([503, []]);
          expect(response.headers['x-csrf-token']).toBeUndefined();
          expect(response.headers['x-session-token']).toBeUndefined();
          expect(await local.app.get(SessionService).listUserSessions('ann')).toEqual([]);
          expect(events).toEqual(['created', 'store-down', 'store-up', 'ended']);
          await local.close();
        },
      );

      it('a session whose cookie has gone out already stays with its owner', async () => {
        const failing = jest.spyOn(backend, 'replace').mockRejectedValue(new Error('full'));
        const response = await post('/login-then-write');
        expect(failing).toHaveBeenCalled();
        expect((await get('/me', ...cookie(sessionCookie(response).value!))).status).toBe(200);
      });

      it('a regenerated session stays with its owner: the 503 carries its cookie', async () => {
        const { value } = await signIn();
        for (const path of ['/regenerate-and-write', '/regenerate-and-write-by-hand']) {
          const failing = jest.spyOn(backend, 'replace').mockRejectedValue(new Error('full'));
          const current = path.endsWith('hand') ? latest : value;
          const response = await post(path, ...cookie(current));
          failing.mockRestore();
          expect(response.status).toBe(503);
          latest = sessionCookie(response).value!;
          expect((await get('/me', ...cookie(latest))).status).toBe(200);
        }
      });

      it('a regenerated session that has ended meanwhile brings none: its 401 carries no cookie for it', async () => {
        const { value } = await signIn();
        jest.spyOn(backend, 'replace').mockResolvedValueOnce('missing');
        const response = await post('/regenerate-and-write', ...cookie(value));
        expect([response.status, response.setCookies]).toEqual([401, [CLEARED]]);
      });

      it('a session that is due for renewal lives on, and its renewed cookie does not go out', async () => {
        const { value } = await signIn();
        app.clock.advanceSeconds(60);
        jest.spyOn(backend, 'replace').mockRejectedValueOnce(new Error('full'));
        const response = await post('/cart', ...cookie(value));
        expect([response.status, response.setCookies]).toEqual([503, []]);
        expect((await get('/me', ...cookie(value))).status).toBe(200);
      });
    });

    it('once the response has begun no cookie can go out, so nothing is made and nothing is ended', async () => {
      const { value } = await signIn();
      const before = await app.app.get(SessionService).listUserSessions('ann');
      const response = await post('/too-late', ...cookie(value));
      expect(JSON.parse(response.body)).toEqual({ login: 'USAGE', regenerate: 'USAGE' });
      expect((await get('/me', ...cookie(value))).status).toBe(200);
      expect(await app.app.get(SessionService).listUserSessions('ann')).toHaveLength(before.length);
    });

    it('a start() that failed can be tried again in the same request', async () => {
      jest.spyOn(backend, 'create').mockRejectedValueOnce(new Error('busy'));
      const response = await post('/stubborn-cart');
      expect(response.body).toContain('tried 2 times');
      expect(response.setCookies).toHaveLength(1);
    });

    describe('a serializer whose tokens cannot be sent', () => {
      let made: string;
      let local: AppUnderTest;

      beforeAll(async () => {
        const serializer = { serialize: () => made, verify: () => ({ valid: false, fault: 'TOKEN_FORGED' }) as const };
        const session = { ...COOKIES, backend, tokenFormat: serializer };
        local = await startApp({ platform, controllers: [CookieController], session });
      });

      afterAll(() => local.close());

      it.each(['a;b', 'a b', 'a,b', '"ab"', 'a\\b', 'ä', 'a\r\nSet-Cookie: x', 'x'.repeat(4001), ''])(
        'is refused before anything is stored, and the token is not shown: %j',
        async (token) => {
          made = token;
          const create = jest.spyOn(backend, 'create');
          const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
          const response = await send(`${local.url}/login`, { method: 'POST', headers: OWN });
          expect([response.status, response.setCookies]).toEqual([500, []]);
          expect(create).not.toHaveBeenCalled();
          if (token !== '')
            expect(JSON.stringify([error.mock.calls, response])).not.toContain(JSON.stringify(token).slice(1, -1));
        },
      );
    });

    it('no cookie: nothing is set, nothing is cleared, and nobody is called a forger', async () => {
      const response = await get('/me', 'Cookie', 'theme=dark; lang=en');
      expect(response.status).toBe(401);
      expect(response.setCookies).toEqual([]);
      expect(response.headers['www-authenticate']).toBe('Bearer');
      expect(rejected).toEqual(['TOKEN_MISSING']);
      expect((await get('/public', 'Cookie', 'theme=dark')).status).toBe(200);
      expect(rejected).toEqual(['TOKEN_MISSING']);
    });

    it('a session without a user is refused by a route that wants one, and keeps its cookie', async () => {
      const anonymous = sessionCookie(await post('/cart')).value!;
      const response = await get('/me', ...cookie(anonymous));
      expect([response.status, response.setCookies]).toEqual([401, []]);
      expect(rejected).toEqual(['SESSION_ANONYMOUS']);
      expect((await get('/data', ...cookie(anonymous))).status).toBe(200);
    });

    it('many visits without a session leave no session and no cookie', async () => {
      const create = jest.spyOn(backend, 'create');
      const responses = await Promise.all(Array.from({ length: 50 }, () => get('/public')));
      expect(responses.flatMap(({ setCookies }) => setCookies)).toEqual([]);
      for (let visit = 0; visit < 20; visit++) await get('/public', ...cookie('garbage'));
      expect(create).not.toHaveBeenCalled();
    });

    describe('tossed cookies', () => {
      it('two that open two sessions are no session at all, whichever comes first, in one line or in two', async () => {
        const { value } = await signIn();
        const { value: other } = await signIn();
        const tossed: string[][] = [
          ['Cookie', `${NAME}=${value}; ${NAME}=${other}`],
          ['Cookie', `${NAME}=${other}; ${NAME}=${value}`],
          ['Cookie', `${NAME}=${value}; ${NAME}=garbage; ${NAME}=${other}`],
          ['Cookie', `${NAME}=${value}`, 'Cookie', `${NAME}=${other}`],
          ['Cookie', `${NAME}=${other}`, 'cookie', `a=b;${NAME}=${value}`],
        ];
        for (const headers of tossed) {
          const response = await get('/me', ...headers);
          expect(response.status).toBe(401);
          expect(response.setCookies).toEqual([CLEARED_PARTITIONED, CLEARED]);
        }
        expect(rejected).toEqual(tossed.map(() => 'TOKEN_AMBIGUOUS'));
        expect((await get('/me', ...cookie(value))).status).toBe(200);
      });

      it('one that does not verify changes nothing, and the listeners learn of it', async () => {
        const { value } = await signIn();
        const tossed: string[][] = [
          ['Cookie', `${NAME}=${value}; ${NAME}=garbage`],
          ['Cookie', `${NAME}=garbage`, 'Cookie', `${NAME}=${value}`],
        ];
        for (const headers of tossed) expect((await get('/me', ...headers)).status).toBe(200);
        expect((await get('/me', 'Cookie', `${NAME}=; ${NAME}=${value}`)).setCookies).toEqual([]);
        expect(rejected).toEqual(['TOKEN_MALFORMED', 'TOKEN_MALFORMED']);
      });

      it('no other place makes up for it', async () => {
        const { value } = await signIn();
        const { value: other } = await signIn();
        const { token } = await logIn(app.app, { userId: 'bob' });
        const headers = ['Cookie', `${NAME}=${other}; ${NAME}=${value}`, 'X-Session-Token', token];
        expect((await get('/me', ...headers)).status).toBe(401);
      });

      it('the same one twice is one', async () => {
        const { value } = await signIn();
        expect((await get('/me', 'Cookie', `${NAME}=${value}; a=b; ${NAME}=${value}`)).status).toBe(200);
      });

      it('other spellings of the name are other cookies', async () => {
        const { value } = await signIn();
        const spelled = [
          `%5F%5FHost-session=${value}`,
          `__host-session=${value}`,
          `=${NAME}=${value}`,
          `x${NAME}=${value}`,
          `${NAME}x=${value}`,
          `a="${NAME}=${value}"`,
          `a=b, ${NAME}=${value}`,
          NAME,
          `${NAME} ${value}`,
        ];
        for (const text of spelled) {
          const response = await get('/me', 'Cookie', text);
          expect(`${text.replace(value, '')}: ${response.status}`).toBe(`${text.replace(value, '')}: 401`);
          expect(response.headers['www-authenticate']).toBe('Bearer');
        }
        expect((await get('/me', 'Cookie', `a=b;\t ${NAME}=${value} ;c=d`)).status).toBe(200);
      });

      it('of 180 junk cookies ours is found; without it the client is nobody, which is no error', async () => {
        const { value } = await signIn();
        const junk = Array.from({ length: 180 }, (_, index) => `junk${index}=${'x'.repeat(20)}`).join('; ');
        expect((await get('/me', 'Cookie', `${junk}; ${NAME}=${value}`)).status).toBe(200);
        expect((await get('/public', 'Cookie', junk)).status).toBe(200);
        expect(rejected).toEqual([]);
      });

      it('hostile headers are a 401, never a 500', async () => {
        const bytes = ['\xff\xfe\x80', '%ZZ', '%00', '"', '""', '{}', '__proto__', '%c0%af', 'null', 'undefined', '\\'];
        for (const text of bytes) expect((await get('/me', ...cookie(text))).status).toBe(401);
        const long = ['='.repeat(15_000), `${NAME}=`.repeat(1_000), `${';'.repeat(14_000)}${NAME}=x`];
        for (const text of long) expect((await get('/me', 'Cookie', text)).status).toBe(401);
      });
    });

    describe('beside the other transports', () => {
      it('the answer goes out the way the token came in', async () => {
        const { value } = await signIn();
        const header = JSON.parse((await post('/login?by=header')).body) as { token: string; csrfToken: null };
        expect(header.csrfToken).toBeNull();
        app.clock.advanceSeconds(60);

        const byCookie = await get('/me', ...cookie(value));
        const byHeader = await get('/me', 'X-Session-Token', header.token);

        expect(sessionCookie(byCookie).value).not.toBe(value);
        expect(byCookie.headers['x-session-token']).toBeUndefined();
        expect(byHeader.setCookies).toEqual([]);
        expect(byHeader.headers['x-session-token']).not.toBe(header.token);
      });

      it('a cookie that does not verify lets a header have its turn, and is cleared', async () => {
        const { token } = await logIn(app.app, { userId: 'bob' });
        const response = await get('/me', ...cookie('garbage'), 'Authorization', `Bearer ${token}`);
        expect(response.status).toBe(200);
        expect(response.setCookies).toEqual([CLEARED]);
      });

      it('one that verifies and names no living session ends the search', async () => {
        const { value } = await signIn();
        await post('/logout', ...cookie(value));
        const { token } = await logIn(app.app, { userId: 'bob' });
        expect((await get('/me', ...cookie(value), 'X-Session-Token', token)).status).toBe(401);
      });

      it("of two sessions the first source's is taken, and they never mix", async () => {
        const { value } = await signIn();
        const { token } = await logIn(app.app, { userId: 'bob' });
        const response = await get('/me', 'Authorization', `Bearer ${token}`, ...cookie(value));
        expect(JSON.parse(response.body)).toMatchObject({ user: 'ann' });
      });

      it('a login without a session before it can choose, and a cookie whose session it replaces is cleared', async () => {
        const first = await post('/login?by=header');
        expect(first.setCookies).toEqual([]);
        expect(JSON.parse(first.body)).toEqual({ token: expect.any(String), csrfToken: null });
        const anonymous = sessionCookie(await post('/cart')).value!;

        const second = await post('/login?by=header', ...cookie(anonymous));

        expect(second.setCookies).toEqual([CLEARED]);
        const { token } = JSON.parse(second.body) as { token: string };
        expect(JSON.parse((await get('/me', 'X-Session-Token', token)).body)).toMatchObject({
          data: { cart: ['book'] },
        });
      });

      it('a place that the options do not name is refused before anything is made', async () => {
        const backend = new MemoryBackend();
        const create = jest.spyOn(backend, 'create');
        const local = await startApp({ platform, controllers: [CookieController], session: { backend } });
        expect((await send(`${local.url}/login?by=cookie`, { method: 'POST' })).status).toBe(500);
        expect(create).not.toHaveBeenCalled();
        await local.close();
      });
    });

    it('what the application sets stays, but for a cookie of our name; a public cache is told to keep nothing', async () => {
      const response = await get('/raw-login');
      expect(response.setCookies).toHaveLength(2);
      expect(response.setCookies[0]).toBe('other=1; Path=/');
      expect(response.setCookies[1]).toMatch(/^__Host-session=[\w.-]{100,400}; Max-Age=100;/);
      expect(response.headers['cache-control']).toBe('no-store');
    });

    it('a redirect that is written by hand carries it', async () => {
      const response = await get('/redirect-login');
      expect(response.status).toBe(302);
      expect((await get('/me', ...cookie(sessionCookie(response).value!))).status).toBe(200);
    });

    it('a token under an old key is replaced in the cookie', async () => {
      const { value: old } = await signIn();
      const secretKey = ['the new key, which is also long enough', SECRET_KEY];
      const after = await startApp({
        platform,
        controllers: [CookieController],
        session: { ...COOKIES, backend, secretKey, indexKey: SECRET_KEY },
        clock: app.clock,
      });
      const response = await send(`${after.url}/me`, { headers: cookie(old) });
      expect(response.status).toBe(200);
      expect(sessionCookie(response)).toMatchObject({ maxAge: 100, httpOnly: true });
      await after.close();
    });

    it('a store that fails is a 503 that leaves the cookie alone, and so is the 401 of a session that ended meanwhile', async () => {
      const { value } = await signIn();
      jest.spyOn(backend, 'read').mockRejectedValueOnce(new Error('down'));

      const down = await get('/me', ...cookie(value));

      expect(down.status).toBe(503);
      expect(down.setCookies).toEqual([]);
      expect(down.headers['www-authenticate']).toBeUndefined();
      expect((await get('/me', ...cookie(value))).status).toBe(200);

      jest.spyOn(backend, 'create').mockRejectedValueOnce(new Error('full'));
      const failed = await post('/login');
      expect(failed.status).toBe(503);
      expect(failed.setCookies).toEqual([]);

      jest.spyOn(backend, 'replace').mockResolvedValueOnce('missing');
      const ended = await post('/cart', ...cookie(value));
      expect(ended.status).toBe(401);
      // Another tab may have logged in meanwhile.
      expect(ended.setCookies).toEqual([]);
    });

    it.each([
      [{ name: 'sid', secure: false }, 'sid=VALUE; Path=/; HttpOnly; SameSite=Lax'],
      [
        { sameSite: 'none', partitioned: true } as const,
        '__Host-session=VALUE; Path=/; HttpOnly; Secure; Partitioned; SameSite=None',
      ],
      [
        { name: '__Secure-sid', domain: 'example.com', path: '/app', sameSite: 'strict' } as const,
        '__Secure-sid=VALUE; Domain=example.com; Path=/app; HttpOnly; Secure; SameSite=Strict',
      ],
      [{ name: '__Host-Http-sid' }, '__Host-Http-sid=VALUE; Path=/; HttpOnly; Secure; SameSite=Lax'],
      [{ persistent: 'always' } as const, '__Host-session=VALUE; Max-Age=100; Path=/; HttpOnly; Secure; SameSite=Lax'],
    ])('%p: %s', async (options, expected) => {
      const local = await startApp({
        platform,
        controllers: [CookieController],
        session: { ...COOKIES, cookie: options },
      });
      const { setCookies } = await send(`${local.url}/login`, { method: 'POST', headers: OWN });
      expect(setCookies.map((line) => line.replace(/=[^;]+/, '=VALUE'))).toEqual([expected]);
      await local.close();
    });

    describe('for a page of another site', () => {
      const CORS = ['Origin', 'http://localhost:1', 'Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'cors'];

      /** What an application says that gets each of these requests twice. */
      const warned = async (requests: readonly string[][], cookie: SessionModuleOptions['cookie'] = {}) => {
        const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
        const local = await startApp({
          platform,
          controllers: [CookieController],
          session: { ...COOKIES, cookie, csrf: { allowedOrigins: ['http://localhost:1'] } },
          clock: app.clock,
        });
        for (const headers of [...requests, ...requests]) {
          const response = await send(`${local.url}/login`, { method: 'POST', headers });
          expect(response.status).toBe(200);
        }
        await local.close();
        const texts = warn.mock.calls.map(([text]) => String(text)).filter((text) => text.includes('another site'));
        warn.mockRestore();
        return texts;
      };

      it('one warning says what browsers ask for', async () => {
        for (const cookie of [{}, { sameSite: 'none' }, { sameSite: 'strict', partitioned: true }] as const) {
          const texts = await warned([CORS], cookie);
          expect(texts).toHaveLength(1);
          expect(texts[0]).toContain("set cookie.sameSite to 'none' and cookie.partitioned to true");
        }
      });

      it('the same for a form within a frame', async () => {
        for (const kind of ['iframe', 'frame', 'object', 'embed']) {
          const frame = [...CORS.slice(0, -1), 'navigate', 'Sec-Fetch-Dest', kind];
          expect(await warned([frame])).toHaveLength(1);
        }
      });

      it('there is nothing to say where browsers take it', async () => {
        expect(await warned([CORS], { sameSite: 'none', partitioned: true })).toEqual([]);
        const page = [...CORS.slice(0, -1), 'navigate', 'Sec-Fetch-Dest', 'document'];
        const sameOrigin = ['Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Mode', 'cors'];
        const sameSite = ['Origin', 'http://localhost:1', 'Sec-Fetch-Site', 'same-site', 'Sec-Fetch-Mode', 'cors'];
        expect(await warned([page, sameOrigin, sameSite])).toEqual([]);
        const { token } = await app.app.get(SessionService).createSession();
        expect(await warned([[...CORS, ...cookie(token)]], { sameSite: 'none' })).toEqual([]);
      });
    });

    describe('over plain HTTP', () => {
      const warned = async (headers: readonly string[], session = {}, configure?: (app: INestApplication) => void) => {
        const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
        const local = await startApp({
          platform,
          controllers: [CookieController],
          session: { ...COOKIES, ...session },
          ...(configure ? { configure } : {}),
        });
        for (let round = 0; round < 2; round++) {
          await send(`${local.url}/login`, { method: 'POST', headers: [...OWN, ...headers] });
        }
        await local.close();
        const texts = warn.mock.calls.map(([text]) => String(text)).filter((text) => text.includes('cookie'));
        warn.mockRestore();
        return texts;
      };

      it('behind a proxy that is not trusted, one warning says what to set', async () => {
        const texts = await warned(['X-Forwarded-Proto', 'https', 'Host', 'example.com']);
        expect(texts).toHaveLength(1);
        expect(texts[0]).toContain("'trust proxy' (Express) or trustProxy (Fastify)");
      });

      it('the same by the header of RFC 7239', async () => {
        expect(await warned(['Forwarded', 'proto=https'])).toHaveLength(1);
      });

      it('without a proxy, one warning says that browsers drop the cookie', async () => {
        const texts = await warned(['Host', 'example.com']);
        expect(texts).toHaveLength(1);
        expect(texts[0]).toContain('serve TLS');
      });

      it('on this machine, or with a cookie that needs no TLS, there is nothing to say', async () => {
        expect(await warned([])).toEqual([]);
        expect(await warned(['Host', 'localhost:3000'])).toEqual([]);
        expect(await warned(['Host', 'example.com'], { cookie: { name: 'sid', secure: false } })).toEqual([]);
      });

      if (platform === 'express') {
        it('behind a proxy that is trusted, there is nothing to say', async () => {
          const trust = (nest: INestApplication) => (nest as NestExpressApplication).set('trust proxy', 'loopback');
          expect(await warned(['X-Forwarded-Proto', 'https', 'Host', 'example.com'], {}, trust)).toEqual([]);
        });
      }
    });
  },
);

describe('logIn() of the testing entry', () => {
  it('signs a client in where the application takes cookies alone', async () => {
    const app = await startApp({
      controllers: [CookieController],
      session: { tokenSourcePriority: ['cookie'], cookie: { name: '__Host-mine' } },
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    expect((await app.fetch('/logout', { method: 'POST', headers })).status).toBe(200);
    await app.close();
  });

  it('and where it takes our header alone', async () => {
    const app = await startApp({
      controllers: [CookieController],
      session: { tokenSourcePriority: ['header'], headerName: 'X-Mine' },
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    await app.close();
  });
});
