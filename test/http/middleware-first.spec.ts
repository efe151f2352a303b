import { afterEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  HttpCode,
  Post,
  Req,
  UnauthorizedException,
  UseGuards,
  type INestApplication,
} from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { parseSetCookie } from 'cookie';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CurrentSession,
  Session,
  SessionEvents,
  SessionGuard,
  SessionModule,
  SessionService,
  SkipCsrf,
  UseSession,
  type SessionModuleOptions,
} from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { PLATFORMS, SECRET_KEY, type Platform } from '../support/apps.js';
import { send, type RawResponse } from '../support/raw-client.js';

const NAME = '__Host-session';
const PROXIED = [
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', 'shop.example.com'],
  ['X-Forwarded-For', '203.0.113.7'],
].flat();
const OWN = ['Origin', 'https://shop.example.com'];
const FORM = ['Content-Type', 'application/x-www-form-urlencoded'];

@Controller()
class ShopController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    const { session, csrfToken } = await this.sessions.login(request, { userId: 'ann' });
    return { csrfToken, ip: session.ipAddress };
  }

  /** Nothing on the route: the middleware has told the module of the request. */
  @HttpCode(200)
  @Post('login-unmarked')
  async loginUnmarked(@Req() request: object) {
    const { session } = await this.sessions.login(request, { userId: 'ann' });
    return { ip: session.ipAddress };
  }

  @HttpCode(200)
  @Post('change-unmarked')
  async changeUnmarked(@Req() request: object) {
    const session = await this.sessions.require(request);
    return { user: session.user?.userId };
  }

  /** A login that fails asks for the origin alone. */
  @HttpCode(200)
  @Post('change-after-login')
  async changeAfterLogin(@Req() request: object) {
    await this.sessions.login(request, { userId: '' }).catch(() => null);
    return this.changeUnmarked(request);
  }

  @SkipCsrf()
  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('skipped')
  async skipped(@CurrentSession() session: Session) {
    session.data.seen = true;
    await this.sessions.updateSession(session);
    return { user: session.user?.userId };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('change')
  change(@CurrentSession() session: Session) {
    return { user: session.user?.userId };
  }

  /** Refuses for a reason of the application's own. */
  @UseGuards(SessionGuard)
  @Get('refused')
  refused(): never {
    throw new UnauthorizedException();
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { ip: session.ipAddress };
  }
}

type Middleware = (requests: RequestSessions, request: IncomingMessage, response: ServerResponse) => unknown;

/** What a middleware may do before the route: to know the request is the least, to ask for the session the most. */
const MIDDLEWARES: [name: string, middleware: Middleware][] = [
  ['makes the request known', (requests, request, response) => requests.ofRequest(request, response)],
  [
    'looks for the session',
    (requests, request, response) =>
      requests
        .ofRequest(request, response)
        .current()
        .catch(() => null),
  ],
  [
    'looks for the session and does not wait',
    (requests, request, response) => {
      void requests
        .ofRequest(request, response)
        .current()
        .catch(() => null);
    },
  ],
  [
    'requires the session and passes over a refusal',
    async (requests, request, response) => {
      const loaded = await requests.ofRequest(request, response).load();
      try {
        loaded.required();
      } catch {
        // The route decides.
      }
    },
  ],
];

/** Nest's middleware, and a hook of Fastify's that knows Node's request alone. */
const PLACES: [platform: Platform, place: 'middleware' | 'hook'][] = [
  ...PLATFORMS.map((platform): [Platform, 'middleware'] => [platform, 'middleware']),
  ['fastify', 'hook'],
];

