import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  HttpCode,
  Injectable,
  Module,
  Post,
  Req,
  Res,
  UseGuards,
  type ExecutionContext,
  type INestApplication,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import type { ServerResponse } from 'node:http';
import { CurrentSession, Session, SessionGuard, SessionModule, SessionService, UseSession } from 'nestjs-sessionx';

import { PLATFORMS, SECRET_KEY } from '../support/apps.js';
import { send, type RawResponse } from '../support/raw-client.js';

const OWN = ['Sec-Fetch-Site', 'same-origin'];

/** Looks for a session of the staff on every route, and leaves it to others to refuse. */
@Injectable()
class StaffGuard extends SessionGuard {
  override async canActivate(context: ExecutionContext): Promise<boolean> {
    await Promise.resolve(super.canActivate(context)).catch(() => false);
    return true;
  }
}

@Controller('staff')
class StaffController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'boss' });
  }
}

@Controller()
class ShopController {
  /** Resolves when both calls of `byHand()` have called back. */
  calledBack: Promise<unknown> = Promise.resolve();

  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    const { session } = await this.sessions.login(request, { userId: 'ann' });
    session.data.written = 'by the shop';
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    session.data.seen = true;
    return { user: session.user?.userId, data: session.data };
  }

  @UseGuards(SessionGuard)
  @Get('by-hand')
  byHand(@CurrentSession() session: Session, @Res() reply: { raw?: ServerResponse; hijack?: () => void }): void {
    session.data.seen = true;
    reply.hijack?.();
    const raw = reply.raw ?? (reply as ServerResponse);
    raw.writeHead(201, { 'X-Own': 'own' });
    this.calledBack = Promise.all([
      new Promise<unknown>((resolve) => raw.write('66697273742c20', 'hex', resolve)),
      new Promise<void>((resolve) => raw.end('6c617374', 'hex', resolve)),
    ]);
  }
}

const sessions = (secretKey: string, name: string, backendKeyPrefix: string) =>
  SessionModule.forRoot({
    secretKey,
    tokenSourcePriority: ['cookie'],
    isGlobal: false,
    cookie: { name },
    backendKeyPrefix,
  });

@Module({
  imports: [sessions(SECRET_KEY, '__Host-staff', 'staff:')],
  controllers: [StaffController],
  providers: [{ provide: APP_GUARD, useClass: StaffGuard }],
})
class StaffModule {}

@Module({ imports: [sessions(`${SECRET_KEY}!`, '__Host-shop', 'shop:')], controllers: [ShopController] })
class ShopModule {}

describe.each(PLATFORMS)('two SessionModules in one application, on %s', (platform) => {
  let app: INestApplication;
  let url: string;

  beforeEach(async () => {
    const testing = await Test.createTestingModule({ imports: [StaffModule, ShopModule] }).compile();
    app =
      platform === 'fastify' ? testing.createNestApplication(new FastifyAdapter()) : testing.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });

  afterEach(() => app.close());

  const cookieOf = ({ setCookies }: RawResponse) => setCookies.map((line) => line.split(';')[0]).join('; ');

  it('see to the same response, each for its own session', async () => {
    const staff = cookieOf(await send(`${url}/staff/login`, { method: 'POST', headers: OWN }));
    const login = await send(`${url}/login`, { method: 'POST', headers: [...OWN, 'Cookie', staff] });
    expect(login.status).toBe(200);
    const shop = cookieOf(login);
    expect([staff, shop]).toEqual([
      expect.stringMatching(/^__Host-staff=[\w.-]{100}$/),
      expect.stringMatching(/^__Host-shop=[\w.-]{100}$/),
    ]);
    for (const cookies of [shop, `${staff}; ${shop}`]) {
      const me = await send(`${url}/me`, { headers: ['Cookie', cookies] });
      expect([me.status, JSON.parse(me.body)]).toEqual([
        200,
        { user: 'ann', data: { written: 'by the shop', seen: true } },
      ]);
    }
    expect((await send(`${url}/me`, { headers: ['Cookie', staff] })).status).toBe(401);
  });

  it('pass on all that a handler gives to its response, and call it back', async () => {
    const shop = cookieOf(await send(`${url}/login`, { method: 'POST', headers: OWN }));
    const { status, headers, body } = await send(`${url}/by-hand`, { headers: ['Cookie', shop] });
    expect([status, headers['x-own'], body]).toEqual([201, 'own', 'first, last']);
    await app.get(ShopController, { strict: false }).calledBack;
  });

  it('answer what neither of them knows', async () => {
    expect((await send(`${url}/me`)).status).toBe(401);
    const garbage = await send(`${url}/me`, { headers: ['Cookie', '__Host-staff=x; __Host-shop=y'] });
    expect(garbage.status).toBe(401);
    expect(garbage.setCookies).toHaveLength(2);
  });
});
