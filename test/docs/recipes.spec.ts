import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Module, Post, Render, Req, UseGuards, type Type } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, NestFactory } from '@nestjs/core';
import { UnknownDependenciesException } from '@nestjs/core/errors/exceptions/unknown-dependencies.exception.js';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import expressSession from 'express-session';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CsrfToken,
  CurrentUser,
  FlashMessages,
  MemoryBackend,
  RequireRoles,
  SessionGuard,
  SessionModule,
  SessionService,
  SimpleTokenSerializer,
  UseSession,
  type FlashMessage,
  type Session,
  type SessionEvent,
  type SessionModuleOptions,
  type SessionSecret,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, type AppOptions, type AppUnderTest } from '../support/apps.js';
import { compiled, printedBy } from '../support/compiled.js';
import { LogLines } from '../support/log-lines.js';
import { Examples } from './examples.js';
import { readPage } from './pages.js';

const JSON_BODY = { 'content-type': 'application/json' };

let examples: Examples;
let app: AppUnderTest;

beforeAll(() => {
  process.env.SESSION_SECRET = SECRET_KEY;
  examples = new Examples();
});

afterAll(() => examples.remove());
afterEach(() => app.close());

/** A class, or a decorator, of an example. */
async function load<T = Type>(page: string, file: string, name: string): Promise<T> {
  const exported = await examples.load(page, file);
  expect(exported).toHaveProperty(name);
  return exported[name] as T;
}

async function start(options: Partial<AppOptions>): Promise<SessionService> {
  app = await startApp({ controllers: [], ...options });
  return app.app.get(SessionService);
}

async function bearer(sessions: SessionService, user: Partial<SessionUser> = {}): Promise<Record<string, string>> {
  const { token } = await sessions.createSession({ user: { userId: 'ann', ...user } });
  return { authorization: `Bearer ${token}` };
}

async function post(path: string, init: { headers?: Record<string, string>; json?: unknown } = {}): Promise<Response> {
  const body =
    init.json === undefined ? {} : { body: JSON.stringify(init.json), headers: { ...JSON_BODY, ...init.headers } };
  return app.fetch(path, { method: 'POST', headers: init.headers ?? {}, ...body });
}

function cookieOf(response: Response): string {
  return response.headers.getSetCookie()[0]!.split(';')[0]!;
}

@Controller('open')
class OpenController {
  @Get()
  get() {
    return 'ok';
  }
}

@Controller('me')
class MeController {
  @Get()
  me(@CurrentUser() { userId, username }: SessionUser) {
    return { userId, username };
  }
}

