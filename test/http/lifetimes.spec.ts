import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { All, Controller, Get, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { APP_GUARD, Reflector } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { parseSetCookie } from 'cookie';
import {
  AllowAnonymous,
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  Passive,
  Public,
  Session,
  SessionGuard,
  SessionService,
  SkipCsrf,
  UseSession,
  type LoginOptions,
  type PassiveRequest,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import type { IncomingMessage } from 'node:http';

import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { HandlerController, Handlers, type Handler } from '../support/handler-controller.js';
import { LogLines } from '../support/log-lines.js';
import { send, type RawResponse } from '../support/raw-client.js';

const NAME = '__Host-session';
const OWN = ['Sec-Fetch-Site', 'same-origin'];
const DAY_S = 86_400;
const TTL_S = 100;
const OPTIONS: Partial<SessionModuleOptions> = {
  tokenSourcePriority: ['cookie', 'header', 'bearer'],
  sessionTtl: TTL_S,
  touchInterval: 10,
  lifetimes: { remembered: { ttl: 30 * DAY_S, absoluteTimeout: 90 * DAY_S } },
};

@Controller()
class PassiveController {
  constructor(private readonly sessions: SessionService) {}

  @Passive()
  @UseGuards(SessionGuard)
  @Get('poll')
  poll(@CurrentSession() session: Session) {
    return { lastAccessed: session.lastAccessed.getTime(), expiresAt: session.expiresAt.getTime() };
  }

  @UseGuards(SessionGuard)
  @Get('use')
  use(@CurrentSession() session: Session) {
    return { lastAccessed: session.lastAccessed.getTime(), expiresAt: session.expiresAt.getTime() };
  }

  @Passive()
  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('poll-and-write')
  write(@CurrentSession() session: Session) {
    session.data.polled = Number(session.data.polled ?? 0) + 1;
    return session.data;
  }

  @Passive()
  @UseSession()
  @Get('poll-with-interceptor')
  withInterceptor() {
    return 'ok';
  }

  @Passive()
  @Get('poll-with-decorator')
  withDecorator(@OptionalSession() session: Session | null) {
    return { found: session !== null };
  }

  @Passive()
  @UseSession()
  @HttpCode(200)
  @Post('passive-login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' }, { transport: 'cookie' });
    return 'ok';
  }
}

@Passive()
@Controller('passive')
class WhollyPassiveController {
  @UseGuards(SessionGuard)
  @Get('poll')
  poll() {
    return 'ok';
  }
}

/** Inherits the handlers, and their marks. */
@Controller('inherited')
class InheritingController extends PassiveController {}

/** What a response does with the cookie. */
function cookieOf({ setCookies }: RawResponse) {
  expect(setCookies.length).toBeLessThanOrEqual(1);
  return setCookies[0] === undefined ? null : parseSetCookie(setCookies[0]);
}

