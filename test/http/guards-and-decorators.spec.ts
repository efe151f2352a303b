import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Injectable,
  Module,
  Post,
  Req,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
  type MiddlewareConsumer,
  type NestModule,
} from '@nestjs/common';
import { APP_GUARD, Reflector } from '@nestjs/core';
import {
  AllowAnonymous,
  CurrentSession,
  FlashMessages,
  OptionalSession,
  Public,
  Session,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type FlashMessage,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce } from '../support/services.js';
import { soon } from '../support/soon.js';

@Controller()
class AuthController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Body() body: { userId?: string; transport?: 'header' }) {
    const { token, session } = await this.sessions.login(
      request,
      { userId: body.userId ?? 'ann' },
      body.transport ? { transport: body.transport } : {},
    );
    session.addFlashMessage('Login successful!', 'success');
    return { token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object, @Body() body: { sku: string }) {
    const { session, token } = await this.sessions.start(request, { data: { cart: body.sku } });
    return { token, anonymous: session.isAnonymous };
  }

  @UseSession()
  @HttpCode(200)
  @Post('careless-cart')
  async carelessCart(@Req() request: object) {
    const { session } = await this.sessions.start(request);
    const data = JSON.parse('{"__proto__":{"isAdmin":true}}') as object;
    const failure: unknown = await this.sessions.start(request, { data }).catch((error: unknown) => error);
    return { admin: 'isAdmin' in session.data, code: (failure as { code?: string }).code ?? 'none' };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object, @OptionalSession() session: Session | null) {
    if (session) session.data.changed = 'just before';
    return { ended: await this.sessions.logout(request) };
  }

  @UseSession()
  @Get('who')
  async who(@Req() request: object) {
    return { userId: (await this.sessions.current(request))?.user?.userId ?? null };
  }

  @Post('forgotten-decorator')
  async forgotten(@Req() request: object) {
    return this.sessions.login(request, { userId: 'ann' });
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('elevate')
  async elevate(@CurrentSession() session: Session) {
    const { session: fresh, token } = await this.sessions.regenerateSessionId(session);
    fresh.data.elevated = true;
    return { token, id: fresh.sessionId };
  }
}

@UseGuards(SessionGuard)
@Controller('guarded')
class GuardedController {
  @Get()
  session(@CurrentSession() session: Session) {
    return session;
  }

  @Get('user')
  user(@CurrentSession('user') user: SessionUser) {
    return user.userId;
  }

  @AllowAnonymous()
  @Get('anonymous')
  anonymous(@CurrentSession() session: Session) {
    return { cart: session.data.cart ?? null, anonymous: session.isAnonymous };
  }

  @Get('flash')
  flash(@FlashMessages() messages: FlashMessage[]) {
    return messages;
  }
}

@Controller('open')
class OpenController {
  constructor(private readonly sessions: SessionService) {}

  @Get('unused')
  unused(): string {
    return 'nothing';
  }

  @Get()
  hello(@OptionalSession() session: Session | null) {
    return `Hello, ${session?.user?.userId ?? 'guest'}!`;
  }

  @Get('required')
  required(@CurrentSession() session: Session) {
    return session.sessionId;
  }

  @UseSession()
  @Get('interceptor')
  async interceptor(@Req() request: object) {
    return (await this.sessions.current(request))?.user?.userId ?? 'guest';
  }

  @Get('flash')
  flash(@FlashMessages() messages: FlashMessage[]) {
    return messages;
  }
}

/** Guard and decorators in a module that imports nothing. */
@Module({ controllers: [GuardedController, OpenController] })
class FeatureModule {}

/** A guard of the application that calls ours. */
@Injectable()
class OwnGuard implements CanActivate {
  readonly #guard: SessionGuard;

  constructor(sessions: SessionService, reflector: Reflector) {
    this.#guard = new SessionGuard(sessions, reflector);
  }

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    return this.#guard.canActivate(context);
  }
}

@Controller('own')
class OwnController {
  @UseGuards(OwnGuard)
  @Get()
  own(@CurrentSession() session: Session) {
    session.data.n = Number(session.data.n ?? 0) + 1;
    return { n: session.data.n };
  }
}

const setups = everyBackend().flatMap((store) => PLATFORMS.map((platform) => ({ store, platform, name: store.name })));

