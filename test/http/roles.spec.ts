import { afterEach, describe, expect, it } from '@jest/globals';
import {
  All,
  applyDecorators,
  Controller,
  Get,
  HttpCode,
  Injectable,
  Module,
  UseGuards,
  type DynamicModule,
  type Type,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  AllowAnonymous,
  MemoryBackend,
  Public,
  RequirePermissions,
  RequireRoles,
  SessionEvents,
  SessionGuard,
  SessionModule,
  SessionService,
  SessionUsageError,
  type NewSessionUser,
  type Session,
  type SessionEvent,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const TTL_SECONDS = 3600;
const ADMIN = { userId: 'ann', roles: ['admin', 'user'] };
const EDITOR = { userId: 'eve', roles: ['editor'] };
const BOB = { userId: 'bob' };
const OWN = { 'sec-fetch-site': 'same-origin' };
const FOREIGN = { 'sec-fetch-site': 'cross-site' };

const transports: Readonly<Record<'bearer' | 'cookie', (token: string) => object>> = {
  bearer: (token: string) => ({ authorization: `Bearer ${token}` }),
  cookie: (token: string) => ({ cookie: `__Host-session=${token}`, ...OWN }),
};

/** Lets every request pass. */
@Injectable()
class OpenGuard extends SessionGuard {
  protected override isPublic(): boolean {
    return true;
  }
}

/** Lets requests pass that have no session. */
@Injectable()
class GuestGuard extends SessionGuard {
  protected override handleRefusal(): boolean {
    return true;
  }
}

/** Each route requires the role `admin`, and is marked in another way. */
@Controller('admin')
class AdminController {
  @RequireRoles('admin')
  @All('alone')
  @HttpCode(200)
  alone() {
    return 'ok';
  }

  @All('below-route')
  @HttpCode(200)
  @RequireRoles('admin')
  belowRoute() {
    return 'ok';
  }

  @RequireRoles('admin')
  @UseGuards(SessionGuard)
  @All('above-guard')
  @HttpCode(200)
  aboveGuard() {
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @RequireRoles('admin')
  @All('below-guard')
  @HttpCode(200)
  belowGuard() {
    return 'ok';
  }

  @RequireRoles('admin')
  @UseGuards(OpenGuard)
  @All('open-guard')
  @HttpCode(200)
  openGuard() {
    return 'ok';
  }

  @Public()
  @RequireRoles('admin')
  @All('public')
  @HttpCode(200)
  public() {
    return 'ok';
  }

  @RequireRoles('admin')
  @AllowAnonymous()
  @All('anonymous')
  @HttpCode(200)
  anonymous() {
    return 'ok';
  }

  @applyDecorators(RequireRoles('admin'), UseGuards(SessionGuard))
  @All('composed')
  @HttpCode(200)
  composed() {
    return 'ok';
  }

  @RequireRoles('admin', 'support')
  @All('one-of')
  @HttpCode(200)
  oneOf() {
    return 'ok';
  }
}

@RequireRoles('admin')
@Public()
@Controller('class')
class MarkedController {
  @All('alone')
  @HttpCode(200)
  alone() {
    return 'ok';
  }

  @Public()
  @All('public')
  @HttpCode(200)
  public() {
    return 'ok';
  }

  @AllowAnonymous()
  @All('anonymous')
  @HttpCode(200)
  anonymous() {
    return 'ok';
  }
}

@Controller('child')
class ChildController extends MarkedController {
  @All('own')
  @HttpCode(200)
  own() {
    return 'ok';
  }
}

@Controller('inherited')
class InheritingController extends AdminController {}

const PATHS = [
  ...[
    'alone',
    'below-route',
    'above-guard',
    'below-guard',
    'open-guard',
    'public',
    'anonymous',
    'composed',
    'one-of',
  ].map((path) => `/admin/${path}`),
  ...['alone', 'public', 'anonymous'].map((path) => `/class/${path}`),
  ...['alone', 'public', 'own'].map((path) => `/child/${path}`),
  '/inherited/alone',
  '/inherited/public',
];

@RequireRoles('admin')
@Controller('mixed')
class MixedController {
  @Get('of-class')
  ofClass() {
    return 'ok';
  }

  @RequireRoles('editor')
  @Get('in-place')
  inPlace() {
    return 'ok';
  }

  @RequirePermissions('orders:read', 'orders:write')
  @Get('both-kinds')
  bothKinds() {
    return 'ok';
  }
}

@RequirePermissions('orders:read')
@Controller('mixed-child')
class MixedChildController extends MixedController {}

@RequireRoles('editor')
@Controller('replaced')
class ReplacingController extends MixedController {}

@Controller()
class OtherController {
  @RequirePermissions('orders:read', 'orders:write')
  @Get('all-of')
  allOf() {
    return 'ok';
  }

  @RequireRoles('admin', 'user')
  @RequireRoles('editor', 'admin')
  @Get('twice')
  twice() {
    return 'ok';
  }

  @RequirePermissions('orders:read')
  @RequirePermissions('orders:write')
  @Get('permissions-twice')
  permissionsTwice() {
    return 'ok';
  }

  @Public()
  @Get('unmarked')
  unmarked() {
    return 'ok';
  }
}

const CONTROLLERS = [
  AdminController,
  MarkedController,
  ChildController,
  InheritingController,
  MixedController,
  MixedChildController,
  ReplacingController,
  OtherController,
];

describe.each(PLATFORMS)('roles and permissions, on %s', (platform) => {
  let app: AppUnderTest;
  let store: BarrierBackend;
  let events: SessionEvent[];

  afterEach(() => app.close());

  async function start(guards: Type[] = [], controllers: Type[] = CONTROLLERS): Promise<SessionService> {
    store = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform: platform,
      controllers,
      providers: guards.map((useClass) => ({ provide: APP_GUARD, useClass })),
      session: { tokenSourcePriority: ['bearer', 'cookie'], sessionTtl: TTL_SECONDS, backend: store.backend },
    });
    events = [];
    app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
    return app.app.get(SessionService);
  }

  const tokenOf = async (user: NewSessionUser | null) =>
    (await app.app.get(SessionService).createSession({ user })).token;
  const send = (path: string, headers: object = {}, method = 'GET') =>
    app.fetch(path, { headers: { ...headers }, method });
  const statusOf = async (path: string, headers: object = {}, method = 'GET') =>
    (await send(path, headers, method)).status;

  const guards = { 'no other guard': [], SessionGuard: [SessionGuard], 'one that is open': [OpenGuard] };
  const setups = Object.entries(guards).flatMap(([name, types]) =>
    Object.entries(transports).map(([transport, headersOf]) => ({ name, types, transport, headersOf })),
  );

  it.each(setups)(
    '401 without a user, 403 without the role, with $name and by $transport',
    async ({ types, headersOf }) => {
      await start(types);
      const [forged, visitor, bob, ann] = ['forged', await tokenOf(null), await tokenOf(BOB), await tokenOf(ADMIN)].map(
        headersOf,
      );
      for (const path of PATHS) {
        for (const method of ['GET', 'HEAD', 'POST']) {
          const statuses = [];
          for (const headers of [undefined, forged, visitor, bob, ann])
            statuses.push(await statusOf(path, headers, method));
          expect([path, method, ...statuses]).toEqual([path, method, 401, 401, 401, 403, 200]);
        }
      }
    },
  );

  it('401 without a session where a guard of the application lets guests pass', async () => {
    await start([GuestGuard]);
    for (const path of PATHS) expect([path, await statusOf(path)]).toEqual([path, 401]);
  });

  it('a client is told a code, and nothing of the roles', async () => {
    await start();
    const bob = transports.bearer(await tokenOf(BOB));
    const body = async (path: string) => (await send(path, bob)).json();
    expect(await body('/admin/alone')).toEqual({ statusCode: 403, message: 'Forbidden', code: 'ROLE_MISSING' });
    expect(await body('/all-of')).toEqual({ statusCode: 403, message: 'Forbidden', code: 'PERMISSION_MISSING' });
    expect((await send('/admin/alone', bob)).headers.get('www-authenticate')).toBeNull();
  });

  it('each refusal is one event', async () => {
    const sessions = await start([SessionGuard]);
    const { session, token } = await sessions.createSession({ user: BOB });
    const { session: visitor, token: visitorToken } = await sessions.createSession();
    events.length = 0;
    for (const headers of [{}, transports.bearer(visitorToken), transports.bearer(token)]) {
      await send('/class/alone', headers);
    }
    await send('/all-of', transports.bearer(token));
    expect(events).toMatchObject([
      { type: 'rejected', reason: 'TOKEN_MISSING', sessionId: null },
      { type: 'rejected', reason: 'SESSION_ANONYMOUS', sessionId: visitor.sessionId },
      { type: 'rejected', reason: 'ROLE_MISSING', sessionId: session.sessionId, ipAddress: '127.0.0.1' },
      { type: 'rejected', reason: 'PERMISSION_MISSING', sessionId: session.sessionId, ipAddress: '127.0.0.1' },
    ]);
  });

  it('of roles one is enough, of permissions all are needed', async () => {
    await start();
    const userWith = async (permissions: string[]) => transports.bearer(await tokenOf({ userId: 'u', permissions }));
    expect(await statusOf('/all-of', await userWith(['orders:read']))).toBe(403);
    expect(await statusOf('/all-of', await userWith(['orders:*']))).toBe(403);
    expect(await statusOf('/all-of', await userWith(['x', 'orders:write', 'orders:read']))).toBe(200);
    const support = transports.bearer(await tokenOf({ userId: 's', roles: ['support'] }));
    expect([await statusOf('/admin/one-of', support), await statusOf('/admin/alone', support)]).toEqual([200, 403]);
  });

  it.each([['Admin'], ['admin '], ['admins'], ['adm'], ['admin,user'], ['']])(
    'a name is compared exactly: "%s" is not "admin"',
    async (role) => {
      await start();
      expect(await statusOf('/admin/alone', transports.bearer(await tokenOf({ userId: 'u', roles: [role] })))).toBe(
        403,
      );
    },
  );

  it('on a handler they are in place of those of the class, and other kinds stay', async () => {
    await start();
    const [ann, eve] = [transports.bearer(await tokenOf(ADMIN)), transports.bearer(await tokenOf(EDITOR))];
    const both = async (path: string) => [await statusOf(path, ann), await statusOf(path, eve)];
    expect(await both('/mixed/of-class')).toEqual([200, 403]);
    expect(await both('/mixed/in-place')).toEqual([403, 200]);
    const permissions = ['orders:read', 'orders:write'];
    const clerk = transports.bearer(await tokenOf({ userId: 'c', permissions }));
    const chief = transports.bearer(await tokenOf({ ...ADMIN, permissions }));
    expect(await both('/mixed/both-kinds')).toEqual([403, 403]);
    expect([await statusOf('/mixed/both-kinds', clerk), await statusOf('/mixed/both-kinds', chief)]).toEqual([
      403, 200,
    ]);
  });

  it('a subclass keeps those of its parent, until it has some of the same kind', async () => {
    await start();
    const statuses = async (path: string, ...users: NewSessionUser[]) =>
      Promise.all(users.map(async (user) => statusOf(path, transports.bearer(await tokenOf(user)))));
    const reader = { ...ADMIN, permissions: ['orders:read'] };
    const clerk = { ...EDITOR, permissions: ['orders:read'] };
    expect(await statuses('/mixed-child/of-class', ADMIN, clerk, reader)).toEqual([403, 403, 200]);
    expect(await statuses('/replaced/of-class', ADMIN, EDITOR)).toEqual([403, 200]);
    expect(await statuses('/mixed/of-class', ADMIN, EDITOR)).toEqual([200, 403]);
  });

  it('two of a kind on one target must both hold', async () => {
    await start();
    const statuses = async (path: string, ...users: NewSessionUser[]) =>
      Promise.all(users.map(async (user) => statusOf(path, transports.bearer(await tokenOf(user)))));
    expect(await statuses('/twice', EDITOR, { userId: 'u', roles: ['user'] }, ADMIN)).toEqual([403, 403, 200]);
    const users = [['orders:read'], ['orders:write'], ['orders:read', 'orders:write']];
    expect(await statuses('/permissions-twice', ...users.map((permissions) => ({ userId: 'u', permissions })))).toEqual(
      [403, 403, 200],
    );
  });

  it('the session is read once, and that of another route of the application never', async () => {
    await start([SessionGuard]);
    const ann = transports.bearer(await tokenOf(ADMIN));
    for (const [path, reads] of [
      ['/admin/alone', 1],
      ['/class/alone', 1],
      ['/admin/public', 1],
      ['/unmarked', 0],
    ] as const) {
      const before = store.total;
      expect([path, await statusOf(path, ann)]).toEqual([path, 200]);
      expect([path, store.total - before]).toEqual([path, reads]);
    }
  });

  it('the session is renewed once, and its token goes out once', async () => {
    await start([SessionGuard]);
    const ann = transports.cookie(await tokenOf(ADMIN));
    app.clock.advanceSeconds(TTL_SECONDS * 0.6);
    const response = await send('/class/alone', ann);
    expect([response.status, response.headers.getSetCookie().length, store.calls.touch]).toEqual([200, 1, 1]);
  });

  it.each(Object.entries(transports))('503 where the store fails, never in, by %s', async (_, headersOf) => {
    await start();
    const ann = headersOf(await tokenOf(ADMIN));
    store.fail('read');
    for (const path of PATHS) expect([path, await statusOf(path, ann)]).toEqual([path, 503]);
    store.heal();
    expect(await statusOf('/admin/alone', ann)).toBe(200);
  });

  it('another site is refused before the session is read', async () => {
    await start();
    const ann = transports.cookie(await tokenOf(ADMIN));
    const before = store.total;
    const response = await send('/admin/public', { ...ann, ...FOREIGN }, 'POST');
    expect([response.status, store.total - before]).toEqual([403, 0]);
    expect(await response.json()).toMatchObject({ code: 'CSRF_CROSS_SITE' });
  });

  it('a log-out everywhere, and a change of the roles, take effect at once', async () => {
    const sessions = await start();
    const { session, token } = await sessions.createSession({ user: BOB });
    const bob = transports.bearer(token);
    await sessions.update(session, ({ user }) => void user!.roles.push('admin'));
    expect(await statusOf('/admin/alone', bob)).toBe(200);
    await sessions.update(session, ({ user }) => void user!.roles.pop());
    expect(await statusOf('/admin/alone', bob)).toBe(403);
    await sessions.deleteUserSessions('bob');
    expect(await statusOf('/admin/alone', bob)).toBe(401);
  });

  it.each([
    ['roles that a guard before has read anew', ['admin'], 200],
    ['none that a guard before has left', [], 403],
    ['a text in place of a list', 'admin', 403],
    ['nothing in place of a list', undefined, 403],
  ])('counts %s', async (_what, roles, status) => {
    @Injectable()
    class RolesOfToday extends SessionGuard {
      protected override handleSession(session: Session): boolean {
        const user = session.user as { roles: unknown } | null;
        if (user !== null) user.roles = roles;
        return true;
      }
    }
    await start([RolesOfToday]);
    // What is no list cannot be stored, and the response is an error already.
    expect(await statusOf('/admin/alone', transports.bearer(await tokenOf(BOB)))).toBe(status);
  });
});

