import { afterEach, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Get,
  HttpCode,
  ImATeapotException,
  Injectable,
  Module,
  Post,
  Req,
  Res,
  UseFilters,
  UseGuards,
  type ArgumentsHost,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplication,
} from '@nestjs/common';
import { HttpAdapterHost, LazyModuleLoader, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CurrentSession,
  MemoryBackend,
  Session,
  SESSION_CLOCK,
  SessionGuard,
  SessionModule,
  SessionService,
  SessionUsageError,
  SkipCsrf,
  UseSession,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, type Platform } from '../support/apps.js';
import { BarrierBackend, type StoppedCall } from '../support/barrier-backend.js';
import { inject } from '../support/inject.js';

const COOKIE: Partial<SessionModuleOptions> = {
  tokenSourcePriority: ['cookie'],
  cookie: { name: 'sid', secure: false, persistent: 'always' },
};
const FOREIGN = { 'sec-fetch-site': 'cross-site' };
const OWN = { 'sec-fetch-site': 'same-origin' };
const TTL_SECONDS = 3600;

type Middleware = (sessions: SessionService, request: IncomingMessage, response: ServerResponse) => unknown;
type GuardBody = (sessions: SessionService, context: ExecutionContext) => unknown;

/** What the guard of the application does, which each test chooses. */
let inGuard: GuardBody = () => undefined;

@Injectable()
class OwnGuard implements CanActivate {
  constructor(private readonly sessions: SessionService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    await inGuard(this.sessions, context);
    return true;
  }
}

/** What a handler does behind its response. */
let afterSending: (sessions: SessionService, request: object, session: Session) => Promise<void> = () =>
  Promise.resolve();

@Catch(ImATeapotException)
class SessionFilter implements ExceptionFilter {
  constructor(
    private readonly sessions: SessionService,
    private readonly host: HttpAdapterHost,
  ) {}

  async catch(error: ImATeapotException, context: ArgumentsHost): Promise<void> {
    const session = await this.sessions.current(context);
    if (session !== null) session.data.failed = true;
    const body = { user: session?.user?.userId };
    this.host.httpAdapter.reply(context.switchToHttp().getResponse(), body, error.getStatus());
  }
}

@Controller()
class ShopController {
  constructor(private readonly sessions: SessionService) {}

  @Get('plain')
  plain() {
    return 'plain';
  }

  @HttpCode(200)
  @Post('plain')
  plainPost() {
    return 'plain';
  }

  @UseGuards(SessionGuard)
  @Get('guarded')
  guarded(@CurrentSession() session: Session) {
    return session.data;
  }

  @HttpCode(200)
  @UseGuards(SessionGuard)
  @Post('guarded')
  guardedPost(@CurrentSession() session: Session) {
    return session.data;
  }

  @HttpCode(200)
  @SkipCsrf()
  @UseGuards(SessionGuard)
  @Post('skipped')
  skipped(@CurrentSession() session: Session) {
    return session.data;
  }

  @UseGuards(OwnGuard)
  @Get('own-guard')
  ownGuard() {
    return 'own';
  }

  @HttpCode(200)
  @UseGuards(OwnGuard)
  @Post('own-guard')
  ownGuardPost() {
    return 'own';
  }

  @Get('handler')
  async handler(@Req() request: object) {
    const session = await this.sessions.current(request);
    if (session !== null) session.data.handler = true;
    return { user: session?.user?.userId ?? null };
  }

  @HttpCode(200)
  @UseSession()
  @Post('login')
  async login(@Req() request: object) {
    return this.sessions.login(request, { userId: 'ann' });
  }

  @HttpCode(200)
  @UseSession()
  @Post('start')
  async start(@Req() request: object) {
    return this.sessions.start(request);
  }

  /** As a timeout does that sends its response before the login has returned. */
  @HttpCode(200)
  @Post('login-unawaited')
  loginUnawaited(@Req() request: object) {
    this.sessions.login(request, { userId: 'ann' }).catch(() => undefined);
    return 'sent';
  }

  @HttpCode(200)
  @Post('logins-unawaited')
  loginsUnawaited(@Req() request: object) {
    for (const userId of ['ann', 'bob']) this.sessions.login(request, { userId }).catch(() => undefined);
    return 'sent';
  }

  @UseGuards(SessionGuard)
  @Get('sends')
  async sends(
    @Req() request: { readonly url: string },
    @Res() response: { send(text: string): void },
    @CurrentSession() session: Session,
  ) {
    if (request.url.endsWith('?changes')) session.data.changed = true;
    response.send('sent');
    await afterSending(this.sessions, request, session);
  }

