import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Injectable,
  Param,
  Post,
  Query,
  Req,
  RequestTimeoutException,
  Res,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { parseSetCookie } from 'cookie';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import {
  AllowAnonymous,
  CsrfToken,
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  Session,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionEvent,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { Subject, takeUntil, throwIfEmpty, type Observable } from 'rxjs';

import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce } from '../support/services.js';

const NAME = 'sid';
const BY_COOKIE: Partial<SessionModuleOptions> = {
  tokenSourcePriority: ['cookie'],
  cookie: { name: NAME, secure: false },
};
const OWN = { 'sec-fetch-site': 'same-origin' };
const HEADER = 'x-session-token';

let barriers: Record<string, { arrived: () => void; opened: Promise<void> }> = {};

/** Holds the next request to `/held/:name` in its handler. */
function hold(name: string): { arrived: Promise<void>; go: () => void } {
  let go!: () => void;
  let arrive!: () => void;
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  barriers[name] = { arrived: arrive, opened: new Promise<void>((resolve) => (go = resolve)) };
  return { arrived, go };
}

@Controller()
class PageController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Body() body: { user?: string }) {
    const { token, csrfToken } = await this.sessions.login(request, { userId: body.user ?? 'ann' });
    return { token, csrfToken };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session, @CsrfToken() csrfToken: string | null) {
    return { id: session.sessionId, data: session.data, csrfToken };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('set/:key')
  set(@CurrentSession() session: Session, @Param('key') key: string) {
    session.data[key] = true;
    return { id: session.sessionId };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('held/:name')
  async held(@CurrentSession() session: Session, @Param('name') name: string) {
    session.data[name] = true;
    const barrier = barriers[name];
    barrier?.arrived();
    await barrier?.opened;
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('held-read/:name')
  async heldRead(@Param('name') name: string) {
    const barrier = barriers[name];
    barrier?.arrived();
    await barrier?.opened;
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('held-one-time/:call')
  async heldOneTime(@CurrentSession() session: Session, @Param('call') call: string) {
    const barrier = barriers.late;
    barrier?.arrived();
    await barrier?.opened;
    if (call === 'put') await this.sessions.oneTime.put(session, 'state', 'x');
    else await this.sessions.oneTime.consume(session, 'state');
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('held-login/:name')
  async heldLogin(@Req() request: object, @Param('name') name: string) {
    const barrier = barriers[name];
    barrier?.arrived();
    await barrier?.opened;
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('start')
  async start(@Req() request: object) {
    const { csrfToken } = await this.sessions.start(request);
    return { csrfToken };
  }

  @UseGuards(SessionGuard)
  @AllowAnonymous()
  @HttpCode(200)
  @Post('cart')
  cart(@CurrentSession() session: Session) {
    session.data.cart = true;
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('new-id')
  async newId(@CurrentSession() session: Session, @Query('grace') grace?: string) {
    const options = grace === undefined ? {} : { grace: Number(grace) };
    const { token } = await this.sessions.regenerateSessionId(session, options);
    return { token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }

  @UseGuards(SessionGuard)
  @AllowAnonymous()
  @Get('stream')
  stream(@Res() response: ServerResponse & { raw?: ServerResponse; hijack?: () => void }) {
    response.hijack?.();
    const raw = response.raw ?? response;
    raw.write('a');
    raw.end('b');
  }

  @Get('nothing')
  nothing() {
    return 'nothing';
  }
}

const givenUp = new Subject<void>();

/** Responds in place of what runs when the test says so. */
@Injectable()
class ImpatientInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      takeUntil(givenUp),
      throwIfEmpty(() => new RequestTimeoutException()),
    );
  }
}

@UseInterceptors(ImpatientInterceptor)
@Controller('impatient')
class ImpatientController {
  @Get('optional')
  async optional(@OptionalSession() session: Session | null) {
    barriers.impatient?.arrived();
    await barriers.impatient?.opened;
    return { id: session?.sessionId };
  }

  @UseSession()
  @Get('used')
  async used() {
    barriers.impatient?.arrived();
    await barriers.impatient?.opened;
    return {};
  }
}

/** Logs in, and does not wait for it. */
@Injectable()
class LoginGuard implements CanActivate {
  constructor(private readonly sessions: SessionService) {}

  canActivate(context: ExecutionContext): boolean {
    void this.sessions.login(context, { userId: 'ann' });
    return true;
  }
}

@Controller()
class HastyController {
  @UseGuards(LoginGuard)
  @Post('login-unawaited')
  login() {
    return {};
  }
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  /** The token that came with it; null: none. */
  readonly token: string | null;
  readonly setCookies: string[];
  readonly headers: Headers;
}

describe.each(PLATFORMS)('a new id with a grace, on %s', (platform) => {
  let app: AppUnderTest;
  let barrier: BarrierBackend;
  let events: SessionEvent[];

  async function start(
    session: Partial<SessionModuleOptions> = {},
    on: Platform = platform,
    configure?: (nest: INestApplication) => void,
  ): Promise<void> {
    barrier = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform: on,
      controllers: [PageController, ImpatientController, HastyController],
      session: { backend: barrier.backend, ...session },
      configure,
    });
    events = [];
    app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
  }

  beforeEach(() => {
    barriers = {};
  });

  afterEach(() => app.close());

  async function request(
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: object,
  ): Promise<Answer> {
    const response = await app.fetch(path, {
      method,
      headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    const setCookies = response.headers.getSetCookie();
    const cookie = setCookies.map((line) => parseSetCookie(line)).find(({ name }) => name === NAME);
    return {
      status: response.status,
      body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text },
      token: response.headers.get(HEADER) ?? cookie?.value ?? null,
      setCookies,
      headers: response.headers,
    };
  }

  const get = (path: string, token: string, headers = {}) => request('GET', path, { [HEADER]: token, ...headers });
  const post = (path: string, token: string, headers = {}, body = {}) =>
    request('POST', path, { [HEADER]: token, ...headers }, body);
  const byCookie = (token: string, headers: Record<string, string> = OWN) => ({
    cookie: `${NAME}=${token}`,
    ...headers,
  });

  async function signIn(): Promise<string> {
    return (await post('/login', '')).body.token as string;
  }

  async function signInByCookie(): Promise<{ token: string; csrfToken: string }> {
    const { token, body } = await request('POST', '/login', OWN, {});
    return { token: token!, csrfToken: body.csrfToken as string };
  }

  describe('by a call', () => {
    beforeEach(() => start());

    it('serves requests with the old token, and gives them none', async () => {
      const old = await signIn();
      const { body, token } = await post('/new-id?grace=10', old);
      expect(token).toBe(body.token);
      app.clock.advanceSeconds(9);
      const byOld = await post('/set/b', old);
      expect([byOld.status, byOld.token]).toEqual([200, null]);
      expect((await get('/me', token!)).body.data).toEqual({ b: true });
      app.clock.advanceSeconds(1);
      expect((await get('/me', old)).status).toBe(401);
      expect((await get('/me', token!)).status).toBe(200);
    });

    it('renews nothing for the old token, and touches nothing', async () => {
      const old = await signIn();
      const { token } = await post('/new-id?grace=300', old);
      app.clock.advanceSeconds(299);
      const before = barrier.calls.touch ?? 0;
      expect((await get('/me', old)).token).toBeNull();
      expect(barrier.calls.touch ?? 0).toBe(before);
      expect((await get('/me', token!)).status).toBe(200);
      expect(barrier.calls.touch).toBe(before + 1);
    });

    it('20 requests around it: none is refused, and all of their changes are there', async () => {
      const old = await signIn();
      const before = atOnce(10, (index) => post(`/set/before${index}`, old));
      const regeneration = post('/new-id?grace=10', old);
      const after = atOnce(10, (index) => post(`/set/after${index}`, old));
      const { token } = await regeneration;
      for (const { status } of [...(await before), ...(await after)]) expect(status).toBe(200);
      expect(Object.keys((await get('/me', token!)).body.data as object)).toHaveLength(20);
    });

    it('a handler that changed the session under the old id has its change stored', async () => {
      const old = await signIn();
      const held = hold('late');
      const late = post('/held/late', old);
      await held.arrived;
      const { token } = await post('/new-id?grace=10', old);
      held.go();
      const response = await late;
      expect([response.status, response.token]).toEqual([200, null]);
      expect((await get('/me', token!)).body.data).toEqual({ late: true });
    });

    it('a handler that is longer than the grace is refused', async () => {
      const old = await signIn();
      const held = hold('late');
      const late = post('/held/late', old);
      await held.arrived;
      const { token } = await post('/new-id?grace=10', old);
      app.clock.advanceSeconds(10);
      held.go();
      expect((await late).status).toBe(401);
      expect((await get('/me', token!)).body.data).toEqual({});
    });

    it('a logout by the old token ends the session', async () => {
      const old = await signIn();
      const { token } = await post('/new-id?grace=10', old);
      expect((await post('/logout', old)).body).toEqual({ ended: true });
      for (const one of [old, token!]) expect((await get('/me', one)).status).toBe(401);
    });

    it('a login by the old token makes a new session, and leaves neither', async () => {
      const old = await signIn();
      await post('/set/cart', old);
      const { token } = await post('/new-id?grace=10', old);
      const login = await post('/login', old);
      expect(login.status).toBe(200);
      for (const one of [old, token!]) expect((await get('/me', one)).status).toBe(401);
      expect((await get('/me', login.token!)).body.data).toEqual({ cart: true });
    });

    it.each([5, 15])(
      'a login of a request that came before the new id ends the session, %d s after it',
      async (seconds) => {
        const old = await signIn();
        const held = hold('login');
        const login = post('/held-login/login', old);
        await held.arrived;
        const { token } = await post('/new-id?grace=10', old);
        app.clock.advanceSeconds(seconds);
        held.go();
        const { status, token: latest } = await login;
        expect(status).toBe(200);
        for (const one of [old, token!]) expect((await get('/me', one)).status).toBe(401);
        expect((await get('/me', latest!)).status).toBe(200);
        expect(await app.app.get(SessionService).listUserSessions('ann')).toHaveLength(1);
      },
    );

    it.each(['/new-id', '/new-id?grace=10'])(
      'POST %s by the old token is a 409, and the session goes on',
      async (path) => {
        const old = await signIn();
        const { token } = await post('/new-id?grace=10', old);
        const again = await post(path, old);
        expect([again.status, again.token]).toEqual([409, null]);
        expect((await get('/me', token!)).status).toBe(200);
      },
    );

    it('outage: 503 at the second read, and at the first', async () => {
      const old = await signIn();
      await post('/new-id?grace=10', old);
      const first = barrier.stopNext('read');
      const response = get('/me', old);
      await first.arrived;
      const second = barrier.stopNext('read');
      first.letGo();
      await second.arrived;
      barrier.fail('read');
      second.letGo();
      expect((await response).status).toBe(503);
      expect((await get('/me', old)).status).toBe(503);
    });

    it.each(['-1', '301', 'x'])('a grace of %s is a 500, and the session goes on', async (grace) => {
      const old = await signIn();
      expect((await post(`/new-id?grace=${grace}`, old)).status).toBe(500);
      expect((await get('/me', old)).status).toBe(200);
    });

    it('costs a request that does not use it what it did before', async () => {
      const token = await signIn();
      const before = barrier.total;
      await get('/me', token);
      expect(barrier.total - before).toBe(1);
      await get('/nothing', token);
      expect(barrier.total - before).toBe(1);
    });
  });

  it('renews nothing for the old token when the session is due', async () => {
    await start({ sessionTtl: 100 });
    const old = await signIn();
    const { token } = await post('/new-id?grace=300', old);
    app.clock.advanceSeconds(60);
    const before = barrier.calls.touch ?? 0;
    const byOld = await post('/set/a', old);
    expect([byOld.status, byOld.token, barrier.calls.touch ?? 0]).toEqual([200, null, before]);
    expect((await get('/me', token!)).token).not.toBeNull();
  });

  describe('a cookie that would be renewed', () => {
    const PERSISTENT: Partial<SessionModuleOptions> = {
      sessionTtl: 100,
      tokenSourcePriority: ['cookie'],
      cookie: { name: NAME, secure: false, persistent: 'always' },
    };

    it('is not, when a middleware has found the session under its newer id', async () => {
      await start(PERSISTENT, platform, (nest) => {
        const sessions = nest.get(SessionService);
        nest.use(async (incoming: IncomingMessage, _response: unknown, next: () => void) => {
          const barrier = incoming.url === '/me' ? barriers.middleware : undefined;
          if (barrier !== undefined) {
            const session = await sessions.current(incoming);
            barrier.arrived();
            await barrier.opened;
            await sessions.update(session!, ({ data }) => (data.seen = true));
          }
          next();
        });
      });
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(60);
      const held = hold('middleware');
      const late = request('GET', '/me', byCookie(old));
      await held.arrived;
      const { token } = await request('POST', '/new-id?grace=10', byCookie(old), {});
      held.go();
      const { status, body, setCookies } = await late;
      expect([status, body.data, setCookies]).toEqual([200, { seen: true }, []]);
      barriers = {};
      expect((await request('GET', '/me', byCookie(token!))).body.id).toBe(body.id);
    });

    it.each(['put', 'consume'])('is not, when oneTime.%s() finds the session under its newer id', async (call) => {
      await start(PERSISTENT);
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(60);
      const held = hold('late');
      const late = request('POST', `/held-one-time/${call}`, byCookie(old));
      await held.arrived;
      const { token } = await request('POST', '/new-id?grace=10', byCookie(old), {});
      held.go();
      const { status, setCookies } = await late;
      expect([status, setCookies]).toEqual([200, []]);
      expect((await request('GET', '/me', byCookie(token!))).status).toBe(200);
    });

    it('is not, when the handler finds the session under its newer id', async () => {
      await start(PERSISTENT);
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(60);
      const held = hold('late');
      const late = request('POST', '/held/late', byCookie(old));
      await held.arrived;
      const { token } = await request('POST', '/new-id?grace=10', byCookie(old), {});
      held.go();
      const { status, setCookies } = await late;
      expect([status, setCookies]).toEqual([200, []]);
      expect((await request('GET', '/me', byCookie(token!))).body.data).toEqual({ late: true });
    });
  });

  it.each(['put', 'consume'])(
    'a token that would be renewed is not, when oneTime.%s() finds the session under its newer id',
    async (call) => {
      await start({ sessionTtl: 100 });
      const old = await signIn();
      app.clock.advanceSeconds(60);
      const held = hold('late');
      const late = post(`/held-one-time/${call}`, old);
      await held.arrived;
      const { token } = await post('/new-id?grace=10', old);
      held.go();
      expect([(await late).status, (await late).token]).toEqual([200, null]);
      expect((await get('/me', token!)).status).toBe(200);
    },
  );

  it('a token under an old key is not replaced when the session gets its newer id during the renewal', async () => {
    await start({ sessionTtl: 100 });
    const old = await signIn();
    const first = app;
    const held = barrier;
    const secretKey = ['the new key, which is also long enough', SECRET_KEY];
    await start({ sessionTtl: 100, backend: barrier.backend, secretKey, indexKey: SECRET_KEY });
    app.clock.advanceSeconds(60);
    const touch = held.stopNext('touch');
    const late = get('/me', old);
    await touch.arrived;
    const sessions = app.app.get(SessionService);
    const { token } = await sessions.regenerateSessionId(await sessions.getSession(old), { grace: 10 });
    touch.letGo();
    expect([(await late).status, (await late).token]).toEqual([200, null]);
    expect((await get('/me', token!)).status).toBe(200);
    await first.close();
  });

  it('checks bindings for the old token', async () => {
    await start({ userAgentBinding: true });
    const agent = { 'user-agent': 'a browser' };
    const old = (await request('POST', '/login', agent, {})).body.token as string;
    await post('/new-id?grace=10', old, agent);
    expect((await get('/me', old, agent)).status).toBe(200);
    expect((await get('/me', old, { 'user-agent': 'a thief' })).status).toBe(401);
  });

  describe('by cookie', () => {
    beforeEach(() => start(BY_COOKIE));

    it('sets one cookie for the new id, and none for the old one', async () => {
      const { token: old } = await signInByCookie();
      const renamed = await request('POST', '/new-id?grace=10', byCookie(old), {});
      expect(renamed.setCookies).toHaveLength(1);
      for (const [method, path] of [
        ['GET', '/me'],
        ['POST', '/set/a'],
        ['GET', '/stream'],
      ] as const) {
        const response = await request(method, path, byCookie(old));
        expect([response.status, response.setCookies]).toEqual([200, []]);
      }
    });

    it.each(['same-origin', undefined])(
      'a CSRF token of the old id fits in the grace (Sec-Fetch-Site: %s)',
      async (site) => {
        const { token: old, csrfToken } = await signInByCookie();
        const headers = { ...(site ? { 'sec-fetch-site': site } : {}), 'x-csrf-token': csrfToken };
        const { token, headers: answered } = await request('POST', '/new-id?grace=10', byCookie(old), {});
        const newCsrfToken = answered.get('x-csrf-token')!;
        expect(newCsrfToken).toBeTruthy();
        const set = (cookie: string, csrf: string) =>
          request('POST', '/set/a', byCookie(cookie, { ...headers, 'x-csrf-token': csrf }));
        for (const cookie of [old, token!]) {
          for (const csrf of [csrfToken, newCsrfToken]) expect((await set(cookie, csrf)).status).toBe(200);
        }
        app.clock.advanceSeconds(10);
        expect((await set(token!, csrfToken)).status).toBe(403);
        expect((await set(token!, newCsrfToken)).status).toBe(200);
        expect((await set(old, csrfToken)).status).toBe(401);
      },
    );

    it('a CSRF token from before a rotation fits until the grace of the next new id is over', async () => {
      await app.close();
      await start({ ...BY_COOKIE, rotateEvery: 600, rotateGrace: 10 });
      const { token: old, csrfToken } = await signInByCookie();
      app.clock.advanceSeconds(600);
      const { token: rotated } = await request('GET', '/me', byCookie(old));
      const set = (cookie: string) => request('POST', '/set/a', byCookie(cookie, { 'x-csrf-token': csrfToken }));
      app.clock.advanceSeconds(10);
      expect((await set(rotated!)).status).toBe(200);
      const { token: last } = await request('POST', '/new-id?grace=10', byCookie(rotated!, OWN), {});
      expect((await set(last!)).status).toBe(200);
      app.clock.advanceSeconds(10);
      expect((await set(last!)).status).toBe(403);
    });

    it('a CSRF token of another session does not fit, with the old cookie or the new one', async () => {
      const { token: old } = await signInByCookie();
      const { csrfToken: foreign } = await signInByCookie();
      const { token } = await request('POST', '/new-id?grace=10', byCookie(old), {});
      for (const cookie of [old, token!]) {
        for (const headers of [OWN, {}]) {
          const response = await request('POST', '/set/a', byCookie(cookie, { ...headers, 'x-csrf-token': foreign }));
          expect(response.status).toBe(403);
        }
      }
    });

    it('nor does it prove the origin for a guest, or for a session that is gone', async () => {
      const { token: old } = await signInByCookie();
      const { csrfToken: foreign } = await signInByCookie();
      await request('POST', '/new-id?grace=10', byCookie(old), {});
      const guest = await request('POST', '/start', OWN, {});
      const cart = (cookie: string, csrf: string) =>
        request('POST', '/cart', byCookie(cookie, { 'x-csrf-token': csrf }));
      expect((await cart(guest.token!, foreign)).status).toBe(403);
      expect((await cart(guest.token!, guest.body.csrfToken as string)).status).toBe(200);
      await request('POST', '/logout', byCookie(old));
      expect((await cart(old, guest.body.csrfToken as string)).status).toBe(403);
    });

    it.each(['old', 'new'])(
      'a CSRF token of the other id fits with the %s cookie in a process that has met no alias',
      async (which) => {
        const { token: old, csrfToken } = await signInByCookie();
        const renamed = await request('POST', '/new-id?grace=10', byCookie(old), {});
        const first = app;
        await start({ ...BY_COOKIE, backend: barrier.backend });
        const [cookie, csrf] =
          which === 'old' ? [old, renamed.headers.get('x-csrf-token')!] : [renamed.token!, csrfToken];
        const set = (token: string) => request('POST', '/set/a', byCookie(cookie, { 'x-csrf-token': token }));
        expect((await set(csrf)).status).toBe(200);
        const before = barrier.total;
        expect([(await set('x'.repeat(86))).status, barrier.total - before]).toEqual([403, 0]);
        await first.close();
      },
    );

    it('another site is refused before the store is read', async () => {
      const { token: old } = await signInByCookie();
      await request('POST', '/new-id?grace=10', byCookie(old), {});
      const before = barrier.total;
      const response = await request('POST', '/set/a', byCookie(old, { 'sec-fetch-site': 'cross-site' }));
      expect([response.status, barrier.total - before]).toEqual([403, 0]);
    });

    it('a late request with the old cookie does not clear the new one', async () => {
      const { token: old } = await signInByCookie();
      await request('POST', '/new-id?grace=10', byCookie(old), {});
      app.clock.advanceSeconds(11);
      const late = await request(
        'GET',
        '/me',
        byCookie(old, { ...OWN, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }),
      );
      expect([late.status, late.setCookies]).toEqual([401, []]);
    });

    it('a logout with the old cookie clears it', async () => {
      const { token: old } = await signInByCookie();
      const { token } = await request('POST', '/new-id?grace=10', byCookie(old), {});
      const logout = await request('POST', '/logout', byCookie(old));
      expect(logout.body).toEqual({ ended: true });
      expect(parseSetCookie(logout.setCookies[0]!)).toMatchObject({ name: NAME, maxAge: 0 });
      expect((await request('GET', '/me', byCookie(token!))).status).toBe(401);
    });
  });

  describe('rotateEvery', () => {
    const ROTATION = { rotateEvery: 600, rotateGrace: 10 };

    it('gives a new token once the id is old enough, and the same session', async () => {
      await start(ROTATION);
      const old = await signIn();
      await post('/set/a', old);
      app.clock.advance(599_999);
      const young = await get('/me', old);
      app.clock.advance(1);
      const rotated = await get('/me', old);
      expect([rotated.status, rotated.body.data]).toEqual([200, { a: true }]);
      expect(rotated.token).not.toBeNull();
      expect(rotated.headers.get('cache-control')).toBe('no-store');
      // The handler has run under the old id.
      expect(rotated.body.id).toBe(young.body.id);
      const fresh = await get('/me', rotated.token!);
      expect(fresh.body.id).not.toBe(young.body.id);
      // The age is that of the id, not of the session.
      app.clock.advance(599_999);
      const later = await get('/me', rotated.token!);
      expect(later.body.id).toBe(fresh.body.id);
      app.clock.advance(1);
      const twice = await get('/me', later.token ?? rotated.token!);
      const last = await get('/me', twice.token!);
      expect(last.body.id).not.toBe(fresh.body.id);
      expect(events.filter(({ type }) => type === 'regenerated')).toMatchObject([
        { cause: 'rotated', sessionId: fresh.body.id, previousSessionId: young.body.id, userId: 'ann' },
        { cause: 'rotated', sessionId: last.body.id, previousSessionId: fresh.body.id, userId: 'ann' },
      ]);
    });

    it('10 parallel requests: one gets a token, none is refused, and all changes are there', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const responses = await atOnce(10, (index) => post(`/set/key${index}`, old));
      expect(responses.map(({ status }) => status)).toEqual(Array(10).fill(200));
      const tokens = responses.flatMap(({ token }) => token ?? []);
      expect(tokens).toHaveLength(1);
      expect(Object.keys((await get('/me', tokens[0]!)).body.data as object)).toHaveLength(10);
      expect((await get('/me', old)).token).toBeNull();
      app.clock.advanceSeconds(10);
      expect((await get('/me', old)).status).toBe(401);
      expect(events.filter(({ type }) => type === 'reused')).toHaveLength(1);
    });

    it.each([
      ['HEAD', {}],
      ['GET', { 'sec-purpose': 'prefetch' }],
    ] as const)('%s %j does not rotate', async (method, headers) => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const response = await request(method, '/me', { [HEADER]: old, ...headers });
      expect([response.status, response.token]).toEqual([200, null]);
      expect((await get('/me', old)).token).not.toBeNull();
    });

    it.each([
      ['HEAD', {}],
      ['GET', { 'sec-purpose': 'prefetch' }],
    ] as const)('%s %j renews the session until the new id is due, and not after that', async (method, headers) => {
      await start({ ...ROTATION, sessionTtl: 1000, slidingThreshold: 0 });
      const token = await signIn();
      const status = async () => (await request(method, '/me', { [HEADER]: token, ...headers })).status;
      app.clock.advanceSeconds(599);
      expect(await status()).toBe(200);
      app.clock.advanceSeconds(900);
      expect(await status()).toBe(200);
      app.clock.advanceSeconds(100);
      expect(await status()).toBe(401);
    });

    it('a background request of another site does not rotate the cookie', async () => {
      await start({ ...ROTATION, ...BY_COOKIE });
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(600);
      const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' };
      const response = await request('GET', '/me', byCookie(old, foreign));
      expect([response.status, response.setCookies]).toEqual([200, []]);
      expect((await request('GET', '/me', byCookie(old))).setCookies).toHaveLength(1);
    });

    it('one of a page on another site rotates it where enableCsrf is off', async () => {
      await start({ ...ROTATION, ...BY_COOKIE, enableCsrf: false });
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(600);
      const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' };
      expect((await request('GET', '/me', byCookie(old, foreign))).setCookies).toHaveLength(1);
    });

    it('rotates for streams, whose head leaves early', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const response = await get('/stream', old);
      expect([response.status, response.body.text]).toEqual([200, 'ab']);
      expect((await get('/me', response.token!)).status).toBe(200);
    });

    it('a store that fails to rotate: the request goes on under the old id', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      barrier.fail('create');
      const response = await get('/me', old);
      expect([response.status, response.token]).toEqual([200, null]);
      barrier.heal();
      expect((await get('/me', old)).token).not.toBeNull();
    });

    it('rotates once for a new id that is asked for in the same request, and the last token works', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const { status, token } = await post('/new-id', old);
      expect(status).toBe(200);
      expect((await get('/me', token!)).status).toBe(200);
      expect((await get('/me', old)).status).toBe(401);
    });

    it('a login in the request that rotates leaves one session', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const { token } = await post('/login', old);
      expect((await get('/me', old)).status).toBe(401);
      expect((await get('/me', token!)).status).toBe(200);
      expect(await app.app.get(SessionService).listUserSessions('ann')).toHaveLength(1);
    });

    it('a logout in the request that rotates sends no token', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const logout = await post('/logout', old);
      expect([logout.body, logout.token]).toEqual([{ ended: true }, null]);
      expect((await get('/me', old)).status).toBe(401);
      expect(await app.app.get(SessionService).listUserSessions('ann')).toEqual([]);
    });

    it('does not move the idle expiry with slidingExpiration: false', async () => {
      await start({ ...ROTATION, slidingExpiration: false, sessionTtl: 1000 });
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const { token } = await get('/me', old);
      app.clock.advance(399_999);
      expect((await get('/me', token!)).status).toBe(200);
      app.clock.advance(1);
      expect((await get('/me', token!)).status).toBe(401);
    });

    it('keeps the absolute end', async () => {
      await start({ ...ROTATION, absoluteTimeout: 1000 });
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const { token } = await get('/me', old);
      app.clock.advanceSeconds(400);
      expect((await get('/me', token!)).status).toBe(401);
    });

    it('a rotation that is late does not overwrite the cookie that a login has set meanwhile', async () => {
      await start({ ...ROTATION, ...BY_COOKIE });
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(600);
      const held = hold('slow');
      const slow = request('POST', '/held-read/slow', byCookie(old));
      await held.arrived;
      const login = await request('POST', '/login', byCookie(old), {});
      held.go();
      const late = await slow;
      expect(late.setCookies).toEqual([]);
      expect((await request('GET', '/me', byCookie(login.token!))).status).toBe(200);
    });

    it.each(['cookie', 'header'])(
      'a store that fails after the rotation does not keep the new token from the client, by %s',
      async (by) => {
        await start({ ...ROTATION, ...(by === 'cookie' ? BY_COOKIE : {}) });
        const carrying = (token: string) => (by === 'cookie' ? byCookie(token) : { [HEADER]: token });
        const old = by === 'cookie' ? (await signInByCookie()).token : await signIn();
        app.clock.advanceSeconds(600);
        const held = hold('slow');
        const slow = request('POST', '/held-read/slow', carrying(old));
        await held.arrived;
        const create = barrier.stopNext('create');
        held.go();
        await create.arrived;
        barrier.fail('read', 'replace', 'touch');
        create.letGo();
        const { status, token } = await slow;
        barrier.heal();
        app.clock.advanceSeconds(10);
        expect([status, (await request('GET', '/me', carrying(token!))).status]).toEqual([200, 200]);
      },
    );

    describe.each(['optional', 'used'])('a response that begins too early, with a session that is %s', (how) => {
      it('waits for the rotation that is in the store, and brings its token', async () => {
        await start(ROTATION);
        const old = await signIn();
        app.clock.advanceSeconds(600);
        const held = hold('impatient');
        const response = get(`/impatient/${how}`, old);
        await held.arrived;
        const create = barrier.stopNext('create');
        givenUp.next();
        await create.arrived;
        await turn();
        create.letGo();
        const { status, token } = await response;
        held.go();
        app.clock.advanceSeconds(10);
        expect([status, (await get('/me', token!)).status]).toEqual([408, 200]);
      });

      it('goes out without a token if the rotation fails', async () => {
        await start(ROTATION);
        const old = await signIn();
        app.clock.advanceSeconds(600);
        const held = hold('impatient');
        const response = get(`/impatient/${how}`, old);
        await held.arrived;
        const create = barrier.stopNext('create');
        givenUp.next();
        await create.arrived;
        barrier.fail('create');
        create.letGo();
        const { status, token } = await response;
        held.go();
        expect([status, token]).toEqual([408, null]);
        barrier.heal();
        expect((await get('/me', old)).status).toBe(200);
      });
    });

    it('a response that has begun, and waits for a login, begins no rotation', async () => {
      await start(ROTATION);
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const read = barrier.stopNext('read');
      const response = post('/login-unawaited', old);
      await read.arrived;
      await turn();
      read.letGo();
      const { status, token } = await response;
      expect([status, events.filter(({ type }) => type === 'regenerated')]).toEqual([201, []]);
      expect((await get('/me', token!)).status).toBe(200);
    });

    it('sends the CSRF token of the new id with the cookie', async () => {
      await start({ ...ROTATION, ...BY_COOKIE });
      const { token: old } = await signInByCookie();
      app.clock.advanceSeconds(600);
      const rotated = await request('GET', '/me', byCookie(old));
      const csrf = rotated.headers.get('x-csrf-token')!;
      app.clock.advanceSeconds(11);
      const headers = { ...OWN, 'x-csrf-token': csrf };
      expect((await request('POST', '/set/a', byCookie(rotated.token!, headers))).status).toBe(200);
    });

    it('costs a session that is young one read, and one that is rotated two calls', async () => {
      await start(ROTATION);
      const old = await signIn();
      const before = barrier.total;
      await get('/me', old);
      expect(barrier.total - before).toBe(1);
      app.clock.advanceSeconds(600);
      await get('/me', old);
      expect(barrier.total - before).toBe(3);
      await get('/nothing', old);
      expect(barrier.total - before).toBe(3);
    });

    it.each(['end-session', 'end-user-sessions'] as const)(
      'onReuse %s ends it by a late use over HTTP',
      async (onReuse) => {
        await start({ ...ROTATION, onReuse });
        const old = await signIn();
        app.clock.advanceSeconds(600);
        const { token } = await get('/me', old);
        app.clock.advanceSeconds(10);
        expect((await get('/me', old)).status).toBe(401);
        expect((await get('/me', token!)).status).toBe(401);
      },
    );

    it('onReuse that cannot end the session is a 503', async () => {
      await start({ ...ROTATION, onReuse: 'end-session' });
      const old = await signIn();
      app.clock.advanceSeconds(600);
      const { token } = await get('/me', old);
      app.clock.advanceSeconds(10);
      barrier.fail('delete');
      expect((await get('/me', old)).status).toBe(503);
      barrier.heal();
      expect((await get('/me', old)).status).toBe(401);
      expect((await get('/me', token!)).status).toBe(401);
    });
  });
});