describe.each(setups)('guard and decorators, on $name and $platform', ({ store, platform }) => {
  let barrier: BarrierBackend;
  let app: AppUnderTest;

  beforeAll(async () => {
    await store.start();
    barrier = new BarrierBackend(store.another());
    app = await startApp({
      platform,
      imports: [FeatureModule],
      controllers: [AuthController, OwnController],
      session: { backend: barrier.backend },
    });
  });

  afterAll(async () => {
    await app.close();
    await store.stop();
  });

  const post = (path: string, body: object = {}, headers: Record<string, string> = {}) =>
    app.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  const bearer = (token: string | null) => ({ authorization: `Bearer ${token ?? ''}` });

  async function loggedIn(userId = 'ann'): Promise<{ authorization: string }> {
    const { token } = (await (await post('/login', { userId })).json()) as { token: string };
    return bearer(token);
  }

  it('takes a login through to a logout', async () => {
    const response = await post('/login');
    const { token } = (await response.json()) as { token: string };
    expect(response.headers.get('x-session-token')).toBe(token);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('access-control-expose-headers')).toBe('X-Session-Token');
    expect(response.headers.get('vary')).toContain('X-Session-Token, Authorization');

    const headers = bearer(token);
    expect(await (await app.fetch('/guarded/user', { headers })).text()).toBe('ann');
    expect(await (await app.fetch('/open', { headers })).text()).toBe('Hello, ann!');
    expect(await (await app.fetch('/open/interceptor', { headers })).text()).toBe('ann');
    expect(await (await app.fetch('/who', { headers })).json()).toEqual({ userId: 'ann' });
    expect(await (await app.fetch('/guarded/flash', { headers })).json()).toMatchObject([
      { message: 'Login successful!', category: 'success' },
    ]);
    expect(await (await app.fetch('/guarded/flash', { headers })).json()).toEqual([]);

    expect(await (await post('/logout', {}, headers)).json()).toEqual({ ended: true });
    expect((await app.fetch('/guarded', { headers })).status).toBe(401);
    expect(await (await app.fetch('/open', { headers })).text()).toBe('Hello, guest!');
    expect(await (await post('/logout', {}, headers)).json()).toEqual({ ended: false });
  });

  it('a handler may return the session: no token, no secret in it', async () => {
    const headers = await loggedIn();
    const body = await (await app.fetch('/guarded', { headers })).text();
    expect(JSON.parse(body)).toMatchObject({ user: { userId: 'ann' }, data: {}, status: 'active' });
    expect(body).not.toContain(headers.authorization.slice(7 + 16, 7 + 48));
  });

  it('answers 401 without a token, and says why only where one was sent', async () => {
    const missing = await app.fetch('/guarded');
    expect(missing.status).toBe(401);
    expect(missing.headers.get('www-authenticate')).toBe('Bearer');
    expect(await missing.json()).toEqual({ statusCode: 401, message: 'Unauthorized' });

    const forged = await app.fetch('/guarded', { headers: bearer('nonsense') });
    expect(forged.status).toBe(401);
    expect(forged.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    expect(await forged.json()).toEqual({ statusCode: 401, message: 'Unauthorized' });
    expect((await app.fetch('/open/required')).status).toBe(401);
    expect(await (await app.fetch('/open/flash')).json()).toEqual([]);
  });

  it('an anonymous session passes only where it is allowed', async () => {
    const { token } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    const headers = bearer(token);
    expect((await app.fetch('/guarded', { headers })).status).toBe(401);
    expect(await (await app.fetch('/guarded/anonymous', { headers })).json()).toEqual({
      cart: 'book',
      anonymous: true,
    });
    expect((await app.fetch('/guarded/anonymous')).status).toBe(401);
    const again = (await (await post('/cart', { sku: 'pen' }, headers)).json()) as { token: string };
    expect(again.token).toBe(token);
    expect(await (await app.fetch('/guarded/anonymous', { headers })).json()).toMatchObject({ cart: 'pen' });
  });

  it('what a body calls __proto__ is in no session, not even until it is stored', async () => {
    expect(await (await post('/careless-cart')).json()).toEqual({ admin: false, code: 'DATA_NOT_STORABLE' });
    const { session } = await logIn(app.app, { userId: 'ann' });
    const sessions = app.app.get(SessionService);
    const data = JSON.parse('{"__proto__":{"isAdmin":true}}') as object;
    await expect(sessions.createSession({ data })).rejects.toMatchObject({ code: 'DATA_NOT_STORABLE' });
    Object.assign(session.data, data);
    await expect(sessions.updateSession(session)).rejects.toMatchObject({ code: 'DATA_NOT_STORABLE' });
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it('a cart survives the login, under a new id, and the old one is dead', async () => {
    const { token: before } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    const { token: after } = (await (await post('/login', {}, bearer(before))).json()) as { token: string };
    expect(after.slice(0, 48)).not.toBe(before.slice(0, 48));
    expect(await (await app.fetch('/guarded/anonymous', { headers: bearer(after) })).json()).toEqual({
      cart: 'book',
      anonymous: false,
    });
    expect((await app.fetch('/guarded/anonymous', { headers: bearer(before) })).status).toBe(401);
  });

  it('of two logins at once from one anonymous session, one moves its data, the other is a 409', async () => {
    const { token } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    const create = barrier.stopNext('create');
    const slow = post('/login', { userId: 'racer0' }, bearer(token));
    await create.arrived;
    expect((await post('/login', { userId: 'racer1' }, bearer(token))).status).toBe(200);
    create.letGo();
    const late = await slow;
    expect(late.status).toBe(409);
    expect(await late.json()).toEqual({ statusCode: 409, message: 'Conflict', code: 'CONFLICT' });
    expect((await app.fetch('/guarded/anonymous', { headers: bearer(token) })).status).toBe(401);
    const sessions = app.app.get(SessionService);
    const lists = await atOnce(2, (index) => sessions.listUserSessions(`racer${index}`));
    expect(lists.map(({ length }) => length)).toEqual([0, 1]);
  });

  /** The session that a failed login has left is removed a while later. Other tests count calls. */
  async function removedInBackground(): Promise<void> {
    const before = barrier.calls.delete ?? 0;
    await soon(() => ((barrier.calls.delete ?? 0) > before ? true : undefined));
  }

  it('a login cut off before the old session is deleted leaves the old one, and nothing of the new one', async () => {
    const { token } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    barrier.fail('delete');
    expect((await post('/login', { userId: 'cut' }, bearer(token))).status).toBe(503);
    barrier.heal();
    expect((await app.fetch('/guarded/anonymous', { headers: bearer(token) })).status).toBe(200);
    expect(await app.app.get(SessionService).listUserSessions('cut')).toEqual([]);
    await removedInBackground();
  });

  it('a login cut off before it is activated leaves no usable session', async () => {
    const { token } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    const lastStep = barrier.stopLastStepOfLogin();
    const login = post('/login', { userId: 'cut' }, bearer(token));
    await lastStep.arrived;
    barrier.fail('create');
    lastStep.letGo();
    expect((await login).status).toBe(503);
    barrier.heal();
    expect((await app.fetch('/guarded/anonymous', { headers: bearer(token) })).status).toBe(401);
    expect(await app.app.get(SessionService).listUserSessions('cut')).toEqual([]);
    await removedInBackground();
  });

  it('a login that loses to a log-out everywhere of its user reports the end of the session that it replaced', async () => {
    const { token } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    const ended: unknown[] = [];
    const listening = app.app
      .get(SessionEvents)
      .on('ended')
      .subscribe(({ reason }) => ended.push(reason));
    const lastStep = barrier.stopLastStepOfLogin();
    const login = post('/login', { userId: 'cut' }, bearer(token));
    await lastStep.arrived;
    await app.app.get(SessionService).deleteUserSessions('cut');
    lastStep.letGo();
    expect((await login).status).toBe(409);
    listening.unsubscribe();
    expect(ended).toEqual(['replaced-at-login']);
    expect((await app.fetch('/guarded/anonymous', { headers: bearer(token) })).status).toBe(401);
    await removedInBackground();
  });

  it('a change of the cart that comes in during the login is carried over', async () => {
    const { token } = (await (await post('/cart', { sku: 'book' })).json()) as { token: string };
    const remove = barrier.stopNext('delete');
    const login = post('/login', {}, bearer(token));
    await remove.arrived;
    await post('/cart', { sku: 'two books' }, bearer(token));
    remove.letGo();
    const { token: after } = (await (await login).json()) as { token: string };
    expect(await (await app.fetch('/guarded/anonymous', { headers: bearer(after) })).json()).toMatchObject({
      cart: 'two books',
    });
  });

  it("a login as another user takes nothing of the first one's along", async () => {
    const first = await loggedIn('first');
    const { token } = (await (await post('/login', { userId: 'second' }, first)).json()) as { token: string };
    expect(await (await app.fetch('/guarded/flash', { headers: bearer(token) })).json()).toHaveLength(1);
    expect((await app.fetch('/guarded', { headers: first })).status).toBe(401);
    expect(await app.app.get(SessionService).listUserSessions('first')).toEqual([]);
  });

  it('regeneration hands out the new token, and changes go to the new session', async () => {
    const headers = await loggedIn();
    const response = await post('/elevate', {}, headers);
    const { token } = (await response.json()) as { token: string };
    expect(response.headers.get('x-session-token')).toBe(token);
    expect((await app.fetch('/guarded', { headers })).status).toBe(401);
    expect(await (await app.fetch('/guarded', { headers: bearer(token) })).json()).toMatchObject({
      data: { elevated: true },
    });
  });

  it('a guard of the application that calls ours works, and changes are stored without an interceptor', async () => {
    const headers = await loggedIn();
    expect((await app.fetch('/own')).status).toBe(401);
    expect(await (await app.fetch('/own', { headers })).json()).toEqual({ n: 1 });
    expect(await (await app.fetch('/own', { headers })).json()).toEqual({ n: 2 });
  });

  it('a route that was not told that it has a session can log in', async () => {
    const response = await post('/forgotten-decorator');
    expect(response.status).toBe(201);
    const { token } = (await response.json()) as { token: string };
    expect((await app.fetch('/guarded', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it('says what is missing where the response of a request is not known', async () => {
    const error: unknown = await app.app
      .get(SessionService)
      .login({ headers: {}, rawHeaders: [] }, { userId: 'x' })
      .catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringMatching('ExecutionContext') });
  });

  describe('the budget of store calls', () => {
    async function callsOf(path: string, headers: Record<string, string> = {}): Promise<number> {
      const before = barrier.total;
      await (await app.fetch(path, { headers })).text();
      return barrier.total - before;
    }

    it('one for a signed-in read, however many decorators there are', async () => {
      const headers = await loggedIn();
      expect(await callsOf('/guarded', headers)).toBe(1);
      expect(await callsOf('/open', headers)).toBe(1);
    });

    it('none for a route that uses no session, a 404, a missing, malformed or forged token', async () => {
      const headers = await loggedIn();
      const forged = { authorization: headers.authorization.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')) };
      expect(await callsOf('/open/unused', headers)).toBe(0);
      expect(await callsOf('/nowhere', headers)).toBe(0);
      expect(await callsOf('/guarded')).toBe(0);
      expect(await callsOf('/guarded', bearer('x'.repeat(8000)))).toBe(0);
      expect(await callsOf('/guarded', forged)).toBe(0);
    });

    it('one more only when a touch or a renewal is due', async () => {
      const headers = await loggedIn();
      app.clock.advanceSeconds(59);
      expect(await callsOf('/guarded', headers)).toBe(1);
      app.clock.advanceSeconds(1);
      expect(await callsOf('/guarded', headers)).toBe(2);
      expect(await callsOf('/guarded', headers)).toBe(1);
      app.clock.advanceSeconds(1740);
      expect(await callsOf('/guarded', headers)).toBe(2);
      expect(await callsOf('/guarded', headers)).toBe(1);
    });

    it('three for the exchange of an anonymous session, one for a plain login', async () => {
      const { token } = (await (await post('/cart', { sku: 'x' })).json()) as { token: string };
      const before = barrier.total;
      await logIn(app.app, { userId: 'plain' });
      expect(barrier.total - before).toBe(1);
      await post('/login', {}, bearer(token));
      // The read, the three steps, and the commit of the flash message.
      expect(barrier.total - before - 1).toBe(5);
    });
  });

  it('hands 20 parallel readers of one flash message exactly one', async () => {
    const headers = await loggedIn();
    const taken = await atOnce(
      20,
      async () => (await app.fetch('/guarded/flash', { headers })).json() as Promise<unknown[]>,
    );
    expect(taken.flat()).toHaveLength(1);
  });

  it('keeps the keys of 50 parallel requests that each set their own', async () => {
    const { token } = (await (await post('/cart', { sku: 'start' })).json()) as { token: string };
    await atOnce(50, (index) => post('/cart', { sku: `number ${index}` }, bearer(token)));
    expect((await app.fetch('/guarded/anonymous', { headers: bearer(token) })).status).toBe(200);
  });
});

@Module({})
class MiddlewareModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply((_request: unknown, _response: unknown, next: () => void) => next()).forRoutes('*path');
  }
}

@Controller()
class PublicController {
  @Public()
  @Get('public')
  public(): string {
    return 'public';
  }

  @Get('private')
  private(): string {
    return 'private';
  }
}

describe.each(PLATFORMS)('the guard for all routes, on %s', (platform) => {
  it('as APP_GUARD: @Public() opens a route', async () => {
    const app = await startApp({
      platform,
      imports: [MiddlewareModule],
      controllers: [PublicController],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    expect((await app.fetch('/public')).status).toBe(200);
    expect((await app.fetch('/private')).status).toBe(401);
    expect((await app.fetch('/private', { headers })).status).toBe(200);
    await app.close();
  });

  it('by useGlobalGuards', async () => {
    const app = await startApp({
      platform,
      controllers: [PublicController],
      configure: (nest) => {
        nest.useGlobalGuards(new SessionGuard(nest.get(SessionService), nest.get(Reflector)));
      },
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    expect((await app.fetch('/public')).status).toBe(200);
    expect((await app.fetch('/private')).status).toBe(401);
    expect((await app.fetch('/private', { headers })).status).toBe(200);
    await app.close();
  });

  it('a spelling of the path that reaches a route does not go round the guard', async () => {
    const app = await startApp({
      platform,
      controllers: [PublicController],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    });
    for (const path of [
      '/private/',
      '//private',
      '/PRIVATE',
      '/%70rivate',
      '/private;x',
      '/./private',
      '/public/../private',
    ])
      expect([401, 404]).toContain((await app.fetch(path)).status);
    await app.close();
  });

  it('two applications of one process, with one controller class, key and prefix, keep apart', async () => {
    const apps = await Promise.all(
      Array.from({ length: 2 }, () => startApp({ platform, controllers: [GuardedController, OpenController] })),
    );
    const reasons = apps.map(({ app }) => {
      const reasons: string[] = [];
      app
        .get(SessionEvents)
        .on('rejected')
        .subscribe(({ reason }) => reasons.push(reason));
      return reasons;
    });
    const users = await Promise.all(apps.map(({ app }, index) => logIn(app, { userId: `user of ${index}` })));
    for (const [here, { fetch }] of apps.entries()) {
      for (const [there, { headers }] of users.entries()) {
        const [guarded, intercepted] = await Promise.all([
          fetch('/guarded/user', { headers }),
          fetch('/open/interceptor', { headers }),
        ]);
        expect(guarded.status).toBe(here === there ? 200 : 401);
        expect(await intercepted.text()).toBe(here === there ? `user of ${here}` : 'guest');
      }
    }
    expect(reasons).toEqual(apps.map(() => ['SESSION_NOT_FOUND', 'SESSION_NOT_FOUND']));
    await Promise.all(apps.map((app) => app.close()));
  });

  it("two applications with one key, and prefixes of their own, do not take each other's tokens", async () => {
    const apps = await Promise.all(
      ['a:', 'b:'].map((backendKeyPrefix) =>
        startApp({ platform, controllers: [GuardedController], session: { backendKeyPrefix } }),
      ),
    );
    const { headers } = await logIn(apps[0]!.app, { userId: 'ann' });
    expect((await apps[0]!.fetch('/guarded/user', { headers })).status).toBe(200);
    expect((await apps[1]!.fetch('/guarded/user', { headers })).status).toBe(401);
    await Promise.all(apps.map((app) => app.close()));
  });
});
