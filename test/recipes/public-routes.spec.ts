import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Public, SessionGuard, SessionService, SkipCsrf, UseSession } from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

@Public()
@Controller()
class SignInController {
  constructor(private readonly sessions: SessionService) {}

  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
  }

  @SkipCsrf()
  @HttpCode(200)
  @Post('callback-without-session')
  async callbackWithoutSession(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
  }

  @SkipCsrf()
  @UseSession()
  @HttpCode(200)
  @Post('callback')
  async callback(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
  }
}

describe.each(PLATFORMS)('a public route behind a global SessionGuard, on %s', (platform) => {
  let app: AppUnderTest;

  afterEach(() => app.close());

  async function start(): Promise<void> {
    app = await startApp({
      platform,
      controllers: [SignInController],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
      session: { tokenSourcePriority: ['cookie'] },
    });
  }

  /** With the session of another user, and without one. */
  async function post(path: string, site: string): Promise<number[]> {
    const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'bob' } });
    const cookies: object[] = [{ cookie: `__Host-session=${token}` }, {}];
    const send = (cookie: object) =>
      app.fetch(path, { method: 'POST', headers: { 'sec-fetch-site': site, ...cookie } });
    return Promise.all(cookies.map(async (cookie) => (await send(cookie)).status));
  }

  it('signs in for a page of its own, and not for another site', async () => {
    await start();
    expect(await post('/login', 'same-origin')).toEqual([200, 200]);
    expect(await post('/login', 'cross-site')).toEqual([403, 403]);
  });

  it('takes @SkipCsrf() into account behind @UseSession(), and else checks all the same', async () => {
    await start();
    expect(await post('/callback', 'cross-site')).toEqual([200, 200]);
    expect(await post('/callback-without-session', 'cross-site')).toEqual([403, 403]);
  });
});