describe.each(everyBackend())('rotateEvery with parallel requests, on $name', (store) => {
  it('none is refused, one token comes, and no change is lost', async () => {
    await store.start();
    const session = { rotateEvery: 600, rotateGrace: 10 };
    const one = await startApp({ controllers: [PageController], session: { ...session, backend: store.another() } });
    const two = await startApp({
      platform: 'fastify',
      controllers: [PageController],
      session: { ...session, backend: store.another() },
      clock: one.clock,
    });
    try {
      const login = await one.fetch('/login', {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      });
      let { token } = (await login.json()) as { token: string };
      for (let round = 0; round < 5; round++) {
        one.clock.advanceSeconds(600);
        const responses = await atOnce(10, (index) =>
          (index % 2 === 0 ? one : two).fetch(`/set/${round}-${index}`, {
            method: 'POST',
            headers: { [HEADER]: token },
          }),
        );
        expect(responses.map(({ status }) => status)).toEqual(Array(10).fill(200));
        const tokens = responses.flatMap(({ headers }) => headers.get(HEADER) ?? []);
        expect(tokens).toHaveLength(1);
        [token] = tokens as [string];
      }
      const me = (await (await two.fetch('/me', { headers: { [HEADER]: token } })).json()) as { data: object };
      expect(Object.keys(me.data)).toHaveLength(50);
    } finally {
      await one.close();
      await two.close();
      await store.stop();
    }
  });
});
