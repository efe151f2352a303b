import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Header, HttpCode, Post, Query, Req, UseGuards } from '@nestjs/common';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import {
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  Session,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionModuleOptions,
} from 'nestjs-sessionx';

import { startChromium } from '../../sample/03-browser/e2e/chromium.js';
import { startApp, type AppUnderTest } from '../support/apps.js';

type CookieOptions = NonNullable<SessionModuleOptions['cookie']>;

/** Chromium takes names below localhost for this machine, and for safe. Cookies are for all ports of a host. */
const HOST = 'shop.example.localhost';
const NAME = '__Secure-session';

@Controller('shop')
class ShopController {
  constructor(private readonly sessions: SessionService) {}

  @Header('Content-Type', 'text/html')
  @Get('page')
  page(@OptionalSession('user') user: { userId: string } | null) {
    return `<title>${user?.userId ?? 'nobody'}</title>`;
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Query('user') userId: string) {
    await this.sessions.login(request, { userId });
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    await this.sessions.logout(request);
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    await this.sessions.regenerateSessionId(session);
    return 'ok';
  }
}

describe('a cookie whose attributes change, in Chromium', () => {
  const backend = new MemoryBackend();
  const started: AppUnderTest[] = [];
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  // Cookies are all that these pages leave in a browser.
  beforeAll(async () => {
    browser = await startChromium();
    context = await browser.newContext();
    page = await context.newPage();
  });

  beforeEach(() => context.clearCookies());

  afterAll(async () => {
    await browser.close();
    for (const app of started) await app.close();
  });

  async function deploy(cookie: CookieOptions): Promise<string> {
    const session = { tokenSourcePriority: ['cookie' as const], sessionTtl: 3600, backend, cookie };
    const app = await startApp({ controllers: [ShopController], session });
    started.push(app);
    return `http://${HOST}:${new URL(app.url).port}/shop`;
  }

  /** Opens a page, and says for whom it is. */
  async function visit(url: string): Promise<string> {
    await page.goto(`${url}/page`);
    return page.title();
  }

  async function post(path: string): Promise<number> {
    return page.evaluate(async (target) => (await fetch(target, { method: 'POST' })).status, path);
  }

  const cookies = async () =>
    (await context.cookies()).map(({ name, domain, path, partitionKey }) => ({
      name,
      domain,
      path,
      isPartitioned: partitionKey !== undefined,
    }));

  const CHANGES: [name: string, before: CookieOptions, after: CookieOptions][] = [
    ['partitioned', { sameSite: 'none' }, { sameSite: 'none', partitioned: true }],
    ['partitioned no more', { sameSite: 'none', partitioned: true }, { sameSite: 'lax' }],
    ['with a domain', { name: NAME }, { name: NAME, domain: 'example.localhost' }],
    [
      'without a domain',
      { name: NAME, domain: 'example.localhost' },
      { name: NAME, former: [{ domain: 'example.localhost' }] },
    ],
    ['with a narrower path', { name: NAME }, { name: NAME, path: '/shop', former: [{ path: '/' }] }],
    ['with a wider path', { name: NAME, path: '/shop' }, { name: NAME, former: [{ path: '/shop' }] }],
    [
      'with everything else',
      { name: NAME, domain: HOST, path: '/shop', sameSite: 'none', partitioned: true },
      { name: NAME, domain: 'example.localhost', former: [{ domain: HOST, path: '/shop', partitioned: true }] },
    ],
  ];

  describe.each(CHANGES)('%s', (_name, before, after) => {
    let old: string;
    let next: string;

    beforeAll(async () => {
      [old, next] = [await deploy(before), await deploy(after)];
    });

    it.each(['ann', 'bob'])(
      'ann stays signed in, and a login of %s leaves one cookie, in the new form',
      async (user) => {
        expect(await visit(old)).toBe('nobody');
        expect(await post(`/shop/login?user=ann`)).toBe(200);
        expect(await visit(next)).toBe('ann');
        const [inOldForm] = await cookies();

        expect(await post(`/shop/login?user=${user}`)).toBe(200);

        const left = await cookies();
        expect(left).toHaveLength(1);
        expect(left[0]).not.toEqual(inOldForm);
        expect(await visit(next)).toBe(user);
        expect(await visit(next)).toBe(user);
      },
    );

    it('a new id leaves one cookie, and a logout none', async () => {
      await visit(old);
      await post(`/shop/login?user=ann`);
      await visit(next);

      expect(await post('/shop/regenerate')).toBe(200);
      expect(await cookies()).toHaveLength(1);
      expect(await visit(next)).toBe('ann');

      await context.clearCookies();
      await visit(old);
      await post(`/shop/login?user=ann`);
      await visit(next);
      expect(await post('/shop/logout')).toBe(200);
      expect(await cookies()).toEqual([]);
    });

    it('cookies of two sessions show nobody, and go with the page', async () => {
      await visit(next);
      await post(`/shop/login?user=bob`);
      const ofBob = await context.cookies();
      await context.clearCookies();
      await visit(old);
      await post(`/shop/login?user=ann`);
      await context.addCookies(ofBob);
      expect(await cookies()).toHaveLength(2);

      expect(await visit(next)).toBe('nobody');

      expect(await cookies()).toEqual([]);
      expect(await visit(next)).toBe('nobody');
    });
  });

  it('under a new name, the one of the former name goes with the next page', async () => {
    const [old, next] = [await deploy({ name: 'sid' }), await deploy({ former: [{ name: 'sid' }] })];
    await visit(old);
    await post(`/shop/login?user=ann`);
    expect(await visit(next)).toBe('nobody');
    expect(await cookies()).toEqual([]);
  });

  describe('a page on another site (localhost and 127.0.0.1 are two)', () => {
    let url: string;

    beforeAll(async () => {
      url = (await deploy({})).replace(HOST, 'localhost');
    });

    const logIn = async (api: string): Promise<void> => {
      const status = await page.evaluate(async (url) => {
        const response = await fetch(`${url}/shop/login?user=ann`, { method: 'POST', credentials: 'include' });
        return response.status;
      }, api);
      expect(status).toBe(200);
    };

    async function apiFor(origin: string, cookie: CookieOptions): Promise<string> {
      const app = await startApp({
        controllers: [ShopController],
        session: { tokenSourcePriority: ['cookie'], backend, cookie, csrf: { allowedOrigins: [origin] } },
        configure: (nest) => nest.enableCors({ origin, credentials: true }),
      });
      started.push(app);
      return app.url;
    }

    it.each<[kept: number, cookie: CookieOptions]>([
      [1, { sameSite: 'none', partitioned: true }],
      [0, {}],
      [0, { sameSite: 'none' }],
    ])('keeps %i cookie of an API with %j', async (kept, cookie) => {
      await page.goto(`${url}/page`);
      await logIn(await apiFor(new URL(url).origin, cookie));
      expect(await cookies()).toHaveLength(kept);
    });
  });
});
