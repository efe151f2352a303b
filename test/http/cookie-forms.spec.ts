import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Header, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import {
  AllowAnonymous,
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  Passive,
  Session,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionModuleOptions,
  type TokenSource,
} from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { CookieJar } from '../support/cookie-jar.js';
import { send, type RawResponse } from '../support/raw-client.js';

type CookieOptions = NonNullable<SessionModuleOptions['cookie']>;

const HOST = 'shop.example.com';
const NAME = '__Secure-session';

/** Every route is at `/` and at `/shop`, for cookies with a path. */
@Controller(['', 'shop'])
class ShopController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: { query: { user?: string; by?: TokenSource } }) {
    const { user = 'ann', by } = request.query;
    const { token } = await this.sessions.login(request, { userId: user }, by ? { transport: by } : {});
    return { token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object) {
    const { session } = await this.sessions.start(request);
    session.data.cart = 'book';
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    await this.sessions.regenerateSessionId(session);
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
    return { user: session.user?.userId, data: session.data };
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @Get('data')
  data(@CurrentSession() session: Session) {
    return session.data;
  }

  @Passive()
  @Get('passive')
  poll(@OptionalSession('user') user: { userId: string } | null) {
    return this.hello(user);
  }

  @Header('Set-Cookie', 'sid=own; Path=/')
  @Get('own')
  own(@OptionalSession('user') user: { userId: string } | null) {
    return { user };
  }

  @Get('public')
  hello(@OptionalSession('user') user: { userId: string } | null) {
    return { user: user?.userId ?? null };
  }
}

/** A browser with cookies, as far as a server sees it. */
class Browser {
  readonly jar: CookieJar;
  app: AppUnderTest;

  constructor(app: AppUnderTest, jar = new CookieJar()) {
    this.app = app;
    this.jar = jar;
  }

  /** A page is opened: by a link, or by the address bar. */
  visit(path: string): Promise<RawResponse> {
    return this.#send('GET', path, 'navigate');
  }

  /** A script of a page asks for something. */
  fetch(method: 'GET' | 'POST', path: string, ...headers: string[]): Promise<RawResponse> {
    return this.#send(method, path, 'cors', headers);
  }

  /** Who is signed in on the page; null: nobody. */
  async user(path = '/public'): Promise<string | null> {
    const response = await this.visit(path);
    expect(response.status).toBe(200);
    return (JSON.parse(response.body) as { user: string | null }).user;
  }

  get cookieHeader(): string {
    return this.jar.headers({ host: HOST, path: '/shop/x' })[1] ?? '';
  }

  async #send(method: 'GET' | 'POST', path: string, mode: string, headers: string[] = []): Promise<RawResponse> {
    const target = { host: HOST, path };
    const browser = ['Host', HOST, 'Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Mode', mode];
    const response = await send(this.app.url + path, {
      method,
      headers: [...browser, ...this.jar.headers(target), ...headers],
    });
    this.jar.receive(response.setCookies, target);
    return response;
  }
}