  @UseFilters(SessionFilter)
  @Post('failing')
  failing() {
    throw new ImATeapotException();
  }

  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }
}

describe.each(PLATFORMS)('a request that is at hand anywhere, on %s', (platform: Platform) => {
  let app: INestApplication;
  let url: string;
  let barrier: BarrierBackend;
  let clock: FakeClock;

  afterEach(async () => {
    inGuard = () => undefined;
    await app.close();
  });

  /** By `NestFactory`, which prepares Fastify for middleware before any module is there. */
  async function start(middleware: Middleware = () => undefined, session: Partial<SessionModuleOptions> = COOKIE) {
    barrier = new BarrierBackend(new MemoryBackend());
    clock = new FakeClock();

    @Module({
      imports: [
        SessionModule.forRoot({
          secretKey: SECRET_KEY,
          sessionTtl: TTL_SECONDS,
          backend: barrier.backend,
          ...session,
          extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }],
        }),
      ],
      controllers: [ShopController],
    })
    class AppModule {}

    app = await NestFactory.create(AppModule, platform === 'fastify' ? new FastifyAdapter() : new ExpressAdapter(), {
      logger: false,
      abortOnError: false,
    });
    const sessions = app.get(SessionService);
    app.use((request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => {
      Promise.resolve(middleware(sessions, request, response)).then(() => {
        next();
      }, next);
    });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  }

  async function loggedIn(data: object = {}): Promise<Record<string, string>> {
    const { token } = await app.get(SessionService).createSession({ user: { userId: 'ann' }, data });
    return { cookie: `sid=${token}` };
  }

  const get = (path: string, headers: Record<string, string>) => fetch(url + path, { headers });
  const post = (path: string, headers: Record<string, string>) => fetch(url + path, { method: 'POST', headers });
  const stored = async (): Promise<unknown> => {
    const [summary] = await app.get(SessionService).listUserSessions('ann');
    const record = summary && (await barrier.backend.read(summary.sessionId as never));
    return record?.payload;
  };

  describe('in a middleware', () => {
    it('the session is read once, for the middleware, the guard and the handler', async () => {
      const seen: unknown[] = [];
      await start(async (sessions, request) => seen.push((await sessions.current(request))?.user?.userId));
      const headers = await loggedIn({ theme: 'dark' });
      const reads = barrier.calls.read ?? 0;
      expect(await (await get('/guarded', headers)).json()).toEqual({ theme: 'dark' });
      expect(seen).toEqual(['ann']);
      expect((barrier.calls.read ?? 0) - reads).toBe(1);
    });

    it('what it changes is stored, also for a route that asks for no session', async () => {
      await start(async (sessions, request) => {
        const session = await sessions.current(request);
        if (session !== null) session.data.seen = 'by the middleware';
      });
      const headers = await loggedIn();
      expect((await get('/plain', headers)).status).toBe(200);
      expect(await stored()).toContain('by the middleware');
    });

    it('it can log in, and the cookie goes out with the response of the route', async () => {
      await start((sessions, request) =>
        request.url === '/plain' ? sessions.login(request, { userId: 'bob' }) : undefined,
      );
      const response = await post('/plain', OWN);
      const [line = ''] = response.headers.getSetCookie();
      expect([response.status, line]).toEqual([200, expect.stringMatching(/^sid=/)]);
      const cookie = line.split(';', 1)[0] ?? '';
      expect(await (await get('/handler', { cookie })).json()).toEqual({ user: 'bob' });
    });

    it('it can log in a client whose session is due for renewal, and the cookie is that of the new one', async () => {
      await start((sessions, request) =>
        request.url === '/plain' ? sessions.login(request, { userId: 'bob' }) : undefined,
      );
      const headers = await loggedIn();
      clock.advanceSeconds(TTL_SECONDS * 0.75);
      const response = await post('/plain', { ...headers, ...OWN });
      const cookie = response.headers.getSetCookie()[0]?.split(';', 1)[0] ?? '';
      expect(await (await get('/handler', { cookie })).json()).toEqual({ user: 'bob' });
    });

    it('it can log in a client to whom the session is refused by its binding, and the route has the new session', async () => {
      await start(
        async (sessions, request) => {
          if (request.url !== '/handler') return;
          expect(await sessions.current(request)).toBeNull();
          await sessions.login(request, { userId: 'bob' });
        },
        { ...COOKIE, userAgentBinding: true },
      );
      const user = { userId: 'ann' };
      const { token } = await app.get(SessionService).createSession({ user, userAgent: 'phone' });
      const response = await get('/handler', { ...OWN, cookie: `sid=${token}`, 'user-agent': 'laptop' });
      expect(await response.json()).toEqual({ user: 'bob' });
    });

    if (platform === 'express') {
      it('a request that comes to its route when its response waits for a change renews nothing any more', async () => {
        let write!: StoppedCall;
        await start(async (sessions, request, response) => {
          const session = await sessions.require(request);
          session.data.seen = true;
          write = barrier.stopNext('replace');
          response.end('sent');
          await write.arrived;
        });
        inGuard = async (sessions, context) => {
          await sessions.current(context);
          write.letGo();
        };
        const headers = await loggedIn();
        clock.advanceSeconds(TTL_SECONDS * 0.75);
        const response = await get('/own-guard', headers);
        expect([response.status, await response.text(), response.headers.getSetCookie()]).toEqual([200, 'sent', []]);
        expect(barrier.calls.touch).toBeUndefined();
      });
    }

    it('it cannot log in a browser that another site has sent', async () => {
      await start((sessions, request) => sessions.login(request, { userId: 'bob' }));
      const response = await post('/plain', FOREIGN);
      expect([response.status, response.headers.getSetCookie()]).toEqual([403, []]);
    });

    it.each(['updateSession', 'start', 'logout'] as const)(
      'it cannot log in such a browser after a refused %s() either, which it has caught',
      async (method) => {
        const outcomes: unknown[] = [];
        const failure = ({ code }: { readonly code?: string }) => code;
        await start(async (sessions, request) => {
          const session = await sessions.current(request);
          if (session === null) return;
          session.data.visits = 1;
          const refused = method === 'updateSession' ? sessions.updateSession(session) : sessions[method](request);
          outcomes.push(await refused.then(() => 'stored', failure));
          outcomes.push(await sessions.login(request, { userId: 'mallory' }).then(() => 'logged in', failure));
        });
        const headers = await loggedIn();
        for (const path of ['/plain', '/guarded']) {
          const response = await post(path, { ...headers, ...FOREIGN });
          expect(response.status).toBe(403);
          expect(response.headers.getSetCookie()).toEqual([]);
        }
        expect(outcomes).toEqual(Array(4).fill('CSRF_CROSS_SITE'));
        expect(await app.get(SessionService).listUserSessions('mallory')).toEqual([]);
        expect(await app.get(SessionService).listUserSessions('ann')).toHaveLength(1);
      },
    );

    it.each(['login', 'regenerateSessionId', 'reauthenticate'] as const)(
      'after %s() there, the CSRF token of the page is that of the session before, and the route accepts it',
      async (method) => {
        await start(async (sessions, request) => {
          const session = await sessions.current(request);
          if (request.method !== 'POST' || session === null) return;
          if (method === 'login') await sessions.login(request, { userId: 'ann' });
          else if (method === 'reauthenticate') await sessions.reauthenticate(request);
          else await sessions.regenerateSessionId(session);
        });
        const sessions = app.get(SessionService);
        const { token, session } = await sessions.createSession({ user: { userId: 'ann' } });
        const csrfToken = sessions.csrfToken(session);
        const headers = { ...OWN, cookie: `sid=${token}`, 'x-csrf-token': csrfToken };
        const response = await post('/guarded', headers);
        expect(response.status).toBe(200);
        expect(response.headers.getSetCookie()).toHaveLength(1);
      },
    );

    it.each(['/login', '/start'])(
      'it cannot be used to log in at %s with the cookie of a session that has ended',
      async (path) => {
        await start((sessions, request) => sessions.current(request));
        const headers = await loggedIn();
        await app.get(SessionService).deleteUserSessions('ann');
        const response = await post(path, { ...headers, ...FOREIGN });
        expect([response.status, response.headers.getSetCookie()]).toEqual([403, []]);
      },
    );

    it('a login there spares the route no CSRF token that it requires, nor that of another user', async () => {
      await start((sessions, request) => request.method === 'POST' && sessions.login(request, { userId: 'ann' }), {
        ...COOKIE,
        csrf: { requireToken: true },
      });
      const sessions = app.get(SessionService);
      const { session: other } = await sessions.createSession({ user: { userId: 'bob' } });
      for (const csrfToken of [undefined, sessions.csrfToken(other)]) {
        const { token, session } = await sessions.createSession({ user: { userId: 'ann' } });
        const headers = { ...OWN, cookie: `sid=${token}` };
        const sent: Record<string, string> = csrfToken === undefined ? {} : { 'x-csrf-token': csrfToken };
        expect((await post('/guarded', { ...headers, ...sent })).status).toBe(403);
        const own = await sessions.createSession({ user: { userId: 'ann' } });
        const ownHeaders = {
          ...OWN,
          cookie: `sid=${own.token}`,
          'x-csrf-token': sessions.csrfToken(own.session),
        };
        expect((await post('/guarded', ownHeaders)).status).toBe(200);
        expect(session.status).toBe('active');
      }
    });

    it('another site may make it look at the session, and the route decides', async () => {
      const seen: unknown[] = [];
      await start(async (sessions, request) => seen.push((await sessions.current(request))?.user?.userId));
      const headers = { ...(await loggedIn()), ...FOREIGN };
      expect((await post('/guarded', headers)).status).toBe(403);
      expect((await post('/skipped', headers)).status).toBe(200);
      expect((await post('/plain', headers)).status).toBe(200);
      expect(seen).toEqual(['ann', 'ann', 'ann']);
    });

    it('what it changes for another site is stored for a route that allows that, and refused for one that says nothing', async () => {
      await start(async (sessions, request) => {
        const session = await sessions.current(request);
        if (session !== null) session.data.planted = String(request.url);
      });
      const headers = { ...(await loggedIn()), ...FOREIGN };
      expect((await post('/plain', headers)).status).toBe(403);
      expect((await post('/guarded', headers)).status).toBe(403);
      expect(await stored()).not.toContain('planted');
      expect((await post('/skipped', headers)).status).toBe(200);
      expect(await stored()).toContain('/skipped');
    });

    it.each(['updateSession', 'update', 'deleteSession', 'invalidateSession', 'regenerateSessionId'] as const)(
      '%s is refused there for another site',
      async (method) => {
        const codes: unknown[] = [];
        await start(async (sessions, request) => {
          const session = await sessions.current(request);
          if (session === null) return;
          session.data.planted = true;
          const call =
            method === 'update'
              ? sessions.update(session, ({ data }) => (data.planted = 1))
              : sessions[method](session);
          await call.catch((error: unknown) => codes.push((error as { code?: string }).code));
          delete session.data.planted;
        });
        const headers = { ...(await loggedIn()), ...FOREIGN };
        await post('/plain', headers);
        expect(codes).toEqual(['CSRF_CROSS_SITE']);
        expect(await stored()).not.toContain('planted');
      },
    );

    it('a logout there is refused for another site', async () => {
      await start((sessions, request) => sessions.logout(request));
      const headers = { ...(await loggedIn()), ...FOREIGN };
      expect((await post('/plain', headers)).status).toBe(403);
      expect(await app.get(SessionService).listUserSessions('ann')).toHaveLength(1);
    });

    it.each(['/guarded', '/plain'])(
      'the session is renewed once, by the response of %s at the latest',
      async (path) => {
        const touchesBefore: number[] = [];
        await start(async (sessions, request) => {
          await sessions.current(request);
          touchesBefore.push(barrier.calls.touch ?? 0);
        });
        const headers = await loggedIn();
        clock.advance(TTL_SECONDS * 600);
        const response = await get(path, headers);
        expect(touchesBefore).toEqual([0]);
        expect(barrier.calls.touch).toBe(1);
        expect(response.headers.getSetCookie()).toEqual([expect.stringContaining(`Max-Age=${TTL_SECONDS}`)]);
      },
    );

    it('another site renews nothing', async () => {
      await start((sessions, request) => sessions.current(request));
      const headers = { ...(await loggedIn()), ...FOREIGN };
      clock.advance(TTL_SECONDS * 600);
      const response = await post('/plain', headers);
      expect([response.status, barrier.calls.touch, response.headers.getSetCookie()]).toEqual([200, undefined, []]);
    });
  });

  describe('in a guard of the application', () => {
    it('by its ExecutionContext the session is renewed as by SessionGuard', async () => {
      await start();
      const headers = await loggedIn();
      inGuard = (sessions, context) => sessions.current(context);
      clock.advance(TTL_SECONDS * 600);
      expect((await get('/own-guard', headers)).headers.getSetCookie()).toHaveLength(1);
    });

    it('by its ExecutionContext another site is refused', async () => {
      await start();
      const headers = { ...(await loggedIn()), ...FOREIGN };
      inGuard = (sessions, context) => sessions.current(context);
      expect((await post('/own-guard', headers)).status).toBe(403);
    });

    it('by the request the session is there, and what is changed is stored', async () => {
      await start();
      const headers = await loggedIn();
      inGuard = async (sessions, context) => {
        const session = await sessions.current(context.switchToHttp().getRequest<object>());
        if (session !== null) session.data.guard = 'was here';
      };
      expect((await get('/own-guard', headers)).status).toBe(200);
      expect(await stored()).toContain('was here');
    });

    it.each(['require', 'requireUser'] as const)('%s throws the 401 of SessionGuard', async (method) => {
      await start();
      inGuard = (sessions, context) => sessions[method](context);
      const anonymous = await app.get(SessionService).createSession();
      expect((await get('/own-guard', {})).status).toBe(401);
      expect((await get('/own-guard', await loggedIn())).status).toBe(200);
      const status = method === 'require' ? 200 : 401;
      expect((await get('/own-guard', { cookie: `sid=${anonymous.token}` })).status).toBe(status);
    });

    it('it can log in and out', async () => {
      await start();
      inGuard = (sessions, context) => sessions.login(context, { userId: 'eve' });
      const [line = ''] = (await post('/own-guard', OWN)).headers.getSetCookie();
      inGuard = (sessions, context) => sessions.logout(context);
      const cookie = line.split(';', 1)[0] ?? '';
      expect(await app.get(SessionService).listUserSessions('eve')).toHaveLength(1);
      expect((await post('/own-guard', { cookie, ...OWN })).headers.getSetCookie()).toHaveLength(1);
      expect(await app.get(SessionService).listUserSessions('eve')).toEqual([]);
    });
  });

  it('in an exception filter, by its ArgumentsHost', async () => {
    await start();
    const response = await post('/failing', { ...(await loggedIn()), ...OWN });
    expect([response.status, await response.json()]).toEqual([418, { user: 'ann' }]);
    expect(await stored()).toContain('"failed":true');
  });

  describe('while the response goes out', () => {
    it('a login is refused that is called after the handler has begun it, whether it waits for a change or not', async () => {
      for (const changes of [false, true]) {
        await start();
        const outcome = new Promise((resolve) => {
          afterSending = async (sessions, request, session) => {
            resolve(await sessions.login(request, { userId: 'bob' }).then(() => 'logged in', String));
            expect(session.data.changed).toBe(changes ? true : undefined);
          };
        });
        const headers = await loggedIn();
        const response = await get(changes ? '/sends?changes' : '/sends', headers);
        expect(response.status).toBe(200);
        expect(await outcome).toMatch(/The response has begun/);
        expect(response.headers.getSetCookie()).toEqual([]);
        expect((await get('/guarded', headers)).status).toBe(200);
        expect(await app.get(SessionService).listUserSessions('bob')).toEqual([]);
        if (!changes) await app.close();
      }
    });

    it('it waits for a login that the handler has called, and brings its cookie', async () => {
      await start();
      const create = barrier.stopNext('create');
      const response = post('/login-unawaited', OWN);
      await create.arrived;
      create.letGo();
      const cookie = (await response).headers.getSetCookie()[0]?.split(';')[0] ?? '';
      expect((await get('/guarded', { cookie })).status).toBe(200);
    });

    it('it waits for each of two such logins, and brings the cookie of the second', async () => {
      await start();
      const response = await post('/logins-unawaited', OWN);
      const cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      expect(await (await get('/handler', { cookie })).json()).toEqual({ user: 'bob' });
    });

    it('it goes out without a cookie if that login fails', async () => {
      await start();
      barrier.fail('create');
      const response = await post('/login-unawaited', OWN);
      expect([response.status, await response.text()]).toEqual([200, 'sent']);
      expect(response.headers.getSetCookie()).toEqual([]);
    });
  });

  describe('in a handler without a decorator of ours', () => {
    it('the session can be read, changed, made and ended', async () => {
      await start();
      const [line = ''] = (await post('/login', OWN)).headers.getSetCookie();
      const cookie = line.split(';', 1)[0] ?? '';
      expect(await (await get('/handler', { cookie })).json()).toEqual({ user: 'ann' });
      expect(await stored()).toContain('"handler":true');
      expect(await (await post('/logout', { cookie, ...OWN })).json()).toEqual({ ended: true });
      expect(await (await get('/handler', { cookie })).json()).toEqual({ user: null });
    });
  });

  it('after the response the session is read, and neither renewed nor touched', async () => {
    const seen: unknown[] = [];
    let logged!: () => void;
    const isLogged = new Promise<void>((resolve) => (logged = resolve));
    await start((sessions, request, response) => {
      void once(response, 'finish').then(async () => {
        seen.push((await sessions.current(request))?.user?.userId);
        logged();
      });
    });
    const headers = await loggedIn();
    clock.advance(TTL_SECONDS * 600);
    await get('/plain', headers);
    await isLogged;
    expect([seen, barrier.calls.touch]).toEqual([['ann'], undefined]);
  });

  it.each(['known', 'not known'])(
    'after the response no login by cookie is possible, with a session that was %s before',
    async (known) => {
      const errors: unknown[] = [];
      let refused!: () => void;
      const isRefused = new Promise<void>((resolve) => (refused = resolve));
      await start(async (sessions, request, response) => {
        if (known === 'known') await sessions.current(request);
        void once(response, 'finish')
          .then(() => sessions.login(request, { userId: 'bob' }))
          .catch((error: unknown) => errors.push(error))
          .finally(refused);
      });
      await get('/plain', await loggedIn());
      await isRefused;
      expect(errors).toEqual([expect.any(SessionUsageError)]);
      expect(String(errors[0])).toMatch(/response .*(has begun|was sent already)/);
      expect(await app.get(SessionService).listUserSessions('bob')).toEqual([]);
    },
  );

  it('two pipelined requests have their own sessions and responses', async () => {
    await start((sessions, request) =>
      request.url === '/plain' ? sessions.login(request, { userId: String(request.headers['x-user']) }) : undefined,
    );
    const responses = await Promise.all(
      ['one', 'two', 'three'].map((user) => post('/plain', { ...OWN, 'x-user': user })),
    );
    const users = await Promise.all(
      responses.map(async ({ headers }) => {
        const [line = ''] = headers.getSetCookie();
        return (await get('/handler', { cookie: line.split(';', 1)[0] ?? '' })).json();
      }),
    );
    expect(users).toEqual([{ user: 'one' }, { user: 'two' }, { user: 'three' }]);
  });

  it('a route that uses no session makes no store call', async () => {
    await start();
    const headers = await loggedIn();
    const before = barrier.total;
    expect((await get('/plain', headers)).headers.get('vary')).toBeNull();
    expect(barrier.total).toBe(before);
  });

  if (platform === 'fastify') {
    it('works for requests of inject(), which come without a server', async () => {
      await start(async (sessions, request) => {
        const session = await sessions.current(request);
        if (session !== null) session.data.middleware = true;
      });
      const login = await inject(app, { method: 'POST', url: '/login', headers: OWN });
      const cookie = String(login.headers['set-cookie']).split(';', 1)[0] ?? '';
      const response = await inject(app, { method: 'GET', url: '/handler', headers: { cookie } });
      expect(response.json()).toEqual({ user: 'ann' });
      expect(await stored()).toMatch(/"middleware":true.*"handler":true/);
    });
  }

  it('works in a module that is loaded after the start', async () => {
    let lazy: SessionService | undefined;
    @Controller()
    class LazyController {
      constructor(private readonly loader: LazyModuleLoader) {}

      @HttpCode(200)
      @Post('login')
      async login(@Req() request: object) {
        const module = await this.loader.load(() =>
          SessionModule.forRoot({ secretKey: SECRET_KEY, isGlobal: false, backend: new MemoryBackend() }),
        );
        const sessions = module.get(SessionService);
        lazy = sessions;
        const { token } = await sessions.login(request, { userId: 'ann' });
        return { token };
      }

      @Get('me')
      async me(@Req() request: object) {
        return { user: (await lazy?.current(request))?.user?.userId };
      }
    }
    @Module({ controllers: [LazyController] })
    class LazyAppModule {}
    app = await NestFactory.create(
      LazyAppModule,
      platform === 'fastify' ? new FastifyAdapter() : new ExpressAdapter(),
      { logger: false, abortOnError: false },
    );
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    const { token } = (await (await post('/login', {})).json()) as { token: string };
    expect(await (await get('/me', { 'x-session-token': token })).json()).toEqual({ user: 'ann' });
  });
});