describe.each(PLATFORMS)('on %s', (platform) => {
  it.each([
    ['README.md', 'app.module.ts'],
    ['README.zh-TW.md', 'app.module.ts'],
    ['docs/getting-started.md', 'src/app.module.ts'],
  ])('the quick start of %s signs in, shows the profile and signs out', async (page, file) => {
    const AppController = await load(page, file, 'AppController');
    await start({ platform, controllers: [AppController] });
    const login = await post('/login', { json: { username: 'ann', password: 'correct horse' } });
    const { token } = (await login.json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    expect(await (await app.fetch('/profile', { headers })).json()).toMatchObject({ userId: 'ann' });
    expect(await (await post('/logout', { headers })).json()).toEqual({ loggedOut: true });
    expect((await app.fetch('/profile', { headers })).status).toBe(401);
    for (const json of [undefined, {}, { username: 'ann' }, { username: '', password: '' }, []]) {
      expect((await post('/login', json === undefined ? {} : { json })).status).toBeGreaterThanOrEqual(400);
      expect((await post('/login', json === undefined ? {} : { json })).status).toBeLessThan(500);
    }
  });

  it('the login by cookie of the quick start refuses what is no name and password', async () => {
    const WebController = await load('docs/getting-started.md', 'src/web.module.ts', 'WebController');
    await start({ platform, controllers: [WebController], session: { tokenSourcePriority: ['cookie', 'bearer'] } });
    const headers = { origin: app.url };
    for (const json of [{}, { password: 'correct horse' }, { username: 'ann' }]) {
      expect((await post('/login', { headers, json })).status).toBe(400);
    }
    const json = { username: 'ann', password: 'correct horse' };
    expect((await post('/login', { json })).status).toBe(403);
    expect((await post('/login', { headers, json })).status).toBe(200);
  });

  it('the quick start of the README by cookie: curl needs Origin, and the body has no token', async () => {
    const AppController = await load('README.md', 'app.module.ts', 'AppController');
    await start({ platform, controllers: [AppController], session: { tokenSourcePriority: ['cookie', 'bearer'] } });
    const json = { username: 'ann', password: 'correct horse' };
    expect((await post('/login', { json })).status).toBe(403);
    const login = await post('/login', { headers: { origin: app.url }, json });
    expect([login.status, await login.json()]).toEqual([200, { token: null }]);
    expect(cookieOf(login)).toMatch(/^__Host-session=/);
  });

  it('an app on another origin signs in, and needs a CSRF token only with requireToken', async () => {
    const page = 'docs/browser.md';
    const WebController = await load('docs/getting-started.md', 'src/web.module.ts', 'WebController');
    const SpaModule = await load(page, 'spa.module.ts', 'SpaModule');
    const allowApp = await load<(nest: unknown) => void>(page, 'spa.module.ts', 'allowApp');
    @Controller('csrf')
    class TokenController {
      @Get()
      token(@CsrfToken() csrfToken: string | null) {
        return { csrfToken };
      }

      @UseSession()
      @Post('start')
      async start(@Req() request: object) {
        await app.app.get(SessionService).start(request);
      }
    }
    const json = { username: 'ann', password: 'correct horse' };
    const fromApp = { origin: 'http://localhost:5173', 'sec-fetch-site': 'same-site' };

    @Module({ imports: [SpaModule], controllers: [WebController] })
    class AppModule {}
    const nest = await NestFactory.create(
      AppModule,
      platform === 'fastify' ? new FastifyAdapter() : new ExpressAdapter(),
      { logger: false },
    );
    allowApp(nest);
    await nest.listen(0, '127.0.0.1');
    const url = await nest.getUrl();
    const send = (path: string, headers: Record<string, string>) =>
      fetch(url + path, {
        method: 'POST',
        body: JSON.stringify(json),
        headers: { ...JSON_BODY, ...fromApp, ...headers },
      });
    const preflight = await fetch(`${url}/profile`, {
      method: 'OPTIONS',
      headers: { ...fromApp, 'access-control-request-method': 'DELETE' },
    });
    expect(preflight.headers.get('access-control-allow-methods')).toMatch(/PUT.*DELETE/);
    const login = await send('/login', {});
    expect([login.status, login.headers.get('access-control-allow-credentials')]).toEqual([200, 'true']);
    expect(login.headers.get('access-control-allow-origin')).toBe(fromApp.origin);
    expect(login.headers.get('access-control-expose-headers')).toBe('X-CSRF-Token');
    expect((await send('/logout', { cookie: cookieOf(login), origin: 'http://localhost:5174' })).status).toBe(403);
    expect((await send('/logout', { cookie: cookieOf(login) })).status).toBe(200);
    await nest.close();

    await start({
      platform,
      controllers: [WebController, TokenController],
      session: { tokenSourcePriority: ['cookie'], csrf: { allowedOrigins: [fromApp.origin], requireToken: true } },
    });
    const first = await post('/login', { headers: fromApp, json });
    expect([first.status, first.headers.get('x-csrf-token')]).toEqual([200, expect.any(String)]);
    const visitor = { ...fromApp, cookie: cookieOf(await post('/csrf/start', { headers: fromApp })) };
    const second = await post('/login', { headers: visitor, json });
    expect(second.status).toBe(200);
    const headers = { ...fromApp, cookie: cookieOf(second) };
    expect((await post('/logout', { headers })).status).toBe(403);
    const { csrfToken } = (await (await app.fetch('/csrf', { headers })).json()) as { csrfToken: string };
    expect((await post('/logout', { headers: { ...headers, 'x-csrf-token': csrfToken } })).status).toBe(200);
  });

  it('the examples of the session API: a cart before the login, a counter, types, and a guard for all routes', async () => {
    const page = 'docs/session-api.md';
    const CartController = await load(page, 'cart.controller.ts', 'CartController');
    const VisitCounter = await load<Type<{ count(session: Session): Promise<number> }>>(
      page,
      'visit-counter.ts',
      'VisitCounter',
    );
    const itemsInCart = await load<(session: Session) => number>(page, 'session-types.ts', 'itemsInCart');
    const sessions = await start({
      platform,
      controllers: [CartController],
      providers: [VisitCounter, { provide: APP_GUARD, useClass: SessionGuard }],
    });

    expect(await (await app.fetch('/cart')).json()).toEqual([]);
    const { token } = (await (await post('/cart', { json: { sku: 'book', quantity: 2 } })).json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    const more = Array.from({ length: 20 }, (_, index) =>
      post('/cart', { headers, json: { sku: `${index}`, quantity: 0 } }),
    );
    for (const response of await Promise.all(more)) expect(response.status).toBe(200);
    expect(await (await app.fetch('/cart', { headers })).json()).toHaveLength(21);
    const session = await sessions.getSession(token);
    expect(itemsInCart(session)).toBe(2);
    const counter = app.app.get(VisitCounter);
    expect(await counter.count(session)).toBe(1);
    expect(await counter.count(await sessions.getSession(token))).toBe(2);
  });

  it('@AllowAnonymous() lets a session without a user pass, and no visitor without a session', async () => {
    const EntranceController = await load('docs/session-api.md', 'entrance.controller.ts', 'EntranceController');
    const sessions = await start({
      platform,
      controllers: [EntranceController],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    });
    expect((await app.fetch('/cart')).status).toBe(401);
    const { token } = await sessions.createSession();
    expect((await app.fetch('/cart', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
    expect((await post('/login')).status).toBe(201);
  });

  it('the page about JWTs: a token with the issuer of the application, and a change of format that signs nobody out', async () => {
    const JwtModule = await load('docs/jwt.md', 'jwt.module.ts', 'JwtModule');
    const BothFormatsModule = await load('docs/jwt.md', 'both-formats.module.ts', 'BothFormatsModule');
    const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as object;

    const jwt = await NestFactory.createApplicationContext(JwtModule, { logger: false });
    const { token } = await jwt.get(SessionService).createSession({ user: { userId: 'ann' } });
    expect(claimsOf(token)).toMatchObject({ iss: 'https://shop.example.com', aud: 'https://api.shop.example.com' });
    await jwt.close();

    @Module({ imports: [BothFormatsModule], controllers: [MeController] })
    class AppModule {}
    const both = await NestFactory.create(
      AppModule,
      platform === 'fastify' ? new FastifyAdapter() : new ExpressAdapter(),
      { logger: false },
    );
    await both.listen(0, '127.0.0.1');
    app = { close: () => both.close() } as AppUnderTest;
    const url = `${await both.getUrl()}/me`;
    const { token: own } = await both.get(SessionService).createSession({ user: { userId: 'ann' } });
    expect(claimsOf(own)).toMatchObject({ iss: 'nestjs-sessionx' });
    const { secret } = claimsOf(own) as { secret: SessionSecret };
    const simple = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' });
    const old = simple.serialize({ secret, issuedAt: Date.now() });
    const response = await fetch(url, { headers: { authorization: `Bearer ${old}` } });
    expect(response.status).toBe(200);
    const renewed = response.headers.get('x-session-token')!;
    expect(claimsOf(renewed)).toMatchObject({ secret });
    const again = await fetch(url, { headers: { authorization: `Bearer ${renewed}` } });
    expect([again.status, again.headers.get('x-session-token')]).toEqual([200, null]);
    expect((await fetch(url, { headers: { authorization: `Bearer ${old.slice(0, -1)}` } })).status).toBe(401);
  });

  it('a page signs in by the cookie, as the page about browsers has it, and its form carries the token', async () => {
    const SamlController = await load('docs/recipes.md', 'saml.controller.ts', 'SamlController');
    const SettingsController = await load('docs/browser.md', 'settings.controller.ts', 'SettingsController');
    await start({
      platform,
      controllers: [SamlController, SettingsController],
      session: { tokenSourcePriority: ['cookie', 'bearer'] },
    });

    const begin = await app.fetch('/saml/login', { redirect: 'manual' });
    const RelayState = new URL(begin.headers.get('location')!).searchParams.get('RelayState')!;
    const headersBefore = { cookie: cookieOf(begin) };
    // Of another browser, of another login, of none.
    expect((await post('/saml/callback', { json: { RelayState } })).status).toBe(403);
    for (const json of [{ RelayState: 'another' }, {}]) {
      expect((await post('/saml/callback', { headers: headersBefore, json })).status).toBe(403);
    }
    const login = await post('/saml/callback', { headers: headersBefore, json: { RelayState } });
    expect(login.status).toBe(201);
    expect((await post('/saml/callback', { headers: { cookie: cookieOf(login) }, json: { RelayState } })).status).toBe(
      403,
    );
    const documented = /^Set-Cookie: (.*)$/m.exec(readPage('docs/browser.md').text)?.[1];
    expect(login.headers.getSetCookie()[0]?.replace(/=[^;]+/, '=…')).toBe(documented);
    const again = await post('/saml/callback', {
      headers: { 'sec-fetch-site': 'cross-site' },
      json: { SAMLResponse: 'QUJD"><script>', RelayState: '"><script>-_' },
    });
    expect([again.status, again.headers.getSetCookie()]).toEqual([201, []]);
    expect(again.headers.get('content-type')).toContain('text/html');
    const resent = await again.text();
    expect(resent).toContain('<input type="hidden" name="SAMLResponse" value="QUJDscript">');
    expect(resent).toContain('<input type="hidden" name="RelayState" value="script-_">');

    const headers = { cookie: cookieOf(login) };
    const form = await (await app.fetch('/settings', { headers })).text();
    const [, token = ''] = /name="_csrf" value="([\w-]{86})"/.exec(form) ?? [];
    expect((await post('/settings', { headers, json: {} })).status).toBe(403);
    expect((await post('/settings', { headers, json: { _csrf: token } })).status).toBe(201);
  });

  it('roles and permissions: 401 without a user, 403 without the right', async () => {
    const sessions = await start({
      platform,
      imports: [await load('docs/roles.md', 'orders.controller.ts', 'OrdersModule')],
    });
    const statusOf = async (path: string, method: string, user?: object) =>
      (await app.fetch(path, { method, headers: user === undefined ? {} : await bearer(sessions, user) })).status;
    for (const [path, method, user, status] of [
      ['/orders', 'GET', {}, 200],
      ['/orders', 'POST', { permissions: ['orders:write'] }, 403],
      ['/orders', 'POST', { permissions: ['orders:write', 'orders:read'] }, 201],
      ['/orders', 'DELETE', { roles: ['user'] }, 403],
      ['/orders', 'DELETE', { roles: ['support'] }, 200],
      ['/admin/users', 'GET', { roles: ['support'] }, 403],
      ['/admin/users', 'GET', { roles: ['admin'] }, 200],
    ] as const) {
      expect([path, method, await statusOf(path, method)]).toEqual([path, method, 401]);
      expect([path, method, await statusOf(path, method, user)]).toEqual([path, method, status]);
    }
  });

  it('roles of today: those of the database count, and the session has them from then on', async () => {
    const { RolesOfTodayGuard, Accounts } = await examples.load('docs/roles.md', 'roles-of-today.guard.ts');
    @RequireRoles('admin')
    @Controller('today')
    class TodayController {
      @Get()
      get() {
        return 'ok';
      }
    }
    let roles = ['admin'];
    const sessions = await start({
      platform,
      controllers: [TodayController],
      providers: [
        { provide: APP_GUARD, useClass: RolesOfTodayGuard as Type },
        { provide: Accounts as Type, useValue: { rolesOf: () => Promise.resolve(roles) } },
      ],
    });
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' } });
    const statusOf = async () => (await app.fetch('/today', { headers: { authorization: `Bearer ${token}` } })).status;
    expect(await statusOf()).toBe(200);
    expect((await sessions.update(session, () => undefined)).user?.roles).toEqual(['admin']);
    roles = [];
    expect(await statusOf()).toBe(403);
    expect((await sessions.update(session, () => undefined)).user?.roles).toEqual([]);
  });

  it('a change of the password signs out the others, and everybody where another request got a newer ID', async () => {
    const page = ['docs/rights.md', 'password.controller.ts'] as const;
    const PasswordController = await load(...page, 'PasswordController');
    let change = () => Promise.resolve();
    const sessions = await start({
      platform,
      controllers: [PasswordController],
      providers: [{ provide: await load(...page, 'Passwords'), useValue: { change: () => change() } }],
    });
    const put = (headers: Record<string, string>): Promise<Response> =>
      app.fetch('/password', { method: 'PUT', headers: { ...JSON_BODY, ...headers }, body: '{}' });
    await bearer(sessions);
    const { token, signedOutElsewhere } = (await (await put(await bearer(sessions))).json()) as {
      token: string;
      signedOutElsewhere: number;
    };
    expect([signedOutElsewhere, (await sessions.getSession(token)).user?.userId]).toEqual([1, 'ann']);

    await bearer(sessions);
    change = async () => {
      await sessions.regenerateSessionId(await sessions.getSession(token));
    };
    expect((await put({ authorization: `Bearer ${token}` })).status).toBe(409);
    expect(await sessions.listUserSessions('ann')).toEqual([]);
  });

  it('fresh proof: the password again after five minutes, and another method for the rest', async () => {
    const sessions = await start({
      platform,
      controllers: [await load('docs/fresh-proof.md', 'account.controller.ts', 'AccountController')],
    });
    const send = (path: string, body: object, token?: string) =>
      app.fetch(path, {
        method: 'POST',
        headers: { ...JSON_BODY, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        body: JSON.stringify(body),
      });
    const tokenIn = async (response: Response) => ((await response.json()) as { token: string }).token;
    const password = 'correct horse';
    const first = await tokenIn(await send('/login', { password }));
    expect((await send('/email', { email: 'a@example.org' }, first)).status).toBe(200);
    app.clock.advanceSeconds(301);
    const refused = await send('/email', { email: 'b@example.org' }, first);
    expect([refused.status, await refused.text()]).toEqual([
      401,
      '{"statusCode":401,"message":"Unauthorized","code":"PROOF_TOO_OLD"}',
    ]);
    expect((await send('/confirm', { password: 'guess' }, first)).status).toBe(403);
    const second = await tokenIn(await send('/confirm', { password }, first));
    expect((await send('/email', { email: 'b@example.org' }, second)).status).toBe(200);
    expect((await send('/delete', {}, second)).status).toBe(401);
    const { token } = await sessions.createSession({ user: { userId: 'ann' }, methods: ['otp'] });
    expect((await send('/delete', {}, token)).status).toBe(200);
  });

  it('a guard without ours: 401, 403 and 200', async () => {
    const PremiumGuard = await load('docs/in-guards-and-middleware.md', 'premium.guard.ts', 'PremiumGuard');
    @UseGuards(PremiumGuard)
    @Controller('premium')
    class PremiumController {
      @Get()
      get() {
        return 'ok';
      }
    }
    const sessions = await start({ platform, controllers: [PremiumController] });
    const statusOf = async (headers = {}) => (await app.fetch('/premium', { headers })).status;
    expect(await statusOf()).toBe(401);
    expect(await statusOf(await bearer(sessions))).toBe(403);
    expect(await statusOf(await bearer(sessions, { roles: ['premium'] }))).toBe(200);
  });

  it('an access log names the user, and asks the store once', async () => {
    const AccessLogModule = await load(
      'docs/in-guards-and-middleware.md',
      'access-log.middleware.ts',
      'AccessLogModule',
    );
    const lines = new LogLines();
    const backend = new CountingBackend();
    const sessions = await start({
      platform,
      controllers: [MeController],
      imports: [AccessLogModule],
      session: { backend, touchInterval: 3600 },
      configure: (nest) => nest.useLogger(lines),
    });
    const headers = await bearer(sessions);
    backend.reads = 0;
    await app.fetch('/me', { headers });
    await app.fetch('/me');
    await app.fetch('/none', { headers });
    await expectSoon(() => {
      expect(lines.all.join('\n')).toMatch(/GET \S+ 200 "ann"[^]*GET \S+ 401 guest[^]*GET \S+ 404 "ann"/);
    });
    expect(backend.reads).toBe(2);
  });

  it('a guard that is adapted: a second factor, and a page that sends its visitor to the login', async () => {
    const page = 'docs/in-guards-and-middleware.md';
    const SecondFactorGuard = await load(page, 'second-factor.guard.ts', 'SecondFactorGuard');
    const SecondFactor = await load<() => MethodDecorator>(page, 'second-factor.guard.ts', 'SecondFactor');
    const PageGuard = await load(page, 'page.guard.ts', 'PageGuard');
    @Controller()
    class PagesController {
      @UseGuards(SecondFactorGuard)
      @SecondFactor()
      @Get('money')
      money() {
        return 'ok';
      }

      @UseGuards(SecondFactorGuard)
      @Get('news')
      news() {
        return 'ok';
      }

      @UseGuards(PageGuard)
      @Get('page')
      page() {
        return 'ok';
      }
    }
    const sessions = await start({ platform, controllers: [PagesController] });
    const headers = await bearer(sessions);
    expect((await app.fetch('/news', { headers })).status).toBe(200);
    expect((await app.fetch('/money', { headers })).status).toBe(403);
    const { token } = await sessions.createSession({ user: { userId: 'ann' }, data: { secondFactor: true } });
    expect((await app.fetch('/money', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
    expect((await app.fetch('/page', { headers })).status).toBe(200);
    const redirected = await app.fetch('/page', { headers: { accept: 'text/html' } });
    expect([redirected.status, redirected.headers.get('location')]).toEqual([303, '/login']);
  });

  it('a rate limit counts by user, and by address without one', async () => {
    const script = join(import.meta.dirname, 'throttler.process.ts');
    const file = compiled(examples.pathOf('docs/recipes.md', 'user-throttler.guard.ts'));
    const limited = [200, 200, 200, 429];
    expect(await printedBy(script, file, platform)).toEqual({ ann: limited, bob: limited, guest: limited });
  });

  it('Terminus reports a store that does not respond, without its error', async () => {
    const HealthModule = await load('docs/recipes.md', 'health.controller.ts', 'HealthModule');
    const backend = new MemoryBackend();
    await start({ platform, imports: [HealthModule], session: { backend } });
    expect((await app.fetch('/health/ready')).status).toBe(200);
    backend.ping = () => Promise.reject(new Error('connect ECONNREFUSED 10.1.2.3'));
    const response = await app.fetch('/health/ready');
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain('10.1.2.3');
  });

  it('cached responses are each for one session', async () => {
    const ReportModule = await load('docs/recipes.md', 'report.module.ts', 'ReportModule');
    const sessions = await start({ platform, imports: [ReportModule] });
    const report = async (headers = {}) => {
      const response = await app.fetch('/report', { headers });
      return `${response.status} ${await response.text()}`;
    };
    const ann = await bearer(sessions);
    const first = await report(ann);
    expect(first).toContain('"of":"ann"');
    expect(await report(ann)).toBe(first);
    expect(await report(await bearer(sessions, { userId: 'bob' }))).toContain('"of":"bob"');
    expect(await report()).toMatch(/^401/);
    await sessions.deleteUserSessions('ann');
    expect(await report(ann)).toMatch(/^401/);
  });

  it('a devices page lists and ends the sessions of its user, and of nobody else', async () => {
    const DevicesController = await load('docs/recipes.md', 'devices.controller.ts', 'DevicesController');
    const sessions = await start({ platform, controllers: [DevicesController] });
    const headers = await bearer(sessions);
    const end = (id: string) => app.fetch(`/devices/${id}`, { method: 'DELETE', headers });
    const other = await sessions.createSession({ user: { userId: 'ann' } });
    const foreign = await sessions.createSession({ user: { userId: 'bob' } });
    const devices = (await (await app.fetch('/devices', { headers })).json()) as { current: boolean }[];
    expect(devices.map(({ current }) => current).sort()).toEqual([false, true]);
    expect((await end(foreign.session.sessionId)).status).toBe(404);
    expect((await end(other.session.sessionId)).status).toBe(200);
    expect(await (await end('others')).json()).toEqual({ ended: 0 });
    expect(await (await end('all')).json()).toEqual({ ended: 1 });
    expect((await sessions.listUserSessions('bob')).length).toBe(1);
  });

  it('a devices page ends a session that has got a new ID since it was shown', async () => {
    const DevicesController = await load('docs/recipes.md', 'devices.controller.ts', 'DevicesController');
    const sessions = await start({ platform, controllers: [DevicesController] });
    const headers = await bearer(sessions);
    const end = async (id: string) => (await app.fetch(`/devices/${id}`, { method: 'DELETE', headers })).status;
    const thief = await sessions.createSession({ user: { userId: 'ann' } });
    const shown = thief.session.sessionId;
    await sessions.regenerateSessionId(thief.session, { grace: 10 });
    expect(await end(shown)).toBe(200);
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    expect([await end(shown), await end('nonsense'), await end(`${shown.slice(0, 16)}${'A'.repeat(43)}`)]).toEqual([
      404, 404, 404,
    ]);

    const foreign = await sessions.createSession({ user: { userId: 'bob' } });
    const old = foreign.session.sessionId;
    await sessions.regenerateSessionId(foreign.session, { grace: 10 });
    expect([await end(old), await end(`${shown.slice(0, 16)}${old.slice(16)}`)]).toEqual([404, 404]);
    expect(await sessions.listUserSessions('bob')).toHaveLength(1);
  });

  it('an audit table has every event but renewals, the last batch too', async () => {
    const AuditLog = await load('docs/recipes.md', 'audit-log.ts', 'AuditLog');
    const AuditTable = await load('docs/recipes.md', 'audit-log.ts', 'AuditTable');
    const rows: SessionEvent[] = [];
    const table = { insert: (batch: readonly SessionEvent[]) => Promise.resolve(void rows.push(...batch)) };
    const sessions = await start({ platform, providers: [AuditLog, { provide: AuditTable, useValue: table }] });
    const { session } = await sessions.createSession({ user: { userId: 'ann' } });
    await sessions.deleteSession(session, { by: 'root' });
    await app.close();
    expect(rows.map(({ type }) => type)).toEqual(['created', 'ended']);
  });

  it('an audit log gets no row of a forged token, and keeps no more rows than it says while the table hangs', async () => {
    const AuditLog = await load('docs/recipes.md', 'audit-log.ts', 'AuditLog');
    const AuditTable = await load('docs/recipes.md', 'audit-log.ts', 'AuditTable');
    let release = (): void => undefined;
    const hangs = new Promise<void>((resolve) => {
      release = resolve;
    });
    let rows = 0;
    const insert = async (batch: readonly SessionEvent[]) => {
      await hangs;
      rows += batch.length;
    };
    const lines = new LogLines();
    const sessions = await start({
      platform,
      controllers: [MeController],
      providers: [
        AuditLog,
        { provide: AuditTable, useValue: { insert } },
        { provide: APP_GUARD, useClass: SessionGuard },
      ],
      configure: (nest) => {
        nest.useLogger(lines);
      },
    });
    expect((await app.fetch('/me', { headers: { authorization: 'Bearer forged' } })).status).toBe(401);
    for (let count = 0; count < 10_100; count++) await sessions.createSession();
    release();
    await app.close();
    expect(rows).toBe(10_000);
    expect(lines.of('error')).toEqual([expect.stringContaining('too slow'), expect.stringContaining('100 events')]);
  });

  it('OAuth: the state is in the session, works once, and the cart moves along', async () => {
    const OAuthController = await load('docs/recipes.md', 'oauth.controller.ts', 'OAuthController');
    const OAuthClient = await load('docs/recipes.md', 'oauth.controller.ts', 'OAuthClient');
    const client = {
      authorizeUrl: 'https://provider.example/authorize',
      userOf: (code: string) => Promise.resolve({ userId: code }),
    };
    const sessions = await start({
      platform,
      controllers: [OAuthController, MeController],
      providers: [{ provide: OAuthClient, useValue: client }],
      session: { tokenSourcePriority: ['cookie'] },
    });
    const begin = await app.fetch('/oauth/start');
    const state = new URL(begin.headers.get('location')!).searchParams.get('state')!;
    const headers = { cookie: cookieOf(begin), 'sec-fetch-site': 'cross-site' };
    const back = (query: string, by = headers) => app.fetch(`/oauth/callback?${query}`, { headers: by });
    expect((await back(`state=forged&code=ann`)).status).toBe(403);
    expect((await back(`state=${state}&code=ann`, { ...headers, cookie: '' })).status).toBe(403);
    const done = await back(`state=${state}&code=ann`);
    expect([done.status, done.headers.get('location')]).toEqual([302, '/']);
    const signedIn = { cookie: cookieOf(done) };
    expect(await (await app.fetch('/me', { headers: signedIn })).json()).toMatchObject({ userId: 'ann' });
    expect((await back(`state=${state}&code=bob`, { ...headers, ...signedIn })).status).toBe(403);
    expect((await sessions.listUserSessions('bob')).length).toBe(0);
  });

  it('server-sent events end with the session', async () => {
    const UpdatesController = await load('docs/recipes.md', 'updates.controller.ts', 'UpdatesController');
    const sessions = await start({ platform, controllers: [UpdatesController] });
    const { token, session } = await sessions.createSession({ user: { userId: 'ann' } });
    const stream = await app.fetch('/updates', { headers: { authorization: `Bearer ${token}` } });
    expect(stream.status).toBe(200);
    const ended = stream.text();
    await sessions.deleteSession(session.sessionId);
    expect(await ended).not.toContain('"count":2');
  });

  it('server-rendered pages: a form, a redirect, and a message on the next page, which a broken view leaves', async () => {
    const page = 'docs/recipes.md';
    const PagesController = await load(page, 'pages.controller.ts', 'PagesController');
    const useViews = await load<(nest: unknown, folder: string) => void>(
      page,
      'views.ts',
      platform === 'express' ? 'useViewsOfExpress' : 'useViewsOfFastify',
    );
    const view = readPage(page).blocks.find(({ language }) => language === 'html')!.code;
    const views = join(examples.folder, `views-${platform}`);
    mkdirSync(views);
    writeFileSync(join(views, 'home.ejs'), view);
    writeFileSync(join(views, 'broken.ejs'), '<%= missing.name %>');
    @Controller('broken')
    class BrokenController {
      @Render('broken')
      @Get()
      broken(@FlashMessages() messages: FlashMessage[]) {
        return { messages };
      }
    }
    await start({
      platform,
      controllers: [PagesController, BrokenController],
      session: { tokenSourcePriority: ['cookie'] },
      configure: (nest) => {
        useViews(nest, views);
      },
    });
    const headers: Record<string, string> = { origin: app.url };
    const visit = async (path: string) => (await app.fetch(path, { headers })).text();
    const send = async (path: string, fields: Record<string, string>) => {
      const response = await app.fetch(path, { method: 'POST', headers, body: new URLSearchParams(fields) });
      expect([response.status, response.headers.get('location')]).toEqual([303, '/']);
      headers.cookie = cookieOf(response);
    };

    expect(await visit('/')).toContain('Sign in');
    await send('/login', { username: 'ann', password: 'wrong' });
    expect((await app.fetch('/broken', { headers })).status).toBe(500);
    expect(await visit('/')).toMatch(/<p class="error">The name or the password is wrong.<[^]*Sign in/);
    expect(await visit('/')).not.toContain('class="error"');

    await send('/login', { username: 'ann', password: 'correct horse' });
    const home = await visit('/');
    expect(home).toMatch(/<p class="success">Welcome!<[^]*Signed in as Ann/);
    const [, token = ''] = /name="_csrf" value="([\w-]+)"/.exec(home) ?? [];
    delete headers.origin;
    expect((await app.fetch('/logout', { method: 'POST', headers })).status).toBe(403);
    await send('/logout', { _csrf: token });
    expect(await visit('/')).toContain('Sign in');
  });

  it('an own body for errors keeps the headers, and says nothing of the reason', async () => {
    const SessionErrorFilter = await load('docs/errors-and-events.md', 'session-error.filter.ts', 'SessionErrorFilter');
    await start({
      platform,
      controllers: [MeController],
      providers: [{ provide: APP_FILTER, useClass: SessionErrorFilter }],
    });
    const response = await app.fetch('/me', { headers: { authorization: 'Bearer forged' } });
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    expect([response.status, await response.json()]).toEqual([
      401,
      { type: 'about:blank', status: 401, title: 'Please sign in.' },
    ]);
  });

  it('the listeners of the page about events are told', async () => {
    const SessionAudit = await load('docs/errors-and-events.md', 'session-audit.ts', 'SessionAudit');
    const lines = new LogLines();
    const sessions = await start({ platform, providers: [SessionAudit], configure: (nest) => nest.useLogger(lines) });
    const { session } = await sessions.createSession({ user: { userId: 'ann' } });
    await sessions.deleteSession(session, { by: 'root' });
    expect(lines.all.join('\n')).toMatch(
      /"created":"created","userId":"ann"[^]*"ended":"deleted","userId":"ann","by":"root"/,
    );
  });
});

// On Express: Jest cannot load what Swagger UI needs on Fastify.
it('Swagger names bearer and cookie for the routes that require a session', async () => {
  const serveApiDocs = await load<(nest: unknown) => void>('docs/recipes.md', 'api-docs.ts', 'serveApiDocs');
  const ProfileController = await load('docs/recipes.md', 'api-docs.ts', 'ProfileController');
  const sessions = await start({
    controllers: [ProfileController],
    configure: (nest) => serveApiDocs(nest),
  });
  expect((await app.fetch('/profile')).status).toBe(401);
  expect((await app.fetch('/profile', { headers: await bearer(sessions) })).status).toBe(200);
  const { paths } = (await (await app.fetch('/docs-json')).json()) as {
    paths: Record<string, Record<string, { security: unknown }>>;
  };
  expect(paths['/profile']?.get?.security).toEqual(expect.arrayContaining([{ bearer: [] }, { cookie: [] }]));
});

it('overrideGuard() does not replace a guard of APP_GUARD and useClass', async () => {
  const replaced = { canActivate: () => true };
  const testing = await Test.createTestingModule({
    imports: [SessionModule.forRoot({ secretKey: SECRET_KEY })],
    controllers: [OpenController],
    providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
  })
    .overrideGuard(SessionGuard)
    .useValue(replaced)
    .compile();
  const nest = testing.createNestApplication({ logger: false });
  await nest.listen(0, '127.0.0.1');
  app = { close: () => nest.close() } as AppUnderTest;
  const url = `${await nest.getUrl()}/open`;
  expect((await fetch(url)).status).toBe(401);
  expect((await fetch(url, { headers: (await logIn(nest, { userId: 'ann' })).headers })).status).toBe(200);
});

it('options from a factory need the module of what they inject', async () => {
  const SETTINGS = await load<symbol>('docs/options.md', 'app.module.ts', 'SETTINGS');
  const imports = [await load('docs/options.md', 'app.module.ts', 'SettingsModule')];
  const options = { inject: [SETTINGS], useFactory: () => ({ secretKey: SECRET_KEY }) };
  const compile = (extra: object) =>
    Test.createTestingModule({ imports: [SessionModule.forRootAsync({ ...options, ...extra })] }).compile();
  await expect(compile({})).rejects.toThrow(UnknownDependenciesException);
  const testing = await compile({ imports });
  app = { close: () => testing.close() } as AppUnderTest;
});

it('a guard adopts the sessions of express-session, also for requests in parallel, and for ten seconds', async () => {
  const AdoptingGuard = await load('docs/coming-from.md', 'adopting.guard.ts', 'AdoptingGuard');
  @Controller()
  class OldController {
    constructor(private readonly sessions: SessionService) {}

    @Post('old-login')
    login(@Req() request: { session: { user?: object } }) {
      request.session.user = { id: 7, name: 'Ann' };
    }

    @UseSession()
    @Post('logout')
    async logout(@Req() request: { session: { destroy(callback: () => void): void } }) {
      request.session.destroy(() => undefined);
      return { loggedOut: await this.sessions.logout(request) };
    }

    @UseGuards(AdoptingGuard)
    @Get('me')
    me(@CurrentUser() { userId, username }: SessionUser) {
      return { userId, username };
    }
  }
  const session: Partial<SessionModuleOptions> = { tokenSourcePriority: ['cookie'] };
  const sessions = await start({
    controllers: [OldController],
    session,
    configure: (nest) => void nest.use(expressSession({ secret: SECRET_KEY, resave: false, saveUninitialized: false })),
  });
  expect((await app.fetch('/me')).status).toBe(401);
  const old = { cookie: cookieOf(await post('/old-login')) };
  const inParallel = await Promise.all(Array.from({ length: 3 }, () => app.fetch('/me', { headers: old })));
  expect(inParallel.map(({ status }) => status)).toEqual([200, 200, 200]);
  const [adopted] = inParallel as [Response];
  expect(await adopted.json()).toEqual({ userId: '7', username: 'Ann' });
  app.clock.advanceSeconds(10);
  expect((await app.fetch('/me', { headers: old })).status).toBe(200);
  app.clock.advanceSeconds(1);
  expect((await app.fetch('/me', { headers: old })).status).toBe(401);
  const ownCookieOf = (response: Response) => {
    const lines = response.headers.getSetCookie();
    return lines.find((line) => line.startsWith('__Host-session='))!.split(';')[0]!;
  };
  expect((await app.fetch('/me', { headers: { cookie: ownCookieOf(adopted) } })).status).toBe(200);
  expect(await sessions.listUserSessions('7')).toHaveLength(4);

  const another = { cookie: cookieOf(await post('/old-login')) };
  const own = ownCookieOf(await app.fetch('/me', { headers: another }));
  const both = { origin: app.url, cookie: `${another.cookie}; ${own}` };
  expect(await (await post('/logout', { headers: both })).json()).toEqual({ loggedOut: true });
  expect((await app.fetch('/me', { headers: another })).status).toBe(401);
});

class CountingBackend extends MemoryBackend {
  reads = 0;

  override read(...args: Parameters<MemoryBackend['read']>): ReturnType<MemoryBackend['read']> {
    this.reads++;
    return super.read(...args);
  }
}

async function expectSoon(check: () => void): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      check();
      return;
    } catch (error) {
      if (tries > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
