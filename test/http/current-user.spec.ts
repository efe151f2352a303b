import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, UseGuards, ValidationPipe } from '@nestjs/common';
import { IsEmail } from 'class-validator';
import {
  AllowAnonymous,
  CurrentUser,
  MemoryBackend,
  SessionEvents,
  SessionGuard,
  SessionService,
  type SessionEvent,
  type SessionUser,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

class Account {
  userId!: string;

  @IsEmail()
  address!: string;
}

@Controller()
class UserController {
  @Get('open')
  open(@CurrentUser() user: SessionUser) {
    return { id: user.userId };
  }

  @Get('declared')
  declared(@CurrentUser() user: Account) {
    return { id: user.userId };
  }

  @UseGuards(SessionGuard)
  @Get('guarded')
  guarded(@CurrentUser() { userId }: SessionUser) {
    return { id: userId };
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @Get('for-all')
  forAnybody(@CurrentUser() { userId }: SessionUser) {
    return { id: userId };
  }

  @HttpCode(200)
  @Post('rename')
  rename(@CurrentUser() user: SessionUser) {
    user.username = 'Ann';
    return {};
  }
}

const PATHS = ['/open', '/declared', '/guarded', '/for-all'];

describe.each(PLATFORMS)('@CurrentUser(), on %s', (platform) => {
  let app: AppUnderTest;
  let sessions: SessionService;
  let barrier: BarrierBackend;
  let reasons: string[];

  beforeEach(async () => {
    barrier = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform,
      controllers: [UserController],
      session: { backend: barrier.backend },
      configure: (nest) => {
        nest.useGlobalPipes(new ValidationPipe({ validateCustomDecorators: true, whitelist: true }));
      },
    });
    sessions = app.app.get(SessionService);
    reasons = [];
    app.app
      .get(SessionEvents)
      .all.subscribe((event: SessionEvent) => event.type === 'rejected' && reasons.push(event.reason));
  });

  afterEach(() => app.close());

  const get = async (path: string, token?: string) =>
    app.fetch(path, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });

  it.each(PATHS)('is the user of the session: %s', async (path) => {
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });
    const response = await get(path, token);
    expect([response.status, await response.json()]).toEqual([200, { id: 'ann' }]);
    expect(reasons).toEqual([]);
  });

  it.each(PATHS)('is a 401 for an anonymous session, which stays alive: %s', async (path) => {
    const { token } = await sessions.createSession();
    const response = await get(path, token);
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect(reasons).toEqual(['SESSION_ANONYMOUS']);
    expect((await sessions.getSession(token)).isAnonymous).toBe(true);
  });

  it.each(PATHS)('is a 401 without a session: %s', async (path) => {
    expect((await get(path)).status).toBe(401);
    expect((await get(path, 'nonsense')).status).toBe(401);
    expect(reasons).toEqual(['TOKEN_MISSING', 'TOKEN_MALFORMED']);
  });

  it.each(PATHS)('is a 503 while the store fails: %s', async (path) => {
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });
    barrier.fail('read');
    expect((await get(path, token)).status).toBe(503);
    expect(reasons).toEqual([]);
  });

  it('is changed in place, and stored', async () => {
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });
    const headers = { authorization: `Bearer ${token}` };
    expect((await app.fetch('/rename', { method: 'POST', headers })).status).toBe(200);
    expect((await sessions.getSession(token)).user?.username).toBe('Ann');
  });
});
