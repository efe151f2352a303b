import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Get,
  HttpCode,
  Post,
  Req,
  type ArgumentsHost,
  type HttpException,
  type INestApplication,
  type Type,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, BaseExceptionFilter } from '@nestjs/core';
import { connect } from 'node:net';
import { CurrentUser, MemoryBackend, Public, SessionGuard, SessionService, type SessionUser } from 'nestjs-sessionx';

import { Examples } from '../docs/examples.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { LogLines } from '../support/log-lines.js';
import { soon } from '../support/soon.js';

const TTL_SECONDS = 3600;
const OWN = { 'sec-fetch-site': 'same-origin' };
const FOREIGN = { 'sec-fetch-site': 'cross-site' };

@Controller()
class ShopController {
  constructor(private readonly sessions: SessionService) {}

  @Get('orders/:id')
  order(@CurrentUser() { userId }: SessionUser) {
    return userId;
  }

  @HttpCode(200)
  @Post('orders')
  newOrder() {
    return 'ok';
  }

  @Public()
  @Get('news')
  news() {
    return 'ok';
  }

  @Public()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
  }

  @Public()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    await this.sessions.logout(request);
  }
}

const PAGE = 'docs/in-guards-and-middleware.md';
/** By a hook, routes are known on Fastify too. */
const ways = [
  { platform: 'express', by: 'a middleware', knowsRoute: true },
  { platform: 'fastify', by: 'a middleware', knowsRoute: false },
  { platform: 'fastify', by: 'a hook', knowsRoute: true },
] as const;

describe.each(ways)('an access log by $by, on $platform', ({ platform, by, knowsRoute }) => {
  let examples: Examples;
  let app: AppUnderTest;
  let store: BarrierBackend;
  const lines = new LogLines();

  beforeAll(() => {
    examples = new Examples();
  });

  afterEach(async () => {
    lines.clear();
    await app.close();
  });

  afterAll(() => {
    examples.remove();
  });

  async function start(): Promise<SessionService> {
    store = new BarrierBackend(new MemoryBackend());
    const { AccessLogModule } = await examples.load(PAGE, 'access-log.middleware.ts');
    const { logRequests } = await examples.load(PAGE, 'fastify-access-log.ts');
    app = await startApp({
      platform,
      controllers: [ShopController],
      imports: by === 'a middleware' ? [AccessLogModule as Type] : [],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
      session: { tokenSourcePriority: ['cookie'], sessionTtl: TTL_SECONDS, backend: store.backend },
      configure: (nest) => {
        nest.useLogger(lines);
        if (by === 'a hook') (logRequests as (nest: INestApplication) => void)(nest);
      },
    });
    return app.app.get(SessionService);
  }

  async function signedIn(userId = 'ann'): Promise<{ cookie: string }> {
    const { token } = await app.app.get(SessionService).createSession({ user: { userId } });
    return { cookie: `__Host-session=${token}` };
  }

  /** The line of the log that follows `act`. */
  async function lineAfter(act: () => Promise<unknown>): Promise<string> {
    const before = accessLines().length;
    await act();
    return soon(() => accessLines()[before]);
  }

  const accessLines = () => lines.of('log').filter((line) => /^log: (GET|POST) /.test(line));
  const get = (path: string, headers = {}) => lineAfter(() => app.fetch(path, { headers }));
  const post = (path: string, headers = {}) => lineAfter(() => app.fetch(path, { method: 'POST', headers }));
  const route = (pattern: string) => (knowsRoute ? pattern : '-');

  async function callsFor(act: () => Promise<unknown>): Promise<number> {
    const before = store.total;
    await act();
    return store.total - before;
  }

  it('has method, route, status and user, and no URL', async () => {
    await start();
    const ann = await signedIn();
    expect(await get('/orders/7?secret=1', ann)).toBe(`log: GET ${route('/orders/:id')} 200 "ann"`);
    expect(await get('/orders/7')).toBe(`log: GET ${route('/orders/:id')} 401 guest`);
    expect(await get('/news', ann)).toBe(`log: GET ${route('/news')} 200 "ann"`);
    expect(await get('/nowhere', ann)).toMatch(/^log: GET \S+ 404 "ann"$/);
    expect(lines.all.join('\n')).not.toMatch(/orders\/7|secret/);
  });

  it('is one line, whatever the user is called', async () => {
    await start();
    const line = await get('/news', await signedIn('ann\nlog: GET /admin 200 "root"'));
    expect(line).toBe(`log: GET ${route('/news')} 200 "ann\\nlog: GET /admin 200 \\"root\\""`);
    expect(await get('/news', await signedIn('guest'))).toBe(`log: GET ${route('/news')} 200 "guest"`);
  });

  it('names who is signed in when the response is sent', async () => {
    await start();
    expect(await post('/login', OWN)).toBe(`log: POST ${route('/login')} 200 "ann"`);
    expect(await post('/logout', { ...OWN, ...(await signedIn()) })).toBe(`log: POST ${route('/logout')} 200 guest`);
  });

  it('costs one read where nothing else asked for the session, and else nothing', async () => {
    await start();
    const ann = await signedIn();
    expect(await callsFor(() => get('/orders/7', ann))).toBe(1);
    expect(await callsFor(() => get('/news', ann))).toBe(1);
    expect(await callsFor(() => get('/news'))).toBe(0);
    expect(await callsFor(() => get('/news', { cookie: '__Host-session=forged' }))).toBe(0);
  });

  it('renews nothing', async () => {
    await start();
    const ann = await signedIn();
    app.clock.advance(TTL_SECONDS * 600);
    let cookies: readonly string[] = [];
    await lineAfter(async () => {
      cookies = (await app.fetch('/news', { headers: ann })).headers.getSetCookie();
    });
    expect([cookies, store.calls.touch]).toEqual([[], undefined]);
  });

  it('does not name a user whom another site made the browser act for', async () => {
    await start();
    const ann = await signedIn();
    expect(await callsFor(() => post('/orders', { ...ann, ...FOREIGN }))).toBe(0);
    expect(accessLines()).toEqual([`log: POST ${route('/orders')} 403 unknown`]);
  });

  it('harms no response when the store fails', async () => {
    await start();
    const ann = await signedIn();
    store.fail('read');
    expect(await get('/news', ann)).toBe(`log: GET ${route('/news')} 200 unknown`);
    expect(await get('/orders/7', ann)).toBe(`log: GET ${route('/orders/:id')} 503 unknown`);
  });

  it('keeps apart the users of one connection', async () => {
    await start();
    const users = ['ann', 'bob', 'eve'];
    const cookies = await Promise.all(users.map(signedIn));
    const { hostname, port } = new URL(app.url);
    const client = connect(Number(port), hostname);
    try {
      client.resume();
      client.write(
        cookies.map(({ cookie }) => `GET /news HTTP/1.1\r\nHost: shop\r\nCookie: ${cookie}\r\n\r\n`).join(''),
      );
      await soon(() => accessLines()[users.length - 1]);
    } finally {
      client.destroy();
    }
    expect([...accessLines()].sort()).toEqual(users.map((user) => `log: GET ${route('/news')} 200 "${user}"`));
  });
});