describe.each(PLATFORMS)('a cookie whose attributes change while people are signed in, on %s', (platform) => {
  const SESSION_TTL = 100;
  const backend = new BarrierBackend(new MemoryBackend());
  const clock = new FakeClock();
  const started: AppUnderTest[] = [];
  let rejected: string[];
  let ended: string[];

  beforeEach(() => {
    // The sessions of the test before are no more.
    clock.advanceSeconds(SESSION_TTL + 1);
    rejected = [];
    ended = [];
  });

  afterAll(async () => {
    for (const app of started) await app.close();
  });

  /** An application with these cookies; all share one store and one clock. */
  async function deploy(cookie: CookieOptions, session: Partial<SessionModuleOptions> = {}): Promise<AppUnderTest> {
    const app = await startApp({
      platform,
      controllers: [ShopController],
      clock,
      session: {
        tokenSourcePriority: ['cookie', 'bearer'],
        sessionTtl: SESSION_TTL,
        backend: backend.backend,
        cookie,
        ...session,
      },
    });
    started.push(app);
    const events = app.app.get(SessionEvents);
    events.on('rejected').subscribe(({ reason }) => rejected.push(reason));
    events.on('ended').subscribe(({ reason }) => ended.push(reason));
    return app;
  }

  const CHANGES: [name: string, before: CookieOptions, after: CookieOptions][] = [
    ['partitioned', { sameSite: 'none' }, { sameSite: 'none', partitioned: true }],
    ['partitioned no more', { sameSite: 'none', partitioned: true }, { sameSite: 'lax' }],
    ['with a domain', { name: NAME }, { name: NAME, domain: 'example.com' }],
    ['without a domain', { name: NAME, domain: 'example.com' }, { name: NAME, former: [{ domain: 'example.com' }] }],
    [
      'with another domain',
      { name: NAME, domain: HOST },
      { name: NAME, domain: 'example.com', former: [{ domain: HOST }] },
    ],
    ['with a narrower path', { name: NAME }, { name: NAME, path: '/shop', former: [{ path: '/' }] }],
    ['with a wider path', { name: NAME, path: '/shop' }, { name: NAME, former: [{ path: '/shop' }] }],
    [
      'with everything else',
      { name: NAME, domain: HOST, path: '/shop', sameSite: 'none', partitioned: true },
      { name: NAME, domain: 'example.com', former: [{ domain: HOST, path: '/shop', partitioned: true }] },
    ],
  ];

  describe.each(CHANGES)('%s', (_name, before, after) => {
    let former: AppUnderTest;
    let present: AppUnderTest;

    beforeAll(async () => {
      former = await deploy(before);
      present = await deploy(after);
    });

    const inOldForm = async (user: string): Promise<Browser> => {
      const browser = new Browser(former);
      await browser.fetch('POST', `/shop/login?user=${user}`);
      expect(browser.jar.cookies).toHaveLength(1);
      return browser;
    };

    it('keeps everybody signed in, and once the session is renewed one cookie is left, in the new form', async () => {
      const browser = await inOldForm('ann');
      const [old] = browser.jar.cookies;
      browser.app = present;
      clock.advanceSeconds(40);
      for (let page = 0; page < 8; page++) {
        clock.advanceSeconds(10);
        expect(await browser.user('/shop/public')).toBe('ann');
      }
      expect(browser.jar.cookies).toHaveLength(1);
      expect({ ...browser.jar.cookies[0], value: '' }).not.toEqual({ ...old, value: '' });
      expect((await browser.visit('/shop/me')).setCookies).toEqual([]);
      expect(rejected).toEqual([]);
    });

    it.each(['/shop/login?user=bob', '/shop/login?user=ann'])('%s leaves exactly the new cookie', async (path) => {
      const browser = await inOldForm('ann');
      browser.app = present;

      expect((await browser.fetch('POST', path)).status).toBe(200);

      expect(browser.jar.cookies).toHaveLength(1);
      expect(await browser.user('/shop/public')).toBe(path.slice(-3));
      expect(await browser.user('/shop/public')).toBe(path.slice(-3));
      expect(ended).toEqual(['replaced-at-login']);
    });

    it('a logout leaves none', async () => {
      const browser = await inOldForm('ann');
      browser.app = present;

      expect((await browser.fetch('POST', '/shop/logout')).body).toBe('{"loggedOut":true}');

      expect(browser.jar.cookies).toEqual([]);
      expect(ended).toEqual(['logout']);
    });

    it('a new id leaves exactly the new cookie', async () => {
      const browser = await inOldForm('ann');
      browser.app = present;

      await browser.fetch('POST', '/shop/regenerate');

      expect(browser.jar.cookies).toHaveLength(1);
      expect(await browser.user('/shop/public')).toBe('ann');
    });

    it('a cart that was filled before moves into the login after it', async () => {
      const browser = new Browser(former);
      await browser.fetch('POST', '/shop/cart');
      browser.app = present;

      await browser.fetch('POST', '/shop/login');

      expect(JSON.parse((await browser.visit('/shop/me')).body)).toEqual({ user: 'ann', data: { cart: 'book' } });
      expect(browser.jar.cookies).toHaveLength(1);
    });

    it('one of a session that has ended goes with the next page', async () => {
      const browser = await inOldForm('ann');
      browser.app = present;
      await present.app.get(SessionService).deleteUserSessions('ann');

      expect(await browser.user('/shop/public')).toBeNull();

      expect(browser.jar.cookies).toEqual([]);
    });

    describe('and each form opens a session of its own', () => {
      let browser: Browser;

      beforeEach(async () => {
        browser = await inOldForm('ann');
        browser.app = present;
        const other = new Browser(present);
        await other.fetch('POST', '/shop/login?user=bob');
        browser.jar.receive(
          other.jar.cookies.map(({ name, value, host, path, isHostOnly, partition }) =>
            [
              `${name}=${value}; Path=${path}; Secure`,
              isHostOnly ? [] : `Domain=${host}`,
              partition ? 'Partitioned' : [],
            ]
              .flat()
              .join('; '),
          ),
          { host: HOST, path: '/' },
        );
        expect(browser.cookieHeader.split('; ')).toHaveLength(2);
        rejected.length = 0;
      });

      it('a page shows neither user, costs no call to the store, and leaves no cookie', async () => {
        const calls = { ...backend.calls };
        const page = await browser.visit('/shop/me');
        expect([page.status, page.headers['www-authenticate']]).toEqual([401, 'Bearer error="invalid_token"']);
        expect(page.headers['cache-control']).toBe('no-store');
        expect(backend.calls).toEqual(calls);
        expect(rejected).toEqual(['TOKEN_AMBIGUOUS']);
        expect(browser.jar.cookies).toEqual([]);
      });

      it('an open page is shown to nobody in particular, and leaves no cookie', async () => {
        expect(await browser.user('/shop/public')).toBeNull();
        expect(browser.jar.cookies).toEqual([]);
      });

      it('what a script fetches in the background leaves all cookies as they are', async () => {
        const response = await browser.fetch('GET', '/shop/me');
        expect([response.status, response.setCookies]).toEqual([401, []]);
        expect((await browser.fetch('GET', '/shop/public')).setCookies).toEqual([]);
        expect(browser.jar.cookies).toHaveLength(2);
      });

      it('a login ends both sessions and leaves exactly its own', async () => {
        expect((await browser.fetch('POST', '/shop/login?user=cat')).status).toBe(200);

        expect(browser.jar.cookies).toHaveLength(1);
        expect(await browser.user('/shop/public')).toBe('cat');
        const sessions = present.app.get(SessionService);
        expect(await sessions.listUserSessions('ann')).toEqual([]);
        expect(await sessions.listUserSessions('bob')).toEqual([]);
        expect(ended).toEqual(['replaced-at-login', 'replaced-at-login']);
      });

      it('a login that is answered by a header ends both sessions and leaves no cookie', async () => {
        const login = await browser.fetch('POST', '/shop/login?user=cat&by=bearer');

        expect(browser.jar.cookies).toEqual([]);
        expect(ended).toEqual(['replaced-at-login', 'replaced-at-login']);
        const { token } = JSON.parse(login.body) as { token: string };
        const page = await browser.fetch('GET', '/shop/me', 'Authorization', `Bearer ${token}`);
        expect(JSON.parse(page.body)).toMatchObject({ user: 'cat' });
      });

      it('a logout ends both sessions and leaves no cookie', async () => {
        expect((await browser.fetch('POST', '/shop/logout')).body).toBe('{"loggedOut":true}');

        expect(browser.jar.cookies).toEqual([]);
        const sessions = present.app.get(SessionService);
        expect(await sessions.listUserSessions('ann')).toEqual([]);
        expect(await sessions.listUserSessions('bob')).toEqual([]);
        expect(ended).toEqual(['logout', 'logout']);
        expect((await browser.fetch('POST', '/shop/logout')).body).toBe('{"loggedOut":false}');
      });

      it.each(['/shop/login?user=cat', '/shop/login?user=cat&by=bearer', '/shop/logout', '/shop/cart'])(
        'another site ends neither by %s',
        async (path) => {
          const cookies = browser.jar.headers({ host: HOST, path });
          const headers = ['Host', HOST, 'Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'no-cors', ...cookies];
          const response = await send(present.url + path, { method: 'POST', headers });
          expect([response.status, response.setCookies]).toEqual([403, []]);
          expect(ended).toEqual([]);
        },
      );

      it('a cart that is begun has a session of its own, and its cookie is the only one', async () => {
        await browser.fetch('POST', '/shop/cart');
        expect(browser.jar.cookies).toHaveLength(1);
        expect(JSON.parse((await browser.visit('/shop/data')).body)).toEqual({ cart: 'book' });
      });
    });
  });

  describe('under a new name', () => {
    const FORMER: CookieOptions = {
      former: [{ name: 'sid' }, { name: '__Host-sid' }, { name: 'elsewhere', path: '/shop' }],
    };
    let former: AppUnderTest;
    let present: AppUnderTest;

    beforeAll(async () => {
      former = await deploy({ name: 'sid' });
      present = await deploy(FORMER);
    });

    it('the one of the former name opens nothing, and goes with the next page', async () => {
      const browser = new Browser(former);
      await browser.fetch('POST', '/login');
      browser.app = present;

      expect((await browser.fetch('GET', '/me')).setCookies).toEqual([]);
      expect(browser.jar.cookies).toHaveLength(1);
      const page = await browser.visit('/public');
      expect(JSON.parse(page.body)).toEqual({ user: null });
      expect(page.headers['cache-control']).toContain('no-store');
      expect(browser.jar.cookies).toEqual([]);
    });

    it('a login by fetch takes it along, and a name that the browser has not sent is left alone', async () => {
      const browser = new Browser(former);
      await browser.fetch('POST', '/login');
      browser.app = present;

      const { setCookies } = await browser.fetch('POST', '/login?user=bob');

      expect(browser.jar.cookies).toMatchObject([{ name: '__Host-session' }]);
      expect(setCookies.map((line) => line.split('=', 1)[0])).toEqual(['sid', 'sid', '__Host-session']);
      expect(await browser.user()).toBe('bob');
    });

    it('is left alone where the browser sends none, and where the application itself sets one', async () => {
      expect((await new Browser(present).visit('/public')).setCookies).toEqual([]);
      expect((await new Browser(present).fetch('POST', '/login')).setCookies).toHaveLength(1);
      const browser = new Browser(former);
      await browser.fetch('POST', '/login');
      browser.app = present;
      expect((await browser.visit('/own')).setCookies).toEqual(['sid=own; Path=/']);
    });
  });

  describe('whatever else the browser sends', () => {
    let app: AppUnderTest;

    beforeAll(async () => {
      app = await deploy({ name: NAME });
    });

    const signIn = async (user: string): Promise<string> => {
      const { token } = await app.app.get(SessionService).createSession({ user: { userId: user } });
      return token;
    };
    const pageOf = ({ url }: AppUnderTest, values: readonly string[], ...headers: string[]) =>
      send(`${url}/public`, {
        headers: [
          'Cookie',
          values.map((value) => `${NAME}=${value}`).join('; '),
          'Sec-Fetch-Mode',
          'navigate',
          ...headers,
        ],
      });
    const page = (values: readonly string[], ...headers: string[]) => pageOf(app, values, ...headers);
    const userOf = ({ body }: RawResponse) => (JSON.parse(body) as { user: string | null }).user;

    it('values that do not verify are ignored, wherever they stand', async () => {
      const token = await signIn('ann');
      const forged = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
      const junk = ['junk', forged, 'x'.repeat(3_000)];
      for (const values of [
        [...junk, token],
        [token, ...junk],
        ['junk', token, 'junk'],
        [forged, token, 'junk'],
        ['', token],
      ]) {
        expect(userOf(await page(values))).toBe('ann');
      }
      // The reason of the first one.
      expect(rejected).toEqual(['TOKEN_MALFORMED', 'TOKEN_MALFORMED', 'TOKEN_MALFORMED', 'TOKEN_FORGED']);
    });

    it('values that do not verify stay beside ours on a page that is no use of the session', async () => {
      const headers = ['Cookie', `${NAME}=junk; ${NAME}=${await signIn('ann')}`, 'Sec-Fetch-Mode', 'navigate'];
      const response = await send(`${app.url}/passive`, { headers });
      expect([userOf(response), response.setCookies]).toEqual(['ann', []]);
    });

    it('two tokens of one session are one session, and the younger one stays', async () => {
      const sessions = app.app.get(SessionService);
      const old = await signIn('ann');
      clock.advanceSeconds(1);
      const { token: renewed } = await sessions.renewSession(old);
      for (const values of [
        [old, renewed],
        [renewed, old],
      ]) {
        const response = await page(values);
        expect(userOf(response)).toBe('ann');
        const jar = new CookieJar();
        jar.receive(response.setCookies, { host: HOST, path: '/' });
        expect(jar.cookies).toMatchObject([{ value: renewed }]);
        expect(response.headers['cache-control']).toBe('no-store');
      }
    });

    it('of two tokens of one session the one under the present key stays, though a process with the former key has signed the other later', async () => {
      const first = await signIn('ann');
      const secretKey = ['the new key, which is also long enough', SECRET_KEY];
      const present = await deploy({ name: NAME }, { secretKey, indexKey: SECRET_KEY });
      const { token } = await present.app.get(SessionService).renewSession(first);
      clock.advanceSeconds(1);
      const { token: later } = await app.app.get(SessionService).renewSession(first);
      for (const values of [
        [later, token],
        [token, later],
      ]) {
        const jar = new CookieJar();
        jar.receive((await pageOf(present, values)).setCookies, { host: HOST, path: '/' });
        expect(jar.cookies).toMatchObject([{ value: token }]);
      }
    });

    it('the same value twice is one session in two cookies, of which one stays', async () => {
      const token = await signIn('ann');
      const response = await page([token, token]);
      expect(userOf(response)).toBe('ann');
      const fetched = await send(`${app.url}/public`, {
        headers: [
          'Cookie',
          `${NAME}=${token}; ${NAME}=${token}`,
          'Sec-Fetch-Site',
          'same-origin',
          'Sec-Fetch-Mode',
          'cors',
        ],
      });
      expect([userOf(fetched), fetched.setCookies]).toEqual(['ann', []]);
      expect(response.setCookies.filter((line) => line.startsWith(`${NAME}=${token};`))).toHaveLength(1);
      expect(response.setCookies.at(-1)).toMatch(
        new RegExp(`^${NAME}=${token}; Path=/; HttpOnly; Secure; SameSite=Lax$`),
      );
      expect(response.setCookies.slice(0, -1)).toEqual([
        `${NAME}=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; Partitioned; SameSite=None`,
      ]);
    });

    it('a page that is late leaves the cookie that a login beside it has set', async () => {
      const token = await signIn('ann');
      const load = backend.stopNext('read');
      const late = page([token, token]);
      await load.arrived;
      const beforeTheResponse = backend.stopNext('read');
      load.letGo();
      await beforeTheResponse.arrived;
      await app.app.get(SessionService).deleteUserSessions('ann');
      beforeTheResponse.letGo();
      const response = await late;
      expect([userOf(response), response.setCookies]).toEqual(['ann', []]);
    });

    it('of seven planted cookies beside ours none gets in, and of more than eight none is believed', async () => {
      const token = await signIn('ann');
      const junk = (count: number) => Array.from({ length: count }, (_, index) => `junk${index}`);
      expect(userOf(await page([...junk(7), token]))).toBe('ann');
      expect(rejected).toEqual(['TOKEN_MALFORMED']);
      rejected.length = 0;
      const planted = await signIn('mallory');
      for (const values of [
        [...junk(8), token],
        [token, ...junk(8)],
        [planted, ...junk(7), token],
      ]) {
        expect(userOf(await page(values))).toBeNull();
      }
      expect(rejected).toEqual(['TOKEN_AMBIGUOUS', 'TOKEN_AMBIGUOUS', 'TOKEN_AMBIGUOUS']);
    });

    it('at most eight are verified', async () => {
      const verified: string[] = [];
      const tokenFormat = {
        serialize: () => 'unused',
        verify: (token: string) => {
          verified.push(token);
          return { valid: false, fault: 'TOKEN_FORGED' } as const;
        },
      };
      const other = await deploy({ name: NAME }, { tokenFormat });
      const values = Array.from({ length: 200 }, (_, index) => `v${index}`);
      expect(userOf(await pageOf(other, values))).toBeNull();
      expect(verified).toEqual(values.slice(0, 8));
    });

    it('a browser that has never heard of Partitioned keeps the cookie too', async () => {
      const token = await signIn('ann');
      const jar = new CookieJar({ knowsPartitioned: false });
      jar.receive((await page([token, token])).setCookies, { host: HOST, path: '/' });
      expect(jar.cookies).toMatchObject([{ value: token }]);
    });

    it('several sessions are none, also where a header would open one', async () => {
      const [ann, bob, cat] = [await signIn('ann'), await signIn('bob'), await signIn('cat')];
      expect(userOf(await page([ann, bob], 'Authorization', `Bearer ${cat}`))).toBeNull();
      expect(userOf(await page(['junk', 'junk2'], 'Authorization', `Bearer ${cat}`))).toBe('cat');
    });

    it('several that do not verify beside a header that does stay where a script fetches, and go in every form with the next page', async () => {
      const authorization = ['Authorization', `Bearer ${await signIn('cat')}`];
      const fetched = await send(`${app.url}/public`, {
        headers: [
          ...authorization,
          'Cookie',
          `${NAME}=junk; ${NAME}=junk2`,
          'Sec-Fetch-Site',
          'same-origin',
          'Sec-Fetch-Mode',
          'cors',
        ],
      });
      expect([userOf(fetched), fetched.setCookies]).toEqual(['cat', []]);
      const opened = await page(['junk', 'junk2'], ...authorization);
      expect([userOf(opened), opened.setCookies]).toEqual([
        'cat',
        [expect.stringContaining('; Partitioned'), expect.not.stringContaining('; Partitioned')],
      ]);
    });
  });
});

it.each(PLATFORMS)('the lines that clear are few: one for each form, on %s', async (platform: Platform) => {
  const cookie: CookieOptions = {
    name: NAME,
    domain: 'example.com',
    former: [{ path: '/shop' }, { name: 'sid' }, { name: '__Host-sid' }],
  };
  const app = await startApp({
    platform,
    controllers: [ShopController],
    session: { secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], cookie },
  });
  const headers = ['Cookie', `${NAME}=a; ${NAME}=b; sid=x; __Host-sid=y`];
  const { setCookies } = await send(`${app.url}/public`, { headers });
  await app.close();
  expect(
    setCookies.map((line) => line.replace(/; (Max-Age|Expires|SameSite)=[^;]+/g, '').replace('; HttpOnly', '')).sort(),
  ).toEqual(
    [
      '__Host-sid=; Path=/; Secure',
      '__Host-sid=; Path=/; Secure; Partitioned',
      `${NAME}=; Domain=example.com; Path=/; Secure`,
      `${NAME}=; Domain=example.com; Path=/; Secure; Partitioned`,
      `${NAME}=; Domain=example.com; Path=/shop; Secure`,
      `${NAME}=; Domain=example.com; Path=/shop; Secure; Partitioned`,
      `${NAME}=; Path=/; Secure`,
      `${NAME}=; Path=/; Secure; Partitioned`,
      `${NAME}=; Path=/shop; Secure`,
      `${NAME}=; Path=/shop; Secure; Partitioned`,
      'sid=; Domain=example.com; Path=/; Secure',
      'sid=; Domain=example.com; Path=/; Secure; Partitioned',
      'sid=; Path=/; Secure',
      'sid=; Path=/; Secure; Partitioned',
    ].sort(),
  );
});
