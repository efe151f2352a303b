import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  All,
  Controller,
  Injectable,
  Post,
  Req,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { SessionService, SkipCsrf, UseSession } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

/** A guard of an application that passes the request, and so tells neither the route nor its marks. */
@Injectable()
class RequestGuard implements CanActivate {
  constructor(private readonly sessions: SessionService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    await this.sessions.requireUser(context.switchToHttp().getRequest<object>());
    return true;
  }
}

/** Acts for the user, and changes nothing in the session. */
@Controller()
class OrdersController {
  orders = 0;

  constructor(private readonly sessions: SessionService) {}

  @All('user')
  async byUser(@Req() request: object) {
    await this.sessions.requireUser(request);
    return ++this.orders;
  }

  @All('session')
  async bySession(@Req() request: object) {
    await this.sessions.require(request);
    return ++this.orders;
  }

  @UseGuards(RequestGuard)
  @All('guard')
  byGuard() {
    return ++this.orders;
  }

  @All('middleware')
  byMiddleware() {
    return ++this.orders;
  }

  @SkipCsrf()
  @UseSession()
  @Post('webhook')
  async webhook(@Req() request: object) {
    await this.sessions.requireUser(request);
    return ++this.orders;
  }
}

describe.each(PLATFORMS)('A session that is required by the request alone, on %s', (platform) => {
  let app: AppUnderTest;
  let cookie: string;
  let token: string;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [OrdersController],
      session: { tokenSourcePriority: ['header', 'cookie'], cookie: { sameSite: 'none' } },
      configure: (nest) => {
        const sessions = nest.get(SessionService);
        nest.use('/middleware', (request: IncomingMessage, _: ServerResponse, next: (error?: unknown) => void) => {
          sessions.requireUser(request).then(() => {
            next();
          }, next);
        });
      },
    });
    ({ token } = await logIn(app.app, { userId: 'ann' }));
    cookie = `__Host-session=${token}`;
  });

  afterAll(() => app.close());

  const statusOf = async (path: string, method: string, headers: Record<string, string>) =>
    (await app.fetch(path, { method, headers })).status;
  const ordersNow = () => app.app.get(OrdersController).orders;

  describe.each(['/user', '/session', '/guard', '/middleware'])('%s', (path) => {
    it.each<Record<string, string>>([
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      { origin: 'https://evil.example', 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      {},
    ])('does not act by the cookie for another site: %j', async (headers) => {
      const before = ordersNow();
      for (const method of ['POST', 'PUT', 'DELETE']) {
        expect(await statusOf(path, method, { cookie, ...headers })).toBe(403);
      }
      expect(ordersNow()).toBe(before);
    });

    it('acts for a page of its own, by a safe method, and by a token in a header', async () => {
      const before = ordersNow();
      const statuses = [
        await statusOf(path, 'POST', { cookie, 'sec-fetch-site': 'same-origin' }),
        await statusOf(path, 'GET', { cookie, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }),
        await statusOf(path, 'POST', { 'x-session-token': token, origin: 'https://evil.example' }),
      ];
      expect(statuses.map((status) => Math.floor(status / 100))).toEqual([2, 2, 2]);
      expect(ordersNow()).toBe(before + 3);
    });
  });

  it('is checked by the marks of the route where these are known', async () => {
    expect(await statusOf('/webhook', 'POST', { cookie, origin: 'https://idp.example' })).toBe(201);
  });
});
