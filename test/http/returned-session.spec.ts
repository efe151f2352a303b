import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  ClassSerializerInterceptor,
  Controller,
  Get,
  HttpCode,
  Post,
  Req,
  SerializeOptions,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Expose } from 'class-transformer';
import { CurrentSession, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

class SessionDto {
  @Expose()
  sessionId!: string;
}

@Controller()
class SessionController {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @Get('plain')
  plain(@CurrentSession() session: Session): Session {
    session.data.cart = [{ id: 1, at: '2026-01-01' }];
    return session;
  }

  @UseGuards(SessionGuard)
  @Get('nested')
  nested(@CurrentSession() session: Session): object {
    return { list: [session], session };
  }

  @UseGuards(SessionGuard)
  @Get('dto')
  @SerializeOptions({ type: SessionDto, strategy: 'excludeAll' })
  dto(@CurrentSession() session: Session): Session {
    return session;
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  login(@Req() request: object): Promise<object> {
    return this.sessions.login(request, { userId: 'bob', roles: ['admin'] });
  }
}

describe.each(PLATFORMS)('a session that a handler on %s returns', (platform) => {
  let without: AppUnderTest;
  let serialized: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    without = await startApp({ platform, controllers: [SessionController] });
    serialized = await startApp({
      platform,
      controllers: [SessionController],
      clock: without.clock,
      configure: (app) => {
        app.useGlobalInterceptors(new ClassSerializerInterceptor(app.get(Reflector)));
      },
    });
  });

  afterAll(async () => {
    await without.close();
    await serialized.close();
  });

  async function get(app: AppUnderTest, route: string): Promise<unknown> {
    headers = (await logIn(app.app, { userId: 'ann', metadata: { deep: { er: true } } })).headers;
    return (await app.fetch(route, { headers })).json();
  }

  it.each(['/plain', '/nested'])('is the same behind ClassSerializerInterceptor: %s', async (route) => {
    const expected = withoutIds(await get(without, route));
    expect(JSON.stringify(expected)).toContain('"userId":"ann"');
    expect(withoutIds(await get(serialized, route))).toEqual(expected);
  });

  it('fills a DTO by its properties', async () => {
    expect(await get(serialized, '/dto')).toEqual({ sessionId: expect.stringMatching(/^[\w-]{59}$/) });
  });

  it('is whole in the result of a login', async () => {
    const response = await serialized.fetch('/login', { method: 'POST' });
    expect(await response.json()).toMatchObject({
      token: expect.stringMatching(/^[\w-]{56}\.[\w-]{43}$/),
      session: { user: { userId: 'bob', roles: ['admin'] }, data: {} },
    });
  });
});

/** Ids differ from login to login. */
function withoutIds(json: unknown): unknown {
  return JSON.parse(JSON.stringify(json).replaceAll(/"sessionId":"[\w-]{59}"/g, '"sessionId":"an id"'));
}

describe('ClassSerializerInterceptor on one handler', () => {
  @UseInterceptors(ClassSerializerInterceptor)
  @Controller()
  class OneController {
    @UseGuards(SessionGuard)
    @Get()
    @SerializeOptions({ strategy: 'excludeAll' })
    session(@CurrentSession() session: Session): Session {
      return session;
    }
  }

  it('shows a session also where it shows only what is exposed', async () => {
    const app = await startApp({ controllers: [OneController] });
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    expect(await (await app.fetch('/', { headers })).json()).toMatchObject({ sessionId: session.sessionId });
    await app.close();
  });
});
