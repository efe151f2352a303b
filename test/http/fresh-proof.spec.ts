import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  All,
  Body,
  Catch,
  Controller,
  Get,
  HttpCode,
  Post,
  Req,
  Res,
  StreamableFile,
  UseGuards,
  type ArgumentsHost,
  type Provider,
  type Type,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, BaseExceptionFilter } from '@nestjs/core';
import {
  AllowAnonymous,
  CurrentSession,
  MemoryBackend,
  Public,
  RequireFresh,
  RequireRoles,
  SessionEvents,
  SessionGuard,
  SessionService,
  SessionStaleError,
  SessionUsageError,
  UseSession,
  type LoginOptions,
  type ProofOptions,
  type Session,
  type SessionEvent,
} from 'nestjs-sessionx';
import { Readable } from 'node:stream';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const OWN = { 'sec-fetch-site': 'same-origin' };
const FOREIGN = { 'sec-fetch-site': 'cross-site' };
const JSON_BODY = { 'content-type': 'application/json' };
const CHALLENGE = 'Bearer error="insufficient_user_authentication", max_age="300"';
const ANN = { userId: 'ann', roles: ['admin'] };

interface Proof {
  readonly login?: LoginOptions;
  readonly again?: ProofOptions;
}

@Controller()
class AccountController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Body() { login }: Proof) {
    const { token, session } = await this.sessions.login(request, ANN, login);
    return { token, id: session.sessionId };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('again')
  async again(@Req() request: object, @CurrentSession() session: Session, @Body() { again }: Proof) {
    session.data.before = true;
    const { token, csrfToken, session: proven } = await this.sessions.reauthenticate(request, again);
    session.data.after = true;
    return { token, csrfToken, id: session.sessionId, isSame: proven === session };
  }

  @HttpCode(200)
  @Post('unguarded')
  async unguarded(@Req() request: object) {
    await this.sessions.reauthenticate(request, { methods: ['pwd'] });
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    return { token: (await this.sessions.regenerateSessionId(session)).token };
  }

  @UseGuards(SessionGuard)
  @Get('proof')
  proof(@CurrentSession() session: Session, @CurrentSession('authMethods') authMethods: readonly string[]) {
    const { authenticatedAt, createdAt, expiresAt, data, user } = session;
    return { authenticatedAt, authMethods, createdAt, expiresAt, data, userId: user?.userId };
  }
}

/** Each route requires a proof within 300 seconds, and is marked in another way. */
@Controller('fresh')
class FreshController {
  @RequireFresh(300)
  @All('alone')
  @HttpCode(200)
  alone() {
    return 'ok';
  }

  @RequireFresh({ within: 300 })
  @UseGuards(SessionGuard)
  @All('above-guard')
  @HttpCode(200)
  aboveGuard() {
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @RequireFresh(300)
  @All('below-guard')
  @HttpCode(200)
  belowGuard() {
    return 'ok';
  }

  @Public()
  @AllowAnonymous()
  @RequireFresh(300)
  @All('public')
  @HttpCode(200)
  public() {
    return 'ok';
  }

  @RequireFresh(300)
  @Get('stream')
  stream() {
    return new StreamableFile(Readable.from(['o', 'k']));
  }

  @RequireFresh(300)
  @Get('raw')
  raw(@Res() response: { send(text: string): void }) {
    response.send('ok');
  }

  @RequireFresh(300)
  @RequireRoles('admin')
  @All('with-role')
  @HttpCode(200)
  withRole() {
    return 'ok';
  }
}

@RequireFresh(300)
@Controller('class')
class FreshClassController {
  @All('alone')
  @HttpCode(200)
  alone() {
    return 'ok';
  }

  @RequireFresh(60)
  @Get('shorter')
  shorter() {
    return 'ok';
  }
}

@Controller('method')
class MethodController {
  @RequireFresh({ within: 300, methods: ['otp', 'hwk'] })
  @Get('one-of')
  oneOf() {
    return 'ok';
  }

  @RequireFresh({ within: 300, methods: ['pwd'] })
  @RequireFresh({ within: 60, methods: ['otp'] })
  @Get('both')
  both() {
    return 'ok';
  }

