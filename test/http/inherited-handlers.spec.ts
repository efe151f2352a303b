import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Post, Req, UseGuards } from '@nestjs/common';
import {
  AllowAnonymous,
  CurrentSession,
  MemoryBackend,
  Public,
  Session,
  SessionGuard,
  SessionService,
  SkipCsrf,
  UseSession,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

/** Handlers that several controllers have; the marks are on the controllers. */
@UseGuards(SessionGuard)
class SharedHandlers {
  @Get()
  read() {
    return { isOpen: true };
  }

  @Post()
  write(@CurrentSession() session: Session) {
    session.data.isWritten = true;
    return { isWritten: true };
  }
}

@Controller('closed')
class ClosedController extends SharedHandlers {}

@Public()
@Controller('public')
class PublicController extends SharedHandlers {}

@AllowAnonymous()
@Controller('anonymous')
class AnonymousController extends SharedHandlers {}

@SkipCsrf()
@AllowAnonymous()
@Controller('unprotected')
class UnprotectedController extends SharedHandlers {}

@Controller('start')
class StartController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post()
  async start(@Req() request: object) {
    await this.sessions.start(request);
  }
}

const TO_OWN_SITE = { 'sec-fetch-site': 'same-origin' };
const FROM_ANOTHER_SITE = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };

describe.each(PLATFORMS)('a handler that several controllers inherit, on %s', (platform) => {
  let app: AppUnderTest;
  let cookie: string;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [ClosedController, PublicController, AnonymousController, UnprotectedController, StartController],
      session: {
        backend: new MemoryBackend(),
        tokenSourcePriority: ['cookie'],
        cookie: { name: 'session', secure: false },
      },
    });
    const response = await app.fetch('/start', { method: 'POST', headers: TO_OWN_SITE });
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? '';
  });

  afterAll(() => app.close());

  async function statusOf(path: string, method: string, headers: Record<string, string> = {}): Promise<number> {
    return (await app.fetch(path, { method, headers })).status;
  }

  it('goes by the marks of the controller that is asked, each time', async () => {
    for (let round = 0; round < 3; round++) {
      expect(await statusOf('/closed', 'GET')).toBe(401);
      expect(await statusOf('/public', 'GET')).toBe(200);
      expect(await statusOf('/closed', 'GET', { cookie })).toBe(401);
      expect(await statusOf('/anonymous', 'GET', { cookie })).toBe(200);
      expect(await statusOf('/anonymous', 'GET')).toBe(401);
    }
  });

  it('is protected from other sites where its controller is', async () => {
    for (let round = 0; round < 3; round++) {
      expect(await statusOf('/unprotected', 'POST', { cookie, ...FROM_ANOTHER_SITE })).toBe(201);
      expect(await statusOf('/anonymous', 'POST', { cookie, ...FROM_ANOTHER_SITE })).toBe(403);
      expect(await statusOf('/anonymous', 'POST', { cookie, ...TO_OWN_SITE })).toBe(201);
    }
  });
});