describe.each(PLACES)('on %s, a %s that comes before the route', (platform, place) => {
  describe.each(MIDDLEWARES)('and %s', (_name, middleware) => {
    let app: INestApplication;
    let url: string;
    const rejected: string[] = [];

    afterEach(() => app.close());

    async function start(session: Partial<SessionModuleOptions> = {}): Promise<void> {
      rejected.length = 0;
      const testing = await Test.createTestingModule({
        imports: [SessionModule.forRoot({ secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], ...session })],
        controllers: [ShopController],
      }).compile();
      const requests = testing.get(RequestSessions);
      testing
        .get(SessionEvents)
        .on('rejected')
        .subscribe(({ reason }) => rejected.push(reason));
      if (platform === 'express') {
        app = testing.createNestApplication();
        (app as NestExpressApplication).set('trust proxy', 'loopback');
      } else {
        app = testing.createNestApplication(new FastifyAdapter({ trustProxy: 'loopback' }));
      }
      if (place === 'middleware') {
        app.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
          void Promise.resolve(middleware(requests, request, response)).then(() => next());
        });
      } else {
        (app as NestFastifyApplication)
          .getHttpAdapter()
          .getInstance()
          .addHook('onRequest', async (request, reply) => {
            await middleware(requests, request.raw, reply.raw);
          });
      }
      app.useLogger(false);
      await app.listen(0, '127.0.0.1');
      url = await app.getUrl();
    }

    const post = (path: string, headers: readonly string[], body?: string): Promise<RawResponse> =>
      send(url + path, { method: 'POST', headers: [...PROXIED, ...headers], ...(body === undefined ? {} : { body }) });
    const cookieOf = ({ setCookies: [line = ''] }: RawResponse) => ['Cookie', `${NAME}=${parseSetCookie(line).value}`];

    async function signIn(): Promise<{ cookie: string[]; csrfToken: string }> {
      const login = await post('/login', OWN);
      expect(login.status).toBe(200);
      return { cookie: cookieOf(login), ...(JSON.parse(login.body) as { csrfToken: string }) };
    }

    it('leaves a page of our own what it is, behind a proxy that is trusted', async () => {
      await start();
      const { cookie } = await signIn();
      expect((await post('/change', [...cookie, ...OWN])).status).toBe(200);
    });

    it('leaves a token in a form what it is', async () => {
      await start();
      const { cookie, csrfToken } = await signIn();
      expect((await post('/change', [...cookie, ...FORM], `_csrf=${csrfToken}`)).status).toBe(200);
      const { csrfToken: other } = await signIn();
      expect((await post('/change', [...cookie, ...OWN, ...FORM], `_csrf=${other}`)).status).toBe(403);
    });

    it('does not spare a route without a mark the token that every request needs', async () => {
      await start({ csrf: { requireToken: true } });
      const { cookie, csrfToken } = await signIn();
      const { csrfToken: other } = await signIn();
      for (const path of ['/change-unmarked', '/change-after-login']) {
        const change = (token: string[]) => post(path, [...cookie, ...OWN, ...token]);
        expect([path, (await change(['X-CSRF-Token', csrfToken])).status]).toEqual([path, 200]);
        expect([path, (await change(['X-CSRF-Token', other])).status]).toEqual([path, 403]);
        expect([path, (await change([])).status]).toEqual([path, 403]);
      }
    });

    // On Express the request that the middleware has is the same, and its body was not parsed when it was refused.
    if (platform === 'fastify') {
      it('leaves a token in a form what it is for such a route', async () => {
        await start({ csrf: { requireToken: true } });
        const { cookie, csrfToken } = await signIn();
        const form = [...cookie, ...OWN, ...FORM];
        expect((await post('/change-unmarked', form, `_csrf=${csrfToken}`)).status).toBe(200);
      });
    }

    it('leaves it to the route whether it is protected', async () => {
      await start();
      const { cookie } = await signIn();
      const foreign = [...cookie, 'Sec-Fetch-Site', 'cross-site'];
      expect((await post('/skipped', foreign)).status).toBe(200);
      expect((await post('/change', foreign)).status).toBe(403);
    });

    it('makes no page of ours of one that only looks so without the proxy', async () => {
      await start();
      const { cookie } = await signIn();
      expect((await post('/change', [...cookie, 'Origin', url])).status).toBe(403);
      expect((await post('/login', ['Origin', url])).status).toBe(403);
      expect((await post('/login-unmarked', ['Origin', url])).status).toBe(403);
    });

    it('leaves the address what it is', async () => {
      await start({ ipBinding: true });
      const { cookie } = await signIn();
      const me = await send(`${url}/me`, { headers: [...PROXIED, ...cookie] });
      expect([me.status, JSON.parse(me.body)]).toEqual([200, { ip: '203.0.113.7' }]);
      // The token is valid, whatever the middleware made of the address that it did not know.
      const refused = await send(`${url}/refused`, { headers: [...PROXIED, ...cookie] });
      expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Bearer']);
      const unmarked = await post('/login-unmarked', [...cookie, ...OWN]);
      expect(JSON.parse(unmarked.body)).toEqual({ ip: '203.0.113.7' });
      const elsewhere = await send(`${url}/me`, { headers: cookieOf(unmarked) });
      expect(elsewhere.status).toBe(401);
      expect(rejected.at(-1)).toBe('BINDING_IP_MISMATCH');
    });
  });
});
