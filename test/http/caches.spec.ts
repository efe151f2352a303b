import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Header, Post, Query, Req, Res, UnauthorizedException, UseGuards } from '@nestjs/common';
import { parseSetCookie } from 'cookie';
import type { ServerResponse } from 'node:http';
import {
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionUser,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { CachingProxy } from '../support/caching-proxy.js';
import { send, type RawResponse } from '../support/raw-client.js';

const OWN = ['Sec-Fetch-Site', 'same-origin'];
const NAME = '__Host-session';

@Controller()
class PageController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post('login')
  async login(@Req() request: object, @Query('user') userId: string) {
    const { token } = await this.sessions.login(request, { userId });
    return { token };
  }

  @UseSession()
  @Get('login-by-link')
  async loginByLink(@Req() request: object, @Query('user') userId: string) {
    await this.sessions.login(request, { userId });
    return `welcome`;
  }

  @UseSession()
  @Header('Cache-Control', 'public, max-age=600')
  @Get('cart')
  async cart(@Req() request: object) {
    await this.sessions.start(request);
    return 'a cart';
  }

  @UseSession()
  @Header('CDN-Cache-Control', 'max-age=600')
  @Header('Example-CDN-Cache-Control', 'max-age=600')
  @Header('ExampleCDN-Cache-Control', 'max-age=600')
  @Header('Akamai-Cache-Control', 'max-age=600')
  @Header('X-LiteSpeed-Cache-Control', 'public, max-age=600')
  @Header('Edge-Control', 'max-age=600')
  @Header('X-Accel-Expires', '600')
  @Header('Surrogate-Control', 'max-age=600')
  @Header('Expires', 'Fri, 01 Jan 2100 00:00:00 GMT')
  @Get('cart-at-the-edge')
  async cartAtTheEdge(@Req() request: object) {
    await this.sessions.start(request);
    return 'a cart';
  }

  @Header('Cache-Control', 'public, max-age=600')
  @UseGuards(SessionGuard)
  @Get('page')
  page(@CurrentSession('user') user: SessionUser) {
    return `the page of ${user.userId}`;
  }

  @Header('Cache-Control', 'public, max-age=600')
  @Get('greeting')
  greeting(@OptionalSession('user') user: SessionUser | null) {
    return `hello, ${user?.userId ?? 'guest'}`;
  }

  @Header('Vary', 'Accept-Language')
  @UseGuards(SessionGuard)
  @Get('translated')
  translated(@CurrentSession('user') user: SessionUser) {
    return `bonjour, ${user.userId}`;
  }

  @UseGuards(SessionGuard)
  @Get('by-hand')
  byHand(@CurrentSession('user') user: SessionUser, @Res() response: { raw?: ServerResponse; hijack?: () => void }) {
    response.hijack?.();
    const raw = response.raw ?? (response as unknown as ServerResponse);
    raw.writeHead(200, { 'Cache-Control': 'public, max-age=600', Vary: 'Accept' });
    raw.end(`by hand for ${user.userId}`);
  }

  @UseSession()
  @Header('Cache-Control', 'public, max-age=600')
  @Get('broken')
  broken(): never {
    throw new UnauthorizedException();
  }
}

describe.each(PLATFORMS)('a shared cache in front, on %s', (platform) => {
  let app: AppUnderTest;
  let proxy: CachingProxy;

  beforeEach(async () => {
    app = await startApp({
      platform,
      controllers: [PageController],
      session: { tokenSourcePriority: ['cookie', 'header', 'bearer'], sessionTtl: 100 },
    });
    proxy = await CachingProxy.before(app.url);
  });

  afterEach(async () => {
    await proxy.stop();
    await app.close();
  });

  const get = (path: string, ...headers: string[]) => send(proxy.url + path, { headers });

  async function signIn(user: string): Promise<string[]> {
    const response = await send(`${proxy.url}/login?user=${user}`, { method: 'POST', headers: OWN });
    return ['Cookie', `${NAME}=${valueOf(response)}`];
  }

  it.each(['page', 'greeting', 'translated', 'by-hand'])(
    'two users never see each other\'s "%s", and a guest sees neither',
    async (path) => {
      const [ann, bob] = [await signIn('ann'), await signIn('bob')];
      for (let round = 0; round < 2; round++) {
        expect((await get(`/${path}`, ...ann)).body).toContain('ann');
        expect((await get(`/${path}`, ...bob)).body).toContain('bob');
        expect((await get(`/${path}`)).body).not.toMatch(/ann|bob/);
      }
      expect(proxy.hits).toBeGreaterThan(0);
    },
  );

  it('nobody is given a cookie that was made for somebody else', async () => {
    const values = new Set<string>();
    for (let visitor = 0; visitor < 3; visitor++) {
      values.add(valueOf(await get('/cart')));
      values.add(valueOf(await get('/login-by-link?user=ann')));
    }
    expect(values.size).toBe(6);
    expect(proxy.hits).toBe(0);
  });

  it('a renewed cookie, a cleared one and a refusal are for one client alone', async () => {
    const ann = await signIn('ann');
    app.clock.advanceSeconds(60);
    const renewal = await get('/page', ...ann);
    expect(renewal.setCookies).toHaveLength(1);
    expect((await get('/page', 'Cookie', `${NAME}=${valueOf(renewal)}`)).setCookies).toHaveLength(0);
    const forged = ['Cookie', `${NAME}=garbage`];
    for (let round = 0; round < 2; round++) {
      expect((await get('/greeting', ...forged)).setCookies).toHaveLength(1);
      expect((await get('/page', ...forged)).status).toBe(401);
      expect((await get('/broken')).status).toBe(401);
    }
    expect(proxy.hits).toBe(0);
  });

  it('headers that speak louder to some caches go where the response is for one client', async () => {
    const response = await send(`${app.url}/cart-at-the-edge`);
    expect(response.setCookies).toHaveLength(1);
    const { 'cache-control': control, ...headers } = response.headers;
    expect(control).toBe('no-store');
    expect(Object.keys(headers).filter((name) => /cache|edge|surrogate|expires/.test(name))).toEqual([]);
  });

  it('headers vary as a cookie does', async () => {
    const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' } });
    const { token: other } = await app.app.get(SessionService).createSession({ user: { userId: 'bob' } });
    for (const [name, prefix] of [
      ['Authorization', 'Bearer '],
      ['X-Session-Token', ''],
    ] as const) {
      expect((await get('/page', name, prefix + token)).body).toBe('the page of ann');
      expect((await get('/page', name, prefix + other)).body).toBe('the page of bob');
      expect((await get('/page', name, prefix + token)).body).toBe('the page of ann');
      expect((await get('/page')).status).toBe(401);
    }
  });
});

