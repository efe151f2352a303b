import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Header, HttpCode, Post, Query, Req } from '@nestjs/common';
import { OptionalSession, SessionService, UseSession, type SessionModuleOptions } from 'nestjs-sessionx';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';

import { startChromiumWithProfile } from '../../sample/03-browser/e2e/chromium.js';
import { startApp, type AppUnderTest } from '../support/apps.js';

const DAY_S = 86_400;

@Controller()
class LoginController {
  constructor(private readonly sessions: SessionService) {}

  @Header('Content-Type', 'text/html')
  @Get('page')
  page(@OptionalSession('user') user: { userId: string } | null) {
    return `<title>${user?.userId ?? 'nobody'}</title>`;
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Query('remember') remember: string) {
    await this.sessions.login(request, { userId: 'ann' }, { remember: remember === 'true' });
    return 'ok';
  }
}

describe('a browser that is closed and started again', () => {
  let apps: AppUnderTest[];

  beforeAll(() => {
    apps = [];
  });

  afterAll(async () => {
    for (const app of apps) await app.close();
  });

  /** In a browser with the profile of an earlier one. */
  async function inBrowser<T>(profile: string, url: string, use: (page: Page) => Promise<T>): Promise<[string, T]> {
    const context = await startChromiumWithProfile(profile);
    try {
      const page = await context.newPage();
      await page.goto(`${url}/page`);
      return [await page.title(), await use(page)];
    } finally {
      await context.close();
    }
  }

  it.each<[name: string, remember: boolean, cookie: SessionModuleOptions['cookie'], after: string]>([
    ['has forgotten the session of a login', false, {}, 'nobody'],
    ['still has the session of a user who asked to be remembered', true, {}, 'ann'],
    ["still has any session with persistent: 'always'", false, { persistent: 'always' }, 'ann'],
  ])('%s', async (_name, remember, cookie, after) => {
    const lifetimes = { remembered: { ttl: 30 * DAY_S } };
    const app = await startApp({
      controllers: [LoginController],
      session: { tokenSourcePriority: ['cookie'], lifetimes, cookie },
    });
    apps.push(app);
    const url = app.url.replace('127.0.0.1', 'localhost');
    const profile = await mkdtemp(join(tmpdir(), 'profile-'));
    try {
      const [before, signedIn] = await inBrowser(profile, url, async (page) => {
        const login = (path: string) => fetch(path, { method: 'POST' }).then(({ status }) => status);
        const status = await page.evaluate(login, `${url}/login?remember=${remember}`);
        await page.reload();
        return [status, await page.title()];
      });
      expect([before, signedIn]).toEqual(['nobody', [200, 'ann']]);
      const [title] = await inBrowser(profile, url, () => Promise.resolve());
      expect(title).toBe(after);
    } finally {
      await rm(profile, { recursive: true, force: true });
    }
  });
});
