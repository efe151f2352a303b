import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, UseGuards, type INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  CurrentSession,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
  type Session,
  type SessionBackend,
} from 'nestjs-sessionx';

import { PLATFORMS, SECRET_KEY, type Platform } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';

const TTL_SECONDS = 60;

@Controller()
class CounterController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post('login')
  async login(@Req() request: object) {
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { token };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('count')
  count(@CurrentSession() session: Session) {
    session.data.count = Number(session.data.count ?? 0) + 1;
    return {};
  }

  @UseGuards(SessionGuard)
  @Get('count')
  read(@CurrentSession() session: Session) {
    return session.data;
  }
}

const STORES = everyBackend().flatMap((store) => PLATFORMS.map((platform) => ({ store, platform, name: store.name })));

/** By the clock of the system, which the fake timers move. */
async function start(backend: SessionBackend, platform: Platform): Promise<INestApplication> {
  const testing = await Test.createTestingModule({
    imports: [SessionModule.forRoot({ secretKey: SECRET_KEY, sessionTtl: TTL_SECONDS, backend })],
    controllers: [CounterController],
  }).compile();
  const app =
    platform === 'fastify' ? testing.createNestApplication(new FastifyAdapter()) : testing.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  return app;
}

describe.each(STORES)('under the fake timers of Jest, $name on $platform', ({ store, platform }) => {
  let app: INestApplication | undefined;

  beforeEach(async () => {
    await store.start();
  });

  afterEach(async () => {
    jest.useRealTimers();
    await app?.close();
    await store.stop();
  });

  it('sessions work, and expire when the test moves the time', async () => {
    app = await start(store.another(), platform);
    const url = await app.getUrl();
    jest.useFakeTimers();
    const { token } = (await (await fetch(`${url}/login`, { method: 'POST' })).json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/count`, { method: 'POST', headers })).status).toBe(200);
    expect(await (await fetch(`${url}/count`, { headers })).json()).toEqual({ count: 1 });
    await jest.advanceTimersByTimeAsync(TTL_SECONDS * 1000 + 1);
    expect((await fetch(`${url}/count`, { headers })).status).toBe(401);
  });
});