describe('a decorator that is used in a wrong way', () => {
  const wrong: [what: string, args: unknown[]][] = [
    ['nothing', []],
    ['an empty text', ['']],
    ['a text of spaces', [' ']],
    ['an array', [['admin']]],
    ['an array beside a text', ['admin', ['user']]],
    ['a number', [7]],
    ['null', [null]],
    ['undefined, as a name of an enum that does not exist', [undefined]],
    ['an object', [{ roles: ['admin'] }]],
  ];

  it.each(wrong)('with %s is a usage error when the class is loaded', (_, args) => {
    for (const decorator of [RequireRoles, RequirePermissions]) {
      expect(() => decorator(...(args as string[]))).toThrow(SessionUsageError);
    }
  });

  it('without parentheses is one too', () => {
    const onClass = RequireRoles as unknown as ClassDecorator;
    const onMethod = RequireRoles as unknown as MethodDecorator;
    expect(() => {
      @onClass
      class Wrong {}
      return Wrong;
    }).toThrow(SessionUsageError);
    expect(() => {
      class Wrong {
        @onMethod
        route() {
          return 'ok';
        }
      }
      return Wrong;
    }).toThrow(SessionUsageError);
  });

  it('on what is no handler is one too', () => {
    const apply = (...args: unknown[]): unknown => Reflect.apply(RequireRoles('admin'), undefined, args);
    class Wrong {
      static route() {
        return 'ok';
      }

      get value() {
        return Math.random();
      }
    }
    expect(() => apply(Wrong.prototype, 'field')).toThrow(SessionUsageError);
    expect(() => apply(Wrong.prototype, 'value', Object.getOwnPropertyDescriptor(Wrong.prototype, 'value'))).toThrow(
      SessionUsageError,
    );
    expect(() => apply(Wrong, 'route', Object.getOwnPropertyDescriptor(Wrong, 'route'))).toThrow(SessionUsageError);
    expect(() => apply(Wrong.prototype, 'route', 0)).toThrow(SessionUsageError);
  });
});