type WriteHead = (this: ServerResponse, status: number, headers?: object) => ServerResponse;

const SHARED = {
  'Cache-Control': 'public, max-age=600',
  Expires: 'Fri, 01 Jan 2100 00:00:00 GMT',
  'X-Accel-Expires': '600',
  'X-By': 'them',
};

/** What middleware does when the head is written, from below. */
const AT_THE_HEAD: Record<string, (response: ServerResponse, below: (headers?: object) => ServerResponse) => unknown> =
  {
    'sets headers, as on-headers lets it': (response, below) => {
      Object.entries(SHARED).forEach(([name, value]) => response.setHeader(name, value));
      return below();
    },
    'takes ours away before it sets its own': (response, below) => {
      for (const name of ['cache-control', 'expires', 'x-accel-expires']) response.removeHeader(name);
      response.setHeaders(new Map(Object.entries(SHARED)));
      return below();
    },
    'appends to ours': (response, below) => {
      Object.entries(SHARED).forEach(([name, value]) => response.appendHeader(name, value));
      return below();
    },
    'passes headers on, by name': (_response, below) => below(SHARED),
    'passes headers on, as a list': (_response, below) => below(Object.entries(SHARED).flat()),
  };

const WAYS = PLATFORMS.flatMap((platform) => Object.keys(AT_THE_HEAD).map((what) => ({ platform, what })));

describe.each(WAYS)('a middleware that lets caches keep everything and $what, on $platform', ({ platform, what }) => {
  let app: AppUnderTest;
  let store: BarrierBackend;

  beforeEach(async () => {
    store = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform,
      controllers: [PageController],
      session: { tokenSourcePriority: ['cookie'], sessionTtl: 100, backend: store.backend },
      configure: (nest) => {
        nest.use((_request: object, response: { writeHead: WriteHead }, next: () => void) => {
          const below = response.writeHead;
          response.writeHead = function (status, given = {}) {
            Object.entries(given).forEach(([name, value]) => this.setHeader(name, value as string));
            return AT_THE_HEAD[what]!(this, (headers) => below.call(this, status, headers)) as ServerResponse;
          };
          next();
        });
      },
    });
  });

  afterEach(() => app.close());

  const get = (path: string, cookie = '') => send(app.url + path, { headers: cookie === '' ? [] : ['Cookie', cookie] });
  const signIn = () => send(`${app.url}/login?user=ann`, { method: 'POST', headers: OWN });
  const cookieOf = (response: RawResponse) => `${NAME}=${valueOf(response)}`;
  const seen = ({ status, setCookies, headers }: RawResponse) => [
    status,
    setCookies.length,
    headers['cache-control'],
    headers.expires ?? headers['x-accel-expires'],
    headers['x-by'],
  ];

  it('does not have them keep a token, a cleared cookie or a refusal', async () => {
    const login = await signIn();
    expect(seen(login)).toEqual([201, 1, 'no-store', undefined, 'them']);
    expect(seen(await get('/cart'))).toEqual([200, 1, 'no-store', undefined, 'them']);
    app.clock.advanceSeconds(60);
    const renewal = await get('/by-hand', cookieOf(login));
    expect(seen(renewal)).toEqual([200, 1, 'no-store', undefined, 'them']);
    expect(seen(await get('/greeting', `${NAME}=garbage`))).toEqual([200, 1, 'no-store', undefined, 'them']);
    expect(seen(await get('/page'))).toEqual([401, 0, 'no-store', undefined, 'them']);
    store.fail('read');
    expect(seen(await get('/page', cookieOf(renewal)))).toEqual([503, 0, 'no-store', undefined, 'them']);
  });

  it('decides about a response that only reads the session', async () => {
    const page = await get('/page', cookieOf(await signIn()));
    expect([page.setCookies, page.headers['cache-control'], page.headers.expires, page.headers.vary]).toEqual([
      [],
      expect.stringContaining(SHARED['Cache-Control']),
      SHARED.Expires,
      expect.stringContaining('Cookie'),
    ]);
  });
});

function valueOf({ setCookies }: RawResponse): string {
  return parseSetCookie(setCookies.find((line) => line.startsWith(NAME))!).value!;
}