  @RequireRoles('nobody')
  @RequireFresh(300)
  @Get('role-first')
  roleFirst() {
    return 'ok';
  }
}

const PATHS = [
  ...['alone', 'above-guard', 'below-guard', 'public', 'stream', 'raw', 'with-role'].map((path) => `/fresh/${path}`),
  '/class/alone',
];

const transports = {
  bearer: (token: string) => ({ authorization: `Bearer ${token}` }),
  cookie: (token: string) => ({ cookie: `__Host-session=${token}`, ...OWN }),
};

/** The token in the cookie. Beside it other forms of the cookie are cleared. */
function cookieIn({ headers }: Response): string | undefined {
  const tokens = headers.getSetCookie().map((line) => /^__Host-session=([^;]+)/.exec(line)?.[1]);
  return tokens.find((token) => token !== undefined);
}

describe.each(PLATFORMS)('a fresh proof of identity, on %s', (platform) => {
  let app: AppUnderTest;
  let store: BarrierBackend;
  let sessions: SessionService;
  let events: SessionEvent[];

  async function start(guards: Type[] = [], options = {}, providers: Provider[] = []): Promise<void> {
    store = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform,
      controllers: [AccountController, FreshController, FreshClassController, MethodController],
      providers: [...guards.map((useClass) => ({ provide: APP_GUARD, useClass })), ...providers],
      session: {
        tokenSourcePriority: ['bearer', 'cookie'],
        backend: store.backend,
        absoluteTimeout: 7200,
        ...options,
      },
    });
    sessions = app.app.get(SessionService);
    events = [];
    app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
  }

  beforeEach(() => start());
  afterEach(() => app.close());

  const send = (path: string, headers: object = {}, method = 'GET') =>
    app.fetch(path, { headers: { ...headers }, method });
  const statusOf = async (path: string, headers: object = {}, method = 'GET') =>
    (await send(path, headers, method)).status;
  const post = (path: string, headers: object = {}, body: object = {}) =>
    app.fetch(path, { method: 'POST', headers: { ...JSON_BODY, ...headers }, body: JSON.stringify(body) });
  const tokenOf = async (options = {}) => (await sessions.createSession({ user: ANN, ...options })).token;
  const proofIn = async (headers: object) =>
    (await (await send('/proof', headers)).json()) as {
      authenticatedAt: string;
      authMethods: string[];
      createdAt: string;
      expiresAt: string;
      data: object;
      userId: string;
    };