describe('where SessionModule is not global', () => {
  @Module({ controllers: [AdminController] })
  class AdminModule {}

  const start = (imports: object[]) =>
    Test.createTestingModule({
      imports: [{ module: AdminModule, imports }] as DynamicModule[],
    }).compile();
  const sessionModule = () => SessionModule.forRoot({ secretKey: SECRET_KEY, isGlobal: false });

  it('a module that imports it can use the decorators', async () => {
    const nest = (await start([sessionModule()])).createNestApplication();
    await nest.listen(0, '127.0.0.1');
    const { headers } = await logIn(nest, ADMIN);
    const statusOf = async (init = {}) => (await fetch(`${await nest.getUrl()}/admin/alone`, init)).status;
    expect([await statusOf(), await statusOf({ headers })]).toEqual([401, 200]);
    await nest.close();
  });

  it('the application does not start with a module that uses them without it', async () => {
    await expect(start([])).rejects.toThrow('RequirementsGuard');
  });
});

describe('a decorator above that replaces the method', () => {
  const wrapped =
    (keepsMetadata: boolean): MethodDecorator =>
    (_target, _key, descriptor: PropertyDescriptor) => {
      const method = descriptor.value as (...args: unknown[]) => unknown;
      function replacement(this: unknown, ...args: unknown[]): unknown {
        return method.apply(this, args);
      }
      if (keepsMetadata) {
        for (const key of Reflect.getMetadataKeys(method)) {
          Reflect.defineMetadata(key, Reflect.getMetadata(key, method), replacement);
        }
      }
      descriptor.value = replacement;
    };

  function controllerWith(keepsMetadata: boolean): Type {
    @Controller()
    class WrappedController {
      @Get('wrapped')
      @wrapped(keepsMetadata)
      @RequireRoles('admin')
      wrapped() {
        return 'ok';
      }
    }
    @Controller()
    class Child extends WrappedController {}
    return Child;
  }

  it('and loses what it requires stops the application', async () => {
    await expect(startApp({ controllers: [controllerWith(false)] })).rejects.toThrow(
      'WrappedController.wrapped() has lost what it requires',
    );
  });

  it('and keeps it does no harm', async () => {
    const app = await startApp({ controllers: [controllerWith(true)] });
    expect((await app.fetch('/wrapped')).status).toBe(401);
    await app.close();
  });
});
