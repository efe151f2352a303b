import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Header, HttpCode, Post, Req, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { Browser } from 'playwright-core';
import { AllowAnonymous, CurrentUser, Public, SessionGuard, SessionService, type SessionUser } from 'nestjs-sessionx';

import { startChromium } from '../../sample/03-browser/e2e/chromium.js';
import { Examples } from '../docs/examples.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { freePort } from '../support/processes.js';
import { IdentityProvider } from './identity-provider.js';

const OWN = { 'sec-fetch-site': 'same-origin' };
/** What a browser sends with the way back from the provider. */
const BACK = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

@Controller()
class ShopController {
  constructor(private readonly sessions: SessionService) {}

  @Get()
  @Header('Content-Type', 'text/html')
  home(@CurrentUser() { userId }: SessionUser) {
    return `<title>home of ${userId}</title>`;
  }

  @Public()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object) {
    await this.sessions.start(request, { data: { cart: ['book'] } });
  }

  @AllowAnonymous()
  @Get('data')
  async data(@Req() request: object) {
    return (await this.sessions.require(request)).data;
  }
}

/** The cookie of a browser, and the id of the session that it names. */
interface Visitor {
  readonly cookie: string;
}

describe.each(PLATFORMS)('passport-oauth2 with its state in the session, on %s', (platform) => {
  let examples: Examples;
  let provider: IdentityProvider;
  let app: AppUnderTest;

  beforeAll(async () => {
    examples = new Examples();
    provider = await IdentityProvider.start();
  });

  afterEach(async () => {
    provider.userId = 'ann';
    provider.isInOrder = true;
    await app.close();
  });

  afterAll(async () => {
    examples.remove();
    await provider.stop();
  });

  async function start(): Promise<SessionService> {
    const port = await freePort();
    process.env.PROVIDER_URL = provider.url;
    process.env.PROVIDER_CLIENT_ID = IdentityProvider.clientId;
    process.env.PROVIDER_CLIENT_SECRET = IdentityProvider.clientSecret;
    process.env.OWN_URL = `http://127.0.0.1:${port}`;
    const { AuthModule } = await examples.load('docs/recipes.md', 'passport.module.ts');
    app = await startApp({
      platform,
      port,
      controllers: [ShopController],
      imports: [AuthModule as Type],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
      session: { tokenSourcePriority: ['cookie'] },
    });
    return app.app.get(SessionService);
  }

  /** Leaves for the provider, and comes back to the address that is returned. */
  async function leave(headers: Record<string, string> = {}): Promise<{ visitor: Visitor; back: string }> {
    const response = await app.fetch('/auth/start', { headers });
    expect(response.status).toBe(302);
    const page = await (await fetch(response.headers.get('location')!)).text();
    const [, back] = /location.href = "([^"]+)"/.exec(page) ?? [];
    return { visitor: { cookie: cookieOf(response) ?? headers.cookie ?? '' }, back: back!.slice(app.url.length) };
  }

  const comeBack = (path: string, { cookie }: Visitor) => app.fetch(path, { headers: { ...BACK, cookie } });

  it('signs the user in, in Chromium, by a cookie that is SameSite=Lax', async () => {
    await start();
    const browser: Browser = await startChromium();
    try {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(`${app.url}/auth/start`);
      await page.waitForFunction(`document.title === 'home of ann'`);
      expect(page.url()).toBe(`${app.url}/`);
      expect(await context.cookies()).toEqual([expect.objectContaining({ httpOnly: true, sameSite: 'Lax' })]);
    } finally {
      await browser.close();
    }
  });

  it('gives the signed-in session a new id, and takes the cart along, but not what belonged to the way', async () => {
    const sessions = await start();
    const cart = { cookie: cookieOf(await app.fetch('/cart', { method: 'POST', headers: OWN }))! };
    const { visitor, back } = await leave(cart);
    expect(visitor).toEqual(cart);
    expect(await (await app.fetch('/data', { headers: cart })).json()).toEqual({ cart: ['book'] });

    const response = await comeBack(back, visitor);
    expect([response.status, response.headers.get('location')]).toEqual([302, '/']);
    const signedIn = { cookie: cookieOf(response)! };
    expect(await (await app.fetch('/', { headers: signedIn })).text()).toContain('home of ann');
    expect(await (await app.fetch('/data', { headers: signedIn })).json()).toEqual({ cart: ['book'] });
    expect((await app.fetch('/data', { headers: cart })).status).toBe(401);
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
  });

  it('makes a session for a visitor who has none', async () => {
    await start();
    const { visitor, back } = await leave();
    expect(visitor.cookie).toMatch(/^__Host-session=/);
    expect((await app.fetch('/', { headers: { ...visitor } })).status).toBe(401);
    const response = await comeBack(back, visitor);
    expect(cookieOf(response)).not.toBe(visitor.cookie);
    expect((await app.fetch('/', { headers: { cookie: cookieOf(response)! } })).status).toBe(200);
  });

  it('refuses the way back of another visitor, which an attacker may send to a victim', async () => {
    const sessions = await start();
    provider.userId = 'mallory';
    const attacker = await leave();
    const victim = await leave();
    for (const visitor of [victim.visitor, { cookie: '' }]) {
      const response = await comeBack(attacker.back, visitor);
      expect([response.status, response.headers.getSetCookie()]).toEqual([401, []]);
    }
    expect(await sessions.listUserSessions('mallory')).toEqual([]);
    expect((await comeBack(victim.back, victim.visitor)).status).toBe(302);
  });

  it('refuses a way back that was used, or whose state is missing or is no text', async () => {
    await start();
    const { visitor, back } = await leave();
    const code = new URLSearchParams(back.slice(back.indexOf('?'))).get('code')!;
    for (const query of [
      `code=${code}`,
      `code=${code}&state=`,
      `code=${code}&state[]=a`,
      `code=${code}&state=a&state=b`,
    ]) {
      expect((await comeBack(`/auth/callback?${query}`, visitor)).status).toBe(401);
    }
    const signedIn = { cookie: cookieOf(await comeBack(back, visitor))! };
    for (const again of [visitor, signedIn]) expect((await comeBack(back, again)).status).toBe(401);
    expect((await app.fetch('/', { headers: signedIn })).status).toBe(200);
  });

  it('lets a visitor sign in from two tabs at once', async () => {
    await start();
    const first = await leave();
    const second = await leave({ ...first.visitor });
    const done = await comeBack(second.back, first.visitor);
    expect(done.status).toBe(302);
    expect((await comeBack(first.back, { cookie: cookieOf(done)! })).status).toBe(302);
  });

  it('signs nobody in when the provider fails, and the visitor may try again', async () => {
    const sessions = await start();
    const first = await leave();
    provider.isInOrder = false;
    const response = await comeBack(first.back, first.visitor);
    expect([response.status, response.headers.getSetCookie()]).toEqual([500, []]);
    expect(await sessions.listUserSessions('ann')).toEqual([]);
    provider.isInOrder = true;
    const second = await leave({ ...first.visitor });
    expect((await comeBack(second.back, second.visitor)).status).toBe(302);
  });
});

function cookieOf(response: Response): string | undefined {
  return response.headers.getSetCookie()[0]?.split(';', 1)[0];
}