  describe.each(Object.entries(transports))('by %s', (transport, headersOf) => {
    it.each([
      ['no other guard', []],
      ['SessionGuard for all routes', [SessionGuard]],
    ])('4:59 and 5:00 pass, and a millisecond later nothing does, with %s', async (_, guards) => {
      await app.close();
      await start(guards);
      const ann = headersOf(await tokenOf());
      app.clock.advanceSeconds(299);
      for (const path of PATHS) expect([path, await statusOf(path, ann)]).toEqual([path, 200]);
      app.clock.advanceSeconds(1);
      for (const path of PATHS) expect([path, await statusOf(path, ann)]).toEqual([path, 200]);
      app.clock.advance(1);
      for (const method of ['GET', 'HEAD']) {
        for (const path of PATHS) {
          const { status, headers } = await send(path, ann, method);
          expect([path, method, status, headers.get('www-authenticate')]).toEqual([path, method, 401, CHALLENGE]);
          expect(headers.get('cache-control')).toContain('no-store');
        }
      }
      app.clock.advance(999);
      for (const path of PATHS) expect([path, await statusOf(path, ann)]).toEqual([path, 401]);
    });

    it('the client is told a code, keeps its session, and can use it elsewhere', async () => {
      const ann = headersOf(await tokenOf());
      app.clock.advanceSeconds(301);
      const response = await send('/fresh/alone', ann);
      expect(await response.json()).toEqual({ statusCode: 401, message: 'Unauthorized', code: 'PROOF_TOO_OLD' });
      expect(response.headers.getSetCookie()).toEqual([]);
      expect((await proofIn(ann)).userId).toBe('ann');
    });

    it('a client without a user gets the 401 of other routes', async () => {
      for (const path of PATHS) {
        expect((await send(path)).headers.get('www-authenticate')).toBe('Bearer');
        const forged = await send(path, headersOf('forged'));
        expect([forged.status, forged.headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
      }
      const visitor = headersOf((await sessions.createSession()).token);
      for (const path of PATHS) expect([path, await statusOf(path, visitor)]).toEqual([path, 401]);
    });

    it('reauthenticate() gives a new id and token, and everything else stays', async () => {
      const token = await tokenOf({ data: { cart: ['book'] }, methods: ['pwd'] });
      const old = headersOf(token);
      const before = await proofIn(old);
      app.clock.advanceSeconds(1000);
      expect(await statusOf('/fresh/alone', old)).toBe(401);
      events.length = 0;

      const response = await post('/again', old, { again: { methods: ['otp', 'user'] } });

      expect(response.status).toBe(200);
      const body = (await response.json()) as {
        token: string | null;
        csrfToken: string | null;
        id: string;
        isSame: boolean;
      };
      expect(body.isSame).toBe(true);
      const cookie = cookieIn(response);
      expect([body.token === null, cookie !== undefined, body.csrfToken !== null]).toEqual(
        transport === 'cookie' ? [true, true, true] : [false, false, false],
      );
      const fresh = headersOf(body.token ?? cookie!);
      const after = await proofIn(fresh);
      expect(after).toEqual({
        ...before,
        authenticatedAt: new Date(app.clock.now()).toJSON(),
        authMethods: ['otp', 'user'],
        expiresAt: new Date(app.clock.now() + 3_600_000).toJSON(),
        data: { cart: ['book'], before: true, after: true },
      });
      for (const path of ['/proof', '/fresh/alone']) expect(await statusOf(path, old)).toBe(401);
      for (const path of PATHS) expect([path, await statusOf(path, fresh)]).toEqual([path, 200]);
      expect(events[0]).toMatchObject({
        type: 'regenerated',
        cause: 'reauthenticated',
        sessionId: body.id,
        userId: 'ann',
        transport,
      });
    });

    it('the absolute end stays where it was', async () => {
      const old = headersOf(await tokenOf({ ttl: 7000 }));
      app.clock.advanceSeconds(6000);
      const response = await post('/again', old);
      const { token } = (await response.json()) as { token: string | null };
      const fresh = headersOf(token ?? cookieIn(response)!);
      app.clock.advanceSeconds(1199);
      expect(await statusOf('/proof', fresh)).toBe(200);
      app.clock.advanceSeconds(1);
      expect(await statusOf('/proof', fresh)).toBe(401);
    });

    it('no use of the session, no renewal and no new id freshens the proof', async () => {
      let ann = headersOf(await tokenOf({ methods: ['pwd'] }));
      const { authenticatedAt } = await proofIn(ann);
      app.clock.advanceSeconds(120);
      await proofIn(ann);
      app.clock.advanceSeconds(120);
      const regenerated = await post('/regenerate', ann);
      const { token } = (await regenerated.json()) as { token: string | null };
      ann = headersOf(token ?? cookieIn(regenerated)!);
      app.clock.advanceSeconds(60);
      expect(await statusOf('/fresh/alone', ann)).toBe(200);
      app.clock.advanceSeconds(1);
      expect(await statusOf('/fresh/alone', ann)).toBe(401);
      app.clock.advanceSeconds(2000);
      // Renewed by this use.
      expect(await proofIn(ann)).toMatchObject({ authenticatedAt, authMethods: ['pwd'] });
      expect(await statusOf('/fresh/alone', ann)).toBe(401);
    });

    it('503 where the store fails, and the session is as it was', async () => {
      const ann = headersOf(await tokenOf({ methods: ['pwd'] }));
      app.clock.advanceSeconds(30);
      store.fail('create');
      const response = await post('/again', ann, { again: { methods: ['otp'] } });
      expect([response.status, response.headers.getSetCookie()]).toEqual([503, []]);
      store.heal();
      expect(await proofIn(ann)).toMatchObject({ authMethods: ['pwd'], data: {} });
      store.fail('read');
      for (const path of PATHS) expect([path, await statusOf(path, ann)]).toEqual([path, 503]);
    });
  });

  it('a proof from the future, as after a clock was set back, is not fresh for longer', async () => {
    const ann = transports.bearer(await tokenOf());
    app.clock.advanceSeconds(-300);
    expect(await statusOf('/fresh/alone', ann)).toBe(200);
    app.clock.advance(-1);
    expect(await statusOf('/fresh/alone', ann)).toBe(401);
    const { token } = (await (await post('/again', ann, { again: {} })).json()) as { token: string };
    expect(await statusOf('/fresh/alone', transports.bearer(token))).toBe(200);
  });

  it('a refusal is one event, with what was required and what there is', async () => {
    const { session, token } = await sessions.createSession({ user: ANN, methods: ['pwd'] });
    const ann = { ...transports.bearer(token), 'user-agent': `Browser/1 ${'x'.repeat(8000)}` };
    events.length = 0;
    await send('/method/one-of', ann);
    app.clock.advanceSeconds(301);
    await send('/fresh/with-role', ann);
    const common = {
      type: 'stale',
      sessionId: session.sessionId,
      userId: 'ann',
      within: 300,
      authenticatedAt: session.createdAt.getTime(),
      authMethods: ['pwd'],
      ipAddress: '127.0.0.1',
      userAgent: `Browser/1 ${'x'.repeat(502)}`,
    };
    const at = app.clock.now();
    expect(events.filter(({ type }) => type !== 'renewed')).toEqual([
      { ...common, reason: 'PROOF_METHOD_MISSING', methods: ['otp', 'hwk'], at: at - 301_000 },
      { ...common, reason: 'PROOF_TOO_OLD', methods: [], at },
    ]);
  });

  it('another method is refused with the same challenge, until one of those that count is used', async () => {
    const ann = transports.bearer(await tokenOf({ methods: ['pwd'] }));
    const refused = await send('/method/one-of', ann);
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, CHALLENGE]);
    expect(await refused.json()).toMatchObject({ code: 'PROOF_METHOD_MISSING' });
    const { token } = (await (await post('/again', ann, { again: { methods: ['hwk'] } })).json()) as { token: string };
    expect(await statusOf('/method/one-of', transports.bearer(token))).toBe(200);
    // The methods are those of the last proof alone.
    expect(await statusOf('/method/both', transports.bearer(token))).toBe(401);
  });

