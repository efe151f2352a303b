import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Injectable, Post, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { APP_GUARD, Reflector } from '@nestjs/core';
import {
  AllowAnonymous,
  MemoryBackend,
  Public,
  SessionGuard,
  SessionService,
  type NewSessionUser,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const TTL_SECONDS = 3600;
const ADMIN = { userId: 'ann', roles: ['admin'] };
const OWN = { 'sec-fetch-site': 'same-origin' };
const FOREIGN = { 'sec-fetch-site': 'cross-site' };

const transports = {
  bearer: (token: string) => ({ authorization: `Bearer ${token}` }),
  cookie: (token: string) => ({ cookie: `__Host-session=${token}` }),
};

const Roles = Reflector.createDecorator<string[]>();

/** A guard of an application, with a mark of its own. */
@Injectable()
class RolesGuard implements CanActivate {
  constructor(
    private readonly sessions: SessionService,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    const required = this.reflector.getAllAndOverride<string[] | undefined>(Roles, targets);
    if (required === undefined) return true;
    const { user } = await this.sessions.requireUser(context);
    return required.every((role) => user!.roles.includes(role));
  }
}

@Controller()
class ShopController {
  @Roles(['admin'])
  @Get('admin')
  admin() {
    return 'ok';
  }

  @Roles(['admin'])
  @HttpCode(200)
  @Post('admin')
  change() {
    return 'ok';
  }

  @Get('profile')
  profile() {
    return 'ok';
  }

  @AllowAnonymous()
  @Get('cart')
  cart() {
    return 'ok';
  }

  @Public()
  @Get('news')
  news() {
    return 'ok';
  }
}

/** The guards of the application in the order in which they run. */
const orders = PLATFORMS.flatMap((platform) => (['before', 'after'] as const).map((place) => ({ platform, place })));

describe.each(orders)('a global guard of the application $place SessionGuard, on $platform', ({ platform, place }) => {
  let app: AppUnderTest;
  let store: BarrierBackend;

  afterEach(() => app.close());

  async function start(): Promise<SessionService> {
    store = new BarrierBackend(new MemoryBackend());
    const guards = place === 'before' ? [RolesGuard, SessionGuard] : [SessionGuard, RolesGuard];
    app = await startApp({
      platform,
      controllers: [ShopController],
      providers: guards.map((useClass) => ({ provide: APP_GUARD, useClass })),
      session: { tokenSourcePriority: ['bearer', 'cookie'], sessionTtl: TTL_SECONDS, backend: store.backend },
    });
    return app.app.get(SessionService);
  }

  async function tokenOf(user: NewSessionUser | null): Promise<string> {
    return (await app.app.get(SessionService).createSession({ user })).token;
  }

  const statusOf = async (path: string, headers = {}) => (await app.fetch(path, { headers })).status;

  describe.each(Object.entries(transports))('by %s', (_, headersOf) => {
    it('is a 401 without a user, and a 403 without the role', async () => {
      await start();
      expect(await statusOf('/admin')).toBe(401);
      expect(await statusOf('/admin', headersOf('forged'))).toBe(401);
      expect(await statusOf('/admin', headersOf(await tokenOf(null)))).toBe(401);
      expect(await statusOf('/admin', headersOf(await tokenOf({ userId: 'bob' })))).toBe(403);
      expect(await statusOf('/admin', headersOf(await tokenOf(ADMIN)))).toBe(200);
    });

    it('is a 401 when the session has ended', async () => {
      const sessions = await start();
      const headers = headersOf(await tokenOf(ADMIN));
      await sessions.deleteUserSessions('ann');
      expect(await statusOf('/admin', headers)).toBe(401);
    });

    it('leaves routes alone that name no role', async () => {
      await start();
      const bob = headersOf(await tokenOf({ userId: 'bob' }));
      const guest = headersOf(await tokenOf(null));
      expect([await statusOf('/profile', bob), await statusOf('/profile')]).toEqual([200, 401]);
      expect([await statusOf('/cart', guest), await statusOf('/cart')]).toEqual([200, 401]);
      expect([await statusOf('/news', bob), await statusOf('/news')]).toEqual([200, 200]);
    });

    it('reads the session once, and that of a public route never', async () => {
      await start();
      const headers = headersOf(await tokenOf(ADMIN));
      const readsFor = async (path: string) => {
        const before = store.calls.read ?? 0;
        await app.fetch(path, { headers });
        return (store.calls.read ?? 0) - before;
      };
      expect([await readsFor('/admin'), await readsFor('/news')]).toEqual([1, 0]);
    });

    it('is a 503, and no 401 or 403, when the store fails', async () => {
      await start();
      const headers = headersOf(await tokenOf(ADMIN));
      store.fail('read');
      expect(await statusOf('/admin', headers)).toBe(503);
    });
  });

  it('refuses another site before it looks at the role, without a store call', async () => {
    await start();
    const cookie = transports.cookie(await tokenOf(ADMIN));
    const post = (site: object) => app.fetch('/admin', { method: 'POST', headers: { ...cookie, ...site } });
    const before = store.total;
    const refused = await post(FOREIGN);
    expect([refused.status, store.total - before]).toEqual([403, 0]);
    expect((await post(OWN)).status).toBe(200);
  });

  it('renews the session once', async () => {
    await start();
    const cookie = transports.cookie(await tokenOf(ADMIN));
    app.clock.advance(TTL_SECONDS * 600);
    const response = await app.fetch('/admin', { headers: cookie });
    expect([response.headers.getSetCookie().length, store.calls.touch]).toEqual([1, 1]);
  });
});
