import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, Header, Headers, Post, Req } from '@nestjs/common';
import type { Browser, BrowserContext } from 'playwright-core';
import { OptionalSession, Session, SessionService, SkipCsrf, UseSession } from 'nestjs-sessionx';

import { startChromium } from '../../sample/03-browser/e2e/chromium.js';
import { ForeignSite } from '../../sample/03-browser/e2e/foreign-site.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

/** As docs/recipes.md has it: what comes from another site is sent once more, from our own origin. */
@Controller()
class SignInController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Header('Content-Type', 'text/html')
  @Get('cart')
  async cart(@Req() request: object) {
    await this.sessions.start(request, { data: { cart: ['book'] } });
    return '<title>cart</title>';
  }

  @SkipCsrf()
  @UseSession()
  @Header('Content-Type', 'text/html')
  @Post('callback')
  async callback(
    @Req() request: object,
    @OptionalSession() session: Session | null,
    @Headers('sec-fetch-site') site: string | undefined,
    @Body() body: { SAMLResponse: string },
  ) {
    if (site === 'cross-site') {
      const hadSession = session === null ? 'without' : 'with';
      return `<form method="post"><input type="hidden" name="SAMLResponse" value="${body.SAMLResponse} ${hadSession}"></form>
        <script>document.forms[0].submit()</script>`;
    }
    const { session: signedIn } = await this.sessions.login(request, { userId: 'ann' });
    return `<title>${signedIn.user?.userId}, ${String(signedIn.data.cart)}, ${body.SAMLResponse}</title>`;
  }
}

describe.each(PLATFORMS)("an identity provider's form, in Chromium, on %s", (platform) => {
  let browser: Browser;
  let app: AppUnderTest;
  let provider: ForeignSite;
  let context: BrowserContext;

  beforeAll(async () => {
    browser = await startChromium();
    provider = await ForeignSite.start();
    app = await startApp({ platform, controllers: [SignInController], session: { tokenSourcePriority: ['cookie'] } });
  });

  afterEach(() => context.close());

  afterAll(async () => {
    await browser.close();
    await provider.stop();
    await app.close();
  });

  it('that is sent once more from our own origin brings the cookie, and the cart moves into the login', async () => {
    context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${app.url}/cart`);

    await page.goto(provider.urlOf('localhost', { action: `${app.url}/callback`, fields: { SAMLResponse: 'signed' } }));

    await page.waitForFunction(`document.title.startsWith('ann')`);
    expect(await page.title()).toBe('ann, book, signed without');
    expect(await context.cookies()).toHaveLength(1);
  });
});