  it('two on one route must both hold, and one on a handler is in place of that of its class', async () => {
    const ann = transports.bearer(await tokenOf({ methods: ['pwd', 'otp'] }));
    const statuses = () =>
      Promise.all(['/method/both', '/class/shorter', '/class/alone'].map((path) => statusOf(path, ann)));
    app.clock.advanceSeconds(60);
    expect(await statuses()).toEqual([200, 200, 200]);
    app.clock.advanceSeconds(1);
    expect(await statuses()).toEqual([401, 401, 200]);
    expect((await send('/class/shorter', ann)).headers.get('www-authenticate')).toContain('max_age="60"');
  });

  it('who has not the role is told that, and not to sign in again', async () => {
    const ann = transports.bearer(await tokenOf());
    app.clock.advanceSeconds(301);
    const response = await send('/method/role-first', ann);
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([403, null]);
  });

  it('login() is a proof, by its own methods alone, whatever session there was', async () => {
    const login = async (headers: object, options: object) => {
      const response = await post('/login', headers, { login: options });
      return transports.bearer(((await response.json()) as { token: string }).token);
    };
    const first = await login({}, { methods: ['otp', 'pwd', 'otp'] });
    expect((await proofIn(first)).authMethods).toEqual(['otp', 'pwd']);
    app.clock.advanceSeconds(1000);
    const second = await login(first, {});
    expect(await proofIn(second)).toMatchObject({
      authMethods: [],
      authenticatedAt: new Date(app.clock.now()).toJSON(),
    });
    const visitor = transports.bearer((await sessions.createSession()).token);
    app.clock.advanceSeconds(1000);
    const third = await login(visitor, { methods: ['pwd'] });
    expect(await proofIn(third)).toMatchObject({
      authMethods: ['pwd'],
      authenticatedAt: new Date(app.clock.now()).toJSON(),
    });
  });

  it('another site cannot make a browser prove anything', async () => {
    const token = await tokenOf({ methods: ['pwd'] });
    const before = store.total;
    for (const path of ['/again', '/unguarded']) {
      const response = await post(path, { ...transports.cookie(token), ...FOREIGN }, { again: { methods: ['otp'] } });
      expect([response.status, response.headers.getSetCookie()]).toEqual([403, []]);
      expect(await response.json()).toMatchObject({ code: 'CSRF_CROSS_SITE' });
    }
    expect((store.calls.create ?? 0) + (store.calls.replace ?? 0)).toBe(1);
    expect(store.total - before).toBeLessThanOrEqual(1);
    expect((await proofIn(transports.cookie(token))).authMethods).toEqual(['pwd']);
  });

