import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req } from '@nestjs/common';
import { CurrentUser, SessionService, UseSession, type SessionModuleOptions, type SessionUser } from 'nestjs-sessionx';
import { asBrowser } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

/** What is used of supertest. Its types come in a package of their own, which the helper does not need. */
interface Supertest {
  agent(server: unknown): Agent;
}

interface Agent {
  use(plugin: ReturnType<typeof asBrowser>): Agent;
  get(path: string): Promise<{ status: number; body: unknown }>;
  post(path: string): Attempt;
}

interface Attempt extends Promise<{ status: number; body: unknown }> {
  set(field: string, value: string): Attempt;
}

const library: string = 'supertest';
const { default: request } = (await import(library)) as { default: Supertest };

@Controller('app')
class AccountController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
    return {};
  }

  @Get('profile')
  profile(@CurrentUser() user: SessionUser) {
    return { id: user.userId };
  }

  @HttpCode(200)
  @Post('rename')
  rename(@CurrentUser() user: SessionUser) {
    user.username = 'Ann';
    return {};
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }
}

describe.each(PLATFORMS)('an agent of supertest, on %s', (platform) => {
  let app: AppUnderTest | undefined;

  afterEach(() => app?.close());

  async function start(session: Partial<SessionModuleOptions> = {}): Promise<() => Agent> {
    const started = await startApp({
      platform,
      controllers: [AccountController],
      session: { tokenSourcePriority: ['cookie'], sessionTtl: 100, ...session },
    });
    app = started;
    return () => request.agent(started.app.getHttpServer());
  }

  it('is no browser by itself: its login is a 403, and with the header of one it forgets the cookie', async () => {
    const newAgent = await start();
    const agent = newAgent();
    expect((await agent.post('/app/login')).status).toBe(403);
    expect((await agent.post('/app/login').set('Sec-Fetch-Site', 'same-origin')).status).toBe(200);
    expect((await agent.get('/app/profile')).status).toBe(401);
  });

  it.each<[string, Partial<SessionModuleOptions>]>([
    ['the cookie that is the default', {}],
    ['a cookie for one path', { cookie: { name: 'session', path: '/app', secure: false } }],
    ['a partitioned cookie for a domain', { cookie: { name: '__Secure-s', domain: 'example.com', partitioned: true } }],
    [
      'a cookie that had another form',
      { cookie: { name: 'session', path: '/app', former: [{ path: '/' }, { name: 'old' }] } },
    ],
  ])('is one with asBrowser(), by %s', async (_, session) => {
    const newAgent = await start(session);
    const [one, other] = [newAgent().use(asBrowser()), newAgent().use(asBrowser())];
    expect((await one.get('/app/profile')).status).toBe(401);
    expect((await one.post('/app/login')).status).toBe(200);
    expect((await one.get('/app/profile')).body).toEqual({ id: 'ann' });
    expect((await other.get('/app/profile')).status).toBe(401);

    app?.clock.advanceSeconds(60); // the session is renewed, and its cookie with it
    expect((await one.post('/app/rename')).status).toBe(200);
    app?.clock.advanceSeconds(60);
    expect((await one.get('/app/profile')).body).toEqual({ id: 'ann' });

    expect((await one.post('/app/rename').set('Sec-Fetch-Site', 'cross-site')).status).toBe(403);
    expect((await one.post('/app/logout')).body).toEqual({ ended: true });
    expect((await one.get('/app/profile')).status).toBe(401);
    expect((await one.post('/app/login')).status).toBe(200);
    expect((await one.get('/app/profile')).status).toBe(200);
  });
});