describe.each(PLATFORMS)('the cookie of a class of sessions, on %s', (platform) => {
  let app: AppUnderTest;

  afterEach(() => app.close());

  async function start(options: Partial<SessionModuleOptions> = {}) {
    app = await startApp({
      platform,
      controllers: [HandlerController],
      providers: [Handlers],
      session: { ...OPTIONS, ...options },
    });
  }

  function run(handler: Handler, headers: readonly string[] = []) {
    app.app.get(Handlers).current = handler;
    return send(`${app.url}/run`, { method: 'POST', headers: [...OWN, ...headers] });
  }

  const logIn = (options?: LoginOptions, headers: readonly string[] = []) =>
    run(({ sessions, request }) => sessions.login(request, { userId: 'ann' }, options).then(() => 'ok'), headers);
  const read = (value: string) => run(({ session }) => ({ id: session?.sessionId ?? null }), cookie(value));
  const cookie = (value: string) => ['Cookie', `${NAME}=${value}`];

  it('ends with the browser by default: no Max-Age, no Expires', async () => {
    await start();
    for (const response of [
      await logIn(),
      await logIn({ remember: false, ttl: 50 * DAY_S }),
      await run(({ sessions, request }) => sessions.start(request).then(() => 'ok')),
    ]) {
      expect(response.setCookies).toEqual([
        expect.stringMatching(/^__Host-session=[\w.-]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/),
      ]);
      expect(response.headers['cache-control']).toBe('no-store');
    }
  });

  it('outlives the browser if the user asked to be remembered, and a new id keeps that', async () => {
    await start();
    const login = cookieOf(await logIn({ remember: true }))!;
    expect(login.maxAge).toBe(30 * DAY_S);
    const regenerated = cookieOf(
      await run(
        ({ sessions, session }) => sessions.regenerateSessionId(session!).then(() => 'ok'),
        cookie(login.value!),
      ),
    )!;
    expect(regenerated.maxAge).toBe(30 * DAY_S);
    app.clock.advanceSeconds(16 * DAY_S);
    const renewed = cookieOf(await read(regenerated.value!))!;
    expect(renewed.maxAge).toBe(30 * DAY_S);
    app.clock.advanceSeconds(29 * DAY_S);
    expect(cookieOf(await read(renewed.value!))!.maxAge).toBe(30 * DAY_S);
    app.clock.advanceSeconds(29 * DAY_S);
    // 74 of 90 days have passed.
    expect(cookieOf(await read(renewed.value!))!.maxAge).toBe(16 * DAY_S);
  });

  it('is that of the login, for an anonymous session, for another login, and for a user who is remembered no more', async () => {
    await start();
    const cart = cookieOf(
      await run(({ sessions, request }) => sessions.start(request, { data: { a: 1 } }).then(() => 'ok')),
    )!;
    expect(cart.maxAge).toBeUndefined();
    const remembered = cookieOf(await logIn({ remember: true }, cookie(cart.value!)))!;
    expect(remembered.maxAge).toBe(30 * DAY_S);
    const again = cookieOf(await logIn({}, cookie(remembered.value!)))!;
    expect([again.maxAge, again.value === remembered.value]).toEqual([undefined, false]);
    const seen = await run(({ session }) => [session!.isRemembered, session!.data], cookie(again.value!));
    expect(JSON.parse(seen.body)).toEqual([false, { a: 1 }]);
    app.clock.advanceSeconds(TTL_S);
    expect((await read(again.value!)).body).toBe('{"id":null}');
  });

  it("persistent: 'always' gives every cookie the end of its session", async () => {
    await start({ cookie: { persistent: 'always' } });
    expect(cookieOf(await logIn())!.maxAge).toBe(TTL_S);
    expect(cookieOf(await run(({ sessions, request }) => sessions.start(request).then(() => 'ok')))!.maxAge).toBe(
      TTL_S,
    );
    expect(cookieOf(await logIn({ remember: true }))!.maxAge).toBe(30 * DAY_S);
  });

  it('without Max-Age it is sent again when the session is renewed, and not because it would have ended', async () => {
    await start();
    const { value } = cookieOf(await logIn())!;
    app.clock.advanceSeconds(60);
    const renewed = cookieOf(await read(value!))!;
    expect([renewed.maxAge, renewed.expires]).toEqual([undefined, undefined]);
    // The browser has kept the older one, perhaps because the response was lost.
    app.clock.advanceSeconds(45);
    const later = await read(value!);
    expect([later.setCookies, later.body]).toEqual([[], expect.stringContaining('"id":"')]);
  });

  it('with Max-Age it is sent again as long as the browser has the older one', async () => {
    await start();
    const { value } = cookieOf(await logIn({ remember: true }))!;
    app.clock.advanceSeconds(16 * DAY_S);
    await read(value!);
    app.clock.advanceSeconds(DAY_S);
    expect(cookieOf(await read(value!))!.maxAge).toBe(29 * DAY_S);
  });

  it.each([
    ['without Max-Age', {}, undefined],
    ['with Max-Age', { remember: true }, 30 * DAY_S],
  ])('a token under an old key is replaced in a cookie %s', async (_name, options, maxAge) => {
    const backend = new MemoryBackend();
    await start({ backend });
    const { value } = cookieOf(await logIn(options))!;
    await app.close();
    const secretKey = ['the new key, which is also long enough', SECRET_KEY];
    app = await startApp({
      platform,
      controllers: [HandlerController],
      providers: [Handlers],
      session: { ...OPTIONS, backend, secretKey, indexKey: SECRET_KEY },
      clock: app.clock,
    });
    expect(cookieOf(await read(value!))!.maxAge).toBe(maxAge);
  });

  it('a logout clears either kind', async () => {
    await start();
    for (const options of [{}, { remember: true }]) {
      const { value } = cookieOf(await logIn(options))!;
      const response = await run(({ sessions, request }) => sessions.logout(request).then(() => 'ok'), cookie(value!));
      expect(cookieOf(response)!.maxAge).toBe(0);
    }
  });

  it('remember without its lifetimes, or for a text of a form, is a 500 that sets no cookie', async () => {
    await start({ lifetimes: {} });
    for (const remember of [true, 'on']) {
      const response = await logIn({ remember: remember as boolean });
      expect([response.status, response.setCookies]).toEqual([500, []]);
    }
    expect(await app.app.get(SessionService).listUserSessions('ann')).toEqual([]);
  });

  it('a new lifetime sends a cookie that outlives the browser with its new end, and one that does not stays', async () => {
    await start();
    const set =
      (lifetime: Parameters<SessionService['setLifetime']>[1]): Handler =>
      async ({ sessions, session }) => {
        session!.data.before = lifetime;
        await sessions.setLifetime(session!, lifetime);
        return session!.expiresAt.getTime() - app.clock.now();
      };
    const remembered = cookieOf(await logIn({ remember: true }))!.value!;
    for (const [lifetime, maxAge] of [
      [{ ttl: 40 * DAY_S }, 40 * DAY_S],
      [{ ttl: 600 }, 600],
      [{ absoluteTimeout: 60 }, 60],
    ] as const) {
      const response = await run(set(lifetime), cookie(remembered));
      expect([response.body, cookieOf(response)!.maxAge]).toEqual([String(maxAge * 1000), maxAge]);
    }
    const usual = cookieOf(await logIn())!.value!;
    expect((await run(set({ ttl: 5000 }), cookie(usual))).setCookies).toEqual([]);
    const { body } = await run(({ session }) => session!.data, cookie(usual));
    expect(JSON.parse(body)).toEqual({ before: { ttl: 5000 } });
    app.clock.advanceSeconds(60);
    expect((await read(remembered)).body).toBe('{"id":null}');
    app.clock.advanceSeconds(4000);
    expect((await read(usual)).body).toMatch(/"id":"/);
  });

  it('a new lifetime just after a login or before a new id goes out with that cookie', async () => {
    await start();
    const login = await run(async ({ sessions, request }) => {
      const { session } = await sessions.login(request, { userId: 'ann' }, { remember: true });
      await sessions.setLifetime(session, { ttl: DAY_S });
      return session.sessionId;
    });
    expect(cookieOf(login)!.maxAge).toBe(DAY_S);
    const next = await run(
      async ({ sessions, session }) => {
        await sessions.setLifetime(session!, { ttl: 2 * DAY_S });
        await sessions.regenerateSessionId(session!);
        return session!.sessionId;
      },
      cookie(cookieOf(login)!.value!),
    );
    expect(cookieOf(next)!.maxAge).toBe(2 * DAY_S);
    expect((await read(cookieOf(next)!.value!)).body).toBe(JSON.stringify({ id: next.body }));
    const after = await run(
      async ({ sessions, session }) => {
        await sessions.regenerateSessionId(session!);
        await sessions.setLifetime(session!, { ttl: 3 * DAY_S });
        return session!.sessionId;
      },
      cookie(cookieOf(next)!.value!),
    );
    expect(cookieOf(after)!.maxAge).toBe(3 * DAY_S);
    expect((await read(cookieOf(after)!.value!)).body).toBe(JSON.stringify({ id: after.body }));
  });

  it('a token that ends with the session is replaced when the end of the session is put off, now or at the next use', async () => {
    await start({ tokenFormat: 'jwt' });
    const sessions = app.app.get(SessionService);
    const bearer = (token: string) => ['Authorization', `Bearer ${token}`];
    for (const isInRequest of [true, false]) {
      const { session, token } = await sessions.createSession({ absoluteTimeout: 60 });
      if (!isInRequest) await sessions.setLifetime(session, { absoluteTimeout: null });
      const response = await run(async (at) => {
        if (isInRequest) await at.sessions.setLifetime(at.session!, { absoluteTimeout: null });
        return 'ok';
      }, bearer(token));
      const replaced = response.headers['x-session-token'] as string;
      app.clock.advanceSeconds(61);
      const find: Handler = ({ session: found }) => ({ found: found !== null });
      expect((await run(find, bearer(token))).body).toBe('{"found":false}');
      expect((await run(find, bearer(replaced))).body).toBe('{"found":true}');
    }
  });

  it('a client that comes by an old id in its grace gets no cookie for a new lifetime, which holds under the new id', async () => {
    await start();
    const old = cookieOf(await logIn({ remember: true }))!.value!;
    const next = cookieOf(
      await run(
        ({ sessions, session }) => sessions.regenerateSessionId(session!, { grace: 30 }).then(() => 'ok'),
        cookie(old),
      ),
    )!.value!;
    const response = await run(async ({ sessions, session }) => {
      await sessions.setLifetime(session!, { ttl: 600 });
      return session!.expiresAt.getTime() - app.clock.now();
    }, cookie(old));
    expect([response.status, response.body, response.setCookies]).toEqual([200, '600000', []]);
    const seen = await run(({ session }) => session!.expiresAt.getTime() - app.clock.now(), cookie(next));
    expect(seen.body).toBe('600000');
  });

  it('another site changes no lifetime in a middleware either, before the route is known', async () => {
    app = await startApp({
      platform,
      controllers: [HandlerController],
      providers: [Handlers],
      session: OPTIONS,
      configure: (nest) => {
        const sessions = nest.get(SessionService);
        const shorten = async (request: IncomingMessage) => {
          const session = await sessions.current(request);
          await sessions.setLifetime(session!, { ttl: 5 });
        };
        nest.use((request: IncomingMessage, response: { end: (body: string) => void }) => {
          void shorten(request).then(
            () => response.end('shortened'),
            (error: unknown) => response.end((error as { code: string }).code),
          );
        });
      },
    });
    const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' }, remember: true });
    const post = (site: string) =>
      send(`${app.url}/run`, { method: 'POST', headers: ['Sec-Fetch-Site', site, ...cookie(token)] });
    expect((await post('cross-site')).body).toBe('CSRF_CROSS_SITE');
    const own = await post('same-origin');
    expect([own.body, cookieOf(own)!.maxAge]).toEqual(['shortened', 5]);
  });

  it('another site changes no lifetime, and a session that the request has ended has none', async () => {
    await start();
    const { value } = cookieOf(await logIn({ remember: true }))!;
    app.app.get(Handlers).current = ({ sessions, session }) => sessions.setLifetime(session!, { ttl: 5 });
    const foreign = await send(`${app.url}/run`, {
      method: 'POST',
      headers: ['Sec-Fetch-Site', 'cross-site', ...cookie(value!)],
    });
    expect(foreign.status).toBe(403);
    const ended = await run(async ({ sessions, request, session }) => {
      await sessions.logout(request);
      return sessions.setLifetime(session!, { ttl: 5 }).catch((error: unknown) => (error as { code: string }).code);
    }, cookie(value!));
    expect(ended.body).toBe('SESSION_ENDED');
  });
});

describe.each(PLATFORMS)('a passive request, on %s', (platform) => {
  let app: AppUnderTest;
  let barrier: BarrierBackend;
  let log: LogLines;

  beforeEach(() => {
    barrier = new BarrierBackend(new MemoryBackend());
    log = new LogLines();
  });

  afterEach(() => app.close());

  async function start(options: Partial<SessionModuleOptions> = {}, configure?: (app: NestExpressApplication) => void) {
    app = await startApp({
      platform,
      controllers: [PassiveController, WhollyPassiveController, InheritingController],
      session: { ...OPTIONS, backend: barrier.backend, ...options },
      configure: (nest) => {
        nest.useLogger(log);
        configure?.(nest as NestExpressApplication);
      },
    });
  }

  async function signIn() {
    const { session, token } = await app.app
      .get(SessionService)
      .createSession({ user: { userId: 'ann' }, remember: true });
    return { session, headers: ['Cookie', `${NAME}=${token}`, ...OWN], bearer: ['Authorization', `Bearer ${token}`] };
  }

  const get = (path: string, headers: readonly string[]) => send(app.url + path, { headers });
  const touches = () => barrier.calls.touch ?? 0;

  it.each(['/poll', '/passive/poll', '/poll-with-interceptor', '/poll-with-decorator', '/inherited/poll'])(
    '%s reads the session, and renews neither it nor its token, so that it ends as if left alone',
    async (path) => {
      await start();
      const { session, headers, bearer } = await signIn();
      for (let day = 0; day < 29; day++) {
        app.clock.advanceSeconds(DAY_S);
        for (const way of [headers, bearer]) {
          const response = await get(path, way);
          expect([response.status, response.setCookies, response.headers['x-session-token']]).toEqual([
            200,
            [],
            undefined,
          ]);
        }
        expect((await send(app.url + path, { method: 'HEAD', headers })).setCookies).toEqual([]);
      }
      expect(touches()).toBe(0);
      const [listed] = await app.app.get(SessionService).listUserSessions('ann');
      expect(listed).toMatchObject({ lastAccessed: session.lastAccessed, expiresAt: session.expiresAt });
      app.clock.advanceSeconds(DAY_S);
      expect((await get('/poll', headers)).status).toBe(401);
    },
  );

  it('a use between polls is one, and a poll shows the last use before it', async () => {
    await start();
    const { headers } = await signIn();
    app.clock.advanceSeconds(20 * DAY_S);
    const usedAt = app.clock.now();
    const use = await get('/use', headers);
    expect([touches(), cookieOf(use)!.maxAge]).toEqual([1, 30 * DAY_S]);
    expect(JSON.parse(use.body)).toEqual({ lastAccessed: usedAt, expiresAt: usedAt + 30 * DAY_S * 1000 });
    app.clock.advanceSeconds(DAY_S);
    const poll = await get('/poll', headers);
    expect(JSON.parse(poll.body)).toEqual({ lastAccessed: usedAt, expiresAt: usedAt + 30 * DAY_S * 1000 });
  });

  it('stores what its handler changes, and that is no use either', async () => {
    await start();
    const { session, headers } = await signIn();
    for (const count of [1, 2, 3]) {
      app.clock.advanceSeconds(8 * DAY_S);
      const response = await send(`${app.url}/poll-and-write`, { method: 'POST', headers });
      expect([response.body, response.setCookies]).toEqual([JSON.stringify({ polled: count }), []]);
    }
    const [listed] = await app.app.get(SessionService).listUserSessions('ann');
    expect(listed).toMatchObject({ lastAccessed: session.lastAccessed, expiresAt: session.expiresAt });
  });

  it('may sign in: that is a new session', async () => {
    await start();
    const response = await send(`${app.url}/passive-login`, { method: 'POST', headers: OWN });
    expect([response.status, cookieOf(response)!.value]).toEqual([200, expect.stringMatching(/./)]);
  });

  it('gives the session no new id, though rotateEvery is over: the next use does', async () => {
    await start({ rotateEvery: 60 });
    const { session, headers } = await signIn();
    app.clock.advanceSeconds(61);
    expect((await get('/poll', headers)).setCookies).toEqual([]);
    const [listed] = await app.app.get(SessionService).listUserSessions('ann');
    expect(listed!.sessionId).toBe(session.sessionId);
    expect((await get('/use', headers)).setCookies.at(-1)).toContain(`Max-Age=${30 * DAY_S}`);
    const [rotated] = await app.app.get(SessionService).listUserSessions('ann');
    expect(rotated!.sessionId).not.toBe(session.sessionId);
  });

  it('keeps a token under an old key: the next use replaces it', async () => {
    await start();
    const { headers } = await signIn();
    await app.close();
    await start({ secretKey: ['the new key, which is also long enough', SECRET_KEY], indexKey: SECRET_KEY });
    expect((await get('/poll', headers)).setCookies).toEqual([]);
    expect((await get('/use', headers)).setCookies).toHaveLength(1);
  });

  it('the option decides for every route, with the request of the framework', async () => {
    const seen: PassiveRequest[] = [];
    await start({
      passive: (request) => {
        seen.push(request);
        return request.headers['x-poll'] === 'yes';
      },
    });
    const { headers } = await signIn();
    expect((await get('/use?fresh', headers)).status).toBe(200);
    // Nothing is due, so nothing was asked but for the last use, which the handler shows.
    expect(seen.map(({ url, method }) => [url, method])).toEqual([['/use?fresh', 'GET']]);
    app.clock.advanceSeconds(20 * DAY_S);
    expect((await get('/use', [...headers, 'X-Poll', 'yes'])).setCookies).toEqual([]);
    expect(touches()).toBe(0);
    expect((await get('/use', headers)).setCookies).toHaveLength(1);
    expect(touches()).toBe(1);
  });

  it('is called for no request that renews nothing, and the marks of its route are not read', async () => {
    const passive = jest.fn(() => false);
    await start({ passive });
    const { headers } = await signIn();
    const reads = jest.spyOn(Reflector.prototype, 'getAllAndOverride');
    const marksRead = () =>
      reads.mock.calls.filter(([mark]) => String(mark) === 'Symbol(nestjs-sessionx:passive)').length;
    try {
      await get('/poll-with-interceptor', headers);
      expect([passive.mock.calls.length, marksRead()]).toEqual([0, 0]);
      app.clock.advanceSeconds(20 * DAY_S);
      await get('/poll-with-interceptor', headers);
      expect([passive.mock.calls.length, marksRead()]).toEqual([0, 1]);
    } finally {
      reads.mockRestore();
    }
  });

  it('a session that only a middleware uses is renewed or not by the option', async () => {
    const polls = (request: PassiveRequest) => request.url.startsWith('/elsewhere?poll');
    await start({ passive: polls }, (nest) => {
      nest.use((request: IncomingMessage, response: { end: (body: string) => void }, next: () => void) => {
        if (!request.url!.startsWith('/elsewhere')) next();
        else
          void nest
            .get(SessionService)
            .current(request)
            .then((session) => response.end(session === null ? 'none' : 'found'));
      });
    });
    const { headers } = await signIn();
    app.clock.advanceSeconds(20 * DAY_S);
    const poll = await get('/elsewhere?poll', headers);
    expect([poll.body, poll.setCookies, touches()]).toEqual(['found', [], 0]);
    // Nothing refuses it, as no route is reached, and nothing is done for it.
    const foreign = ['Sec-Fetch-Site', 'cross-site', ...headers.slice(0, 2)];
    const crossSite = await send(`${app.url}/elsewhere`, { method: 'POST', headers: foreign });
    expect([crossSite.status, crossSite.body, crossSite.setCookies, touches()]).toEqual([200, 'found', [], 0]);
    const use = await get('/elsewhere', headers);
    expect([use.body, use.setCookies.length, touches()]).toEqual(['found', 1, 1]);
  });

  it.each<[string, SessionModuleOptions['passive'], string]>([
    [
      'throws',
      () => {
        throw new Error('no such header');
      },
      'it threw: "no such header"',
    ],
    [
      'is async',
      (async () => Promise.reject(new Error('late'))) as never,
      'it returned a promise instead of true or false',
    ],
    [
      'returns a thenable',
      (() => ({ then: () => undefined })) as never,
      'it returned a promise instead of true or false',
    ],
    ['returns nothing', (() => undefined) as never, 'it returned a value of the type undefined'],
    ['returns a text', (() => 'yes') as never, 'it returned a value of the type string'],
  ])('an option that %s renews nothing, and is an error in the log, once', async (_name, passive, said) => {
    await start({ passive });
    const { headers } = await signIn();
    app.clock.advanceSeconds(20 * DAY_S);
    for (let request = 0; request < 3; request++) {
      const response = await get('/use', headers);
      expect([response.status, response.setCookies]).toEqual([200, []]);
    }
    expect(touches()).toBe(0);
    const errors = log.of('error');
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('GET /use: the option passive failed, so the session was not renewed');
    expect(errors[0]).toContain(said);
  });

  it('the mark holds before the guard of the whole application, and for public routes that look at the session', async () => {
    @Controller()
    class GuardedController {
      @Passive()
      @Get('guarded-poll')
      poll() {
        return 'ok';
      }

      @Public()
      @Passive()
      @Get('public-poll')
      publicPoll(@OptionalSession('user') user: object | null) {
        return { user };
      }

      @Passive()
      @SkipCsrf()
      @All('any')
      any() {
        return 'ok';
      }
    }
    app = await startApp({
      platform,
      controllers: [GuardedController],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
      session: { ...OPTIONS, backend: barrier.backend },
    });
    const { headers } = await signIn();
    app.clock.advanceSeconds(20 * DAY_S);
    for (const path of ['/guarded-poll', '/public-poll', '/any']) {
      const response = await get(path, headers);
      expect([response.status, response.setCookies]).toEqual([200, []]);
    }
    expect((await send(`${app.url}/any`, { method: 'POST', headers: headers.slice(0, 2) })).status).toBe(200);
    expect(touches()).toBe(0);
    expect((await get('/guarded-poll', [])).status).toBe(401);
  });

  it('a store that fails is a 503, as for any request', async () => {
    await start();
    const { headers } = await signIn();
    barrier.fail('read');
    expect((await get('/poll', headers)).status).toBe(503);
    barrier.heal();
    barrier.fail('replace');
    expect((await send(`${app.url}/poll-and-write`, { method: 'POST', headers })).status).toBe(503);
  });
});