  it('reauthenticate() without a user is a usage error', async () => {
    expect(await statusOf('/unguarded', {}, 'POST')).toBe(500);
    const visitor = transports.bearer((await sessions.createSession()).token);
    expect(await statusOf('/unguarded', visitor, 'POST')).toBe(500);
    expect(await statusOf('/unguarded', transports.bearer('forged'), 'POST')).toBe(500);
    const error: unknown = await sessions
      .reauthenticate({ headers: {}, rawHeaders: [] })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SessionUsageError);
  });

  it('of two at once one wins, and the other is a 409', async () => {
    const ann = transports.bearer(await tokenOf());
    const stopped = store.stopNext('create');
    const first = post('/again', ann, { again: { methods: ['otp'] } });
    await stopped.arrived;
    const second = await post('/again', ann, { again: { methods: ['pwd'] } });
    stopped.letGo();
    expect([(await first).status, second.status]).toEqual([409, 200]);
    const [only] = await sessions.listUserSessions('ann');
    const { token } = (await second.json()) as { token: string };
    expect((await sessions.getSession(token)).sessionId).toBe(only!.sessionId);
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
  });

  it('a log-out that comes first wins: nothing lives afterwards', async () => {
    const ann = transports.bearer(await tokenOf());
    const stopped = store.stopNext('create');
    const response = post('/again', ann);
    await stopped.arrived;
    await sessions.deleteUserSessions('ann');
    stopped.letGo();
    expect((await response).status).toBe(409);
    expect(await sessions.listUserSessions('ann')).toEqual([]);
  });

  it('an older id that has a grace is dead after it too', async () => {
    const { session, token } = await sessions.createSession({ user: ANN });
    const { token: newer } = await sessions.regenerateSessionId(session, { grace: 60 });
    expect(await statusOf('/proof', transports.bearer(token))).toBe(200);
    // Its client has no token for the newer id, and gets none.
    expect((await post('/again', transports.bearer(token))).status).toBe(409);
    expect((await post('/again', transports.bearer(newer!))).status).toBe(200);
    expect(await statusOf('/proof', transports.bearer(token))).toBe(401);
    expect(await statusOf('/proof', transports.bearer(newer!))).toBe(401);
  });

  it('a filter of the application may send the browser to a page that asks for the password', async () => {
    @Catch(SessionStaleError)
    class PasswordPageFilter extends BaseExceptionFilter {
      override catch({ required }: SessionStaleError, host: ArgumentsHost): void {
        const adapter = this.httpAdapterHost!.httpAdapter;
        adapter.setHeader(host.getArgByIndex(1), 'Location', `/password?within=${required.within}`);
        adapter.reply(host.getArgByIndex(1), '', 303);
      }
    }
    await app.close();
    await start([], {}, [{ provide: APP_FILTER, useClass: PasswordPageFilter }]);
    const ann = transports.cookie(await tokenOf());
    app.clock.advanceSeconds(301);
    const { status, headers } = await send('/fresh/alone', ann);
    expect([status, headers.get('location'), headers.get('www-authenticate')]).toEqual([
      303,
      '/password?within=300',
      null,
    ]);
    expect(await statusOf('/fresh/alone')).toBe(401);
  });
});

it.each<[what: string, options: unknown]>([
  ['nothing', undefined],
  ['null', null],
  ['a text', '300'],
  ['zero', 0],
  ['a negative number', -1],
  ['half a second', 0.5],
  ['no number', NaN],
  ['no end', Infinity],
  ['a list', [300]],
  ['no time', { methods: ['otp'] }],
  ['a text for the time', { within: '300' }],
  ['no methods in a list', { within: 300, methods: [] }],
  ['one method without a list', { within: 300, methods: 'otp' }],
  ['an empty method', { within: 300, methods: ['otp', ''] }],
  ['a method that is a number', { within: 300, methods: [1] }],
  ['null for methods', { within: 300, methods: null }],
  ['a name of another option', { within: 300, method: ['otp'] }],
  ['more methods than a session can hold', { within: 300, methods: Array.from({ length: 17 }, String) }],
])('@RequireFresh() with %s is a usage error when the class is loaded', (_, options) => {
  expect(() => RequireFresh(options as number)).toThrow(SessionUsageError);
});
