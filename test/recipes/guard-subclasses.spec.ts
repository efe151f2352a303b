import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Injectable, Post, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import {
  AllowAnonymous,
  MemoryBackend,
  OptionalSession,
  Public,
  SessionGuard,
  SessionService,
  type NewSessionUser,
  type Session,
} from 'nestjs-sessionx';

import { Examples } from '../docs/examples.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const PAGE = 'docs/in-guards-and-middleware.md';
const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const FOREIGN = { 'sec-fetch-site': 'cross-site' };

const transports = {
  bearer: (token: string) => ({ authorization: `Bearer ${token}` }),
  cookie: (token: string) => ({ cookie: `__Host-session=${token}` }),
};

@Controller()
class ShopController {
  @Get('orders')
  orders(@OptionalSession() session: Session | null) {
    return session?.user?.userId ?? 'nobody';
  }

  @HttpCode(200)
  @Post('orders')
  newOrder() {
    return 'ok';
  }

  @AllowAnonymous()
  @Get('cart')
  cart() {
    return 'ok';
  }

  @Public()
  @Get('login')
  login() {
    return 'ok';
  }
}

describe.each(PLATFORMS)('a subclass of SessionGuard that is global, on %s', (platform) => {
  let examples: Examples;
  let app: AppUnderTest;
  let store: BarrierBackend;

  beforeAll(() => {
    examples = new Examples();
  });

  afterEach(() => app.close());
  afterAll(() => {
    examples.remove();
  });

  async function start(
    guard: Type,
    more: { controllers?: Type[]; providers?: object[] } = {},
  ): Promise<SessionService> {
    store = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform,
      controllers: [ShopController, ...(more.controllers ?? [])],
      providers: [{ provide: APP_GUARD, useClass: guard }, ...((more.providers ?? []) as [])],
      session: { tokenSourcePriority: ['bearer', 'cookie'], backend: store.backend },
    });
    return app.app.get(SessionService);
  }

  async function tokenOf(user: NewSessionUser | null): Promise<string> {
    return (await app.app.get(SessionService).createSession({ user })).token;
  }

  const get = (path: string, headers = {}) => app.fetch(path, { headers });
  const statusOf = async (path: string, headers = {}) => (await get(path, headers)).status;

  it.each(['isPublic', 'allowsAnonymous'])(
    'opens no route by a promise, which %s() may return in JavaScript',
    async (method) => {
      const answers: [answer: () => unknown, status: number][] = [
        [() => Promise.resolve(false), 500],
        [() => Promise.reject(new Error('no')), 500],
        // As `Reflector` returns for a route without a mark.
        [() => undefined, 401],
      ];
      for (const [answer, status] of answers) {
        @Injectable()
        class PromisingGuard extends SessionGuard {}
        Object.assign(PromisingGuard.prototype, { [method]: answer });
        await start(PromisingGuard);
        expect(await statusOf('/orders', { authorization: `Bearer ${await tokenOf(null)}` })).toBe(status);
        await app.close();
      }
      await start(SessionGuard);
    },
  );

  describe.each(Object.entries(transports))('by %s', (_, headersOf) => {
    it('sends a browser that asks for a page to the login, and gives a script its 401', async () => {
      const { PageGuard } = await examples.load(PAGE, 'page.guard.ts');
      await start(PageGuard as Type);
      for (const token of ['forged', await tokenOf(null)]) {
        const page = await get('/orders', { ...HTML, ...headersOf(token) });
        expect([page.status, page.headers.get('location')]).toEqual([303, '/login']);
        const script = await get('/orders', headersOf(token));
        expect([script.status, script.headers.get('location')]).toEqual([401, null]);
      }
      expect(await statusOf('/orders', { ...HTML, ...headersOf(await tokenOf({ userId: 'ann' })) })).toBe(200);
      expect([await statusOf('/login', HTML), await statusOf('/cart', HTML)]).toEqual([200, 303]);
    });

    it('refuses locked users, and ends their sessions', async () => {
      const { AccountGuard, Accounts } = await examples.load(PAGE, 'account.guard.ts');
      const accounts = { isLocked: (userId: string) => Promise.resolve(userId === 'mallory') };
      const sessions = await start(AccountGuard as Type, {
        providers: [{ provide: Accounts as Type, useValue: accounts }],
      });
      const mallory = headersOf(await tokenOf({ userId: 'mallory' }));
      expect(await statusOf('/orders', mallory)).toBe(401);
      expect(await sessions.listUserSessions('mallory')).toEqual([]);
      expect(await statusOf('/orders', headersOf(await tokenOf({ userId: 'ann' })))).toBe(200);
      expect(await statusOf('/cart', headersOf(await tokenOf(null)))).toBe(200);
    });

    it('opens routes by a mark of its own, without reading the session', async () => {
      const { OpenGuard, Open } = await examples.load(PAGE, 'open.guard.ts');
      const mark = Open as (value?: boolean) => MethodDecorator & ClassDecorator;
      @mark()
      @Controller('open')
      class OpenController {
        @Get('news')
        news() {
          return 'ok';
        }

        @mark(false)
        @Get('orders')
        orders() {
          return 'ok';
        }
      }
      await start(OpenGuard as Type, { controllers: [OpenController] });
      const ann = headersOf(await tokenOf({ userId: 'ann' }));
      const reads = store.calls.read ?? 0;
      expect([await statusOf('/open/news'), await statusOf('/open/news', ann)]).toEqual([200, 200]);
      expect((store.calls.read ?? 0) - reads).toBe(0);
      expect([await statusOf('/open/orders'), await statusOf('/open/orders', ann)]).toEqual([401, 200]);
      expect([await statusOf('/login'), await statusOf('/orders')]).toEqual([200, 401]);
    });

    it('lets requests pass without a session where handleRefusal returns true', async () => {
      const codes: string[] = [];
      @Injectable()
      class GuestGuard extends SessionGuard {
        protected override handleRefusal({ code }: { readonly code: string }): boolean {
          codes.push(code);
          return true;
        }
      }
      await start(GuestGuard);
      const userOf = async (headers = {}) => (await get('/orders', headers)).text();
      expect([await userOf(), await userOf(headersOf('forged'))]).toEqual(['nobody', 'nobody']);
      expect(await userOf(headersOf(await tokenOf({ userId: 'ann' })))).toBe('ann');
      expect(await userOf(headersOf(await tokenOf(null)))).toBe('nobody');
      expect(codes).toEqual(['TOKEN_MISSING', expect.stringMatching(/^TOKEN_/), 'SESSION_ANONYMOUS']);
    });

    it.each([
      ['false', 403, () => false],
      ['a promise of false', 403, () => Promise.resolve(false)],
      ['a promise that rejects', 500, () => Promise.reject(new Error('the database is out of order'))],
    ])(
      'is closed by handleSession that returns %s',
      async (_what, status, handle: () => boolean | Promise<boolean>) => {
        @Injectable()
        class ClosedGuard extends SessionGuard {
          protected override handleSession(): boolean | Promise<boolean> {
            return handle();
          }
        }
        await start(ClosedGuard);
        expect(await statusOf('/orders', headersOf(await tokenOf({ userId: 'ann' })))).toBe(status);
        expect(await statusOf('/login')).toBe(200);
      },
    );

    it('is not asked about a store that fails', async () => {
      const { PageGuard } = await examples.load(PAGE, 'page.guard.ts');
      await start(PageGuard as Type);
      const ann = headersOf(await tokenOf({ userId: 'ann' }));
      store.fail('read');
      expect(await statusOf('/orders', { ...HTML, ...ann })).toBe(503);
    });
  });

  it('is not asked about a request of another site', async () => {
    const { PageGuard } = await examples.load(PAGE, 'page.guard.ts');
    await start(PageGuard as Type);
    const headers = { ...HTML, ...FOREIGN, ...transports.cookie(await tokenOf({ userId: 'ann' })) };
    expect((await app.fetch('/orders', { method: 'POST', headers })).status).toBe(403);
  });
});