/** Logs the user of each error. */
@Catch()
class LoggingFilter extends BaseExceptionFilter {
  static readonly lines: string[] = [];

  constructor(private readonly sessions: SessionService) {
    super();
  }

  override catch(error: HttpException, host: ArgumentsHost): void {
    void this.#log(error, host).then(() => {
      super.catch(error, host);
    });
  }

  async #log(error: HttpException, host: ArgumentsHost): Promise<void> {
    const session = await this.sessions.current(host.switchToHttp().getRequest<object>()).catch(() => undefined);
    LoggingFilter.lines.push(`${error.getStatus()} ${session?.user?.userId ?? 'nobody'}`);
  }
}

@Controller()
class EmptyController {
  @Get('orders')
  orders() {
    return 'ok';
  }

  @HttpCode(200)
  @Post('orders')
  newOrder() {
    return 'ok';
  }
}

describe.each(PLATFORMS)('a global exception filter, on %s', (platform) => {
  it('finds the session by the request, also where no route was found', async () => {
    LoggingFilter.lines.length = 0;
    const app = await startApp({
      platform,
      controllers: [EmptyController],
      providers: [
        { provide: APP_GUARD, useClass: SessionGuard },
        { provide: APP_FILTER, useClass: LoggingFilter },
      ],
      session: { tokenSourcePriority: ['cookie'] },
    });
    try {
      const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' } });
      const headers = { cookie: `__Host-session=${token}` };
      const post = (site: object) => app.fetch('/orders', { method: 'POST', headers: { ...headers, ...site } });
      expect((await app.fetch('/nowhere', { headers })).status).toBe(404);
      expect((await app.fetch('/orders')).status).toBe(401);
      expect([(await post(FOREIGN)).status, (await post(OWN)).status]).toEqual([403, 200]);
      expect(LoggingFilter.lines).toEqual(['404 ann', '401 nobody', '403 nobody']);
    } finally {
      await app.close();
    }
  });
});
