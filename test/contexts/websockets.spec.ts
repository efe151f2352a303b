import { afterEach, describe, expect, it, jest } from '@jest/globals';
import {
  createParamDecorator,
  Logger,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { WsAdapter } from '@nestjs/platform-ws';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  CurrentSession,
  CurrentUser,
  MemoryBackend,
  OptionalSession,
  SessionGuard,
  SessionService,
  type Session,
  type SessionModuleOptions,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import { setImmediate as turn } from 'node:timers/promises';
import { catchError, concatMap, map, of, range, tap, type Observable } from 'rxjs';

import { PLATFORMS, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { LogLines } from '../support/log-lines.js';
import { soon } from '../support/soon.js';
import { openSocket, LIBRARIES, type Library, type TestSocket, useSockets } from './sockets.js';

@WebSocketGateway()
class Chat {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @SubscribeMessage('whoami')
  whoAmI(@CurrentUser() user: SessionUser): { event: string; data: string } {
    return { event: 'you', data: user.userId };
  }

  @SubscribeMessage('maybe')
  maybe(@OptionalSession() session: Session | null): { event: string; data: string | null } {
    return { event: 'maybe', data: session?.user?.userId ?? null };
  }

  @UseGuards(SessionGuard)
  @SubscribeMessage('set')
  set(@CurrentSession() session: Session, @MessageBody() key: string): { event: string; data: string } {
    (session.data as Record<string, unknown>)[key] = true;
    return { event: 'stored', data: key };
  }

  @SubscribeMessage('login')
  async login(@ConnectedSocket() client: object): Promise<{ event: string; data: string | null }> {
    const { token } = await this.sessions.login(client, { userId: 'ann' });
    return { event: 'token', data: token };
  }

  @SubscribeMessage('logout')
  async logout(@ConnectedSocket() client: object): Promise<{ event: string; data: boolean }> {
    return { event: 'bye', data: await this.sessions.logout(client) };
  }
}

const CASES = PLATFORMS.flatMap((platform) => LIBRARIES.map((library) => ({ platform, library })));

describe.each(CASES)('A gateway of $library on $platform', ({ platform, library }) => {
  let app: AppUnderTest;
  let sockets: TestSocket[] = [];

  async function start(on: Platform, by: Library, session?: Partial<SessionModuleOptions>): Promise<void> {
    app = await startApp({
      platform: on,
      controllers: [],
      providers: [Chat],
      ...(session === undefined ? {} : { session }),
      configure: (nest: INestApplication) => {
        useSockets(nest, by);
      },
    });
  }

  async function open(headers: Readonly<Record<string, string>> = {}): Promise<TestSocket> {
    const socket = await openSocket(library, app.url, headers);
    sockets.push(socket);
    return socket;
  }

  afterEach(async () => {
    for (const socket of sockets) socket.close();
    sockets = [];
    await app.close();
  });

  it('gives handlers the user of the session', async () => {
    await start(platform, library);
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const socket = await open(headers);
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
  });

  it('refuses a message without a session, in words that tell no reason, and keeps the socket', async () => {
    await start(platform, library);
    const socket = await open();
    expect(await socket.ask('whoami', null)).toEqual({
      event: 'exception',
      data: { status: 'error', code: 'UNAUTHENTICATED', statusCode: 401, message: 'Unauthorized' },
    });
    expect(await socket.ask('maybe', 1)).toEqual({ event: 'maybe', data: null });
  });

  it('stores what each of many messages at once has changed', async () => {
    await start(platform, library);
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const socket = await open(headers);
    const keys = Array.from({ length: 50 }, (_, index) => `k${index}`);
    const stored = await Promise.all(keys.map((key) => socket.ask('set', key, key)));
    expect(stored).toHaveLength(50);
    const { data } = await app.app.get(SessionService).update(session.sessionId, () => undefined);
    expect(Object.keys(data).sort()).toEqual([...keys].sort());
  });

  it('signs a connection in and out', async () => {
    await start(platform, library);
    const socket = await open();
    const { data: token } = await socket.ask('login', null);
    expect(await app.app.get(SessionService).getSession(String(token))).toBeDefined();
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
    expect(await socket.ask('logout', null)).toEqual({ event: 'bye', data: true });
    expect(await socket.ask('whoami', null)).toMatchObject({ event: 'exception' });
  });
});

const BUDGET_MS = 10_000;
const REPLIES = 10;

/** Turns what a handler fails by into a reply. */
class Explains implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(catchError((error: Error) => of({ event: 'explained', data: error.name })));
  }
}

describe.each(LIBRARIES)('the handler of a message by %s', (library) => {
  let passedMs = 0;
  let sessions: SessionService;
  const apps: AppUnderTest[] = [];
  const sockets: TestSocket[] = [];

  /** By whose clock each write takes more than half of a budget. */
  class SlowBackend extends MemoryBackend {
    override replace(...args: Parameters<MemoryBackend['replace']>): ReturnType<MemoryBackend['replace']> {
      passedMs += 0.6 * BUDGET_MS;
      return super.replace(...args);
    }
  }

  const OwnSession = createParamDecorator((_: unknown, context: ExecutionContext) => sessions.require(context));

  function counting(session: Session): Observable<unknown> {
    return range(1, REPLIES).pipe(
      concatMap((count) => turn(count)),
      tap((count) => (session.data.count = count)),
      map((count) => ({ event: 'count', data: count })),
    );
  }

  @UseInterceptors(Explains)
  @WebSocketGateway()
  class Gateway {
    constructor(private readonly sessions: SessionService) {}

    @SubscribeMessage('maybe')
    maybe(@OptionalSession('user') user: SessionUser | null) {
      return { event: 'maybe', data: user?.userId ?? null };
    }

    @SubscribeMessage('set')
    set(@CurrentSession() session: Session) {
      session.data.isSet = true;
      return { event: 'set', data: true };
    }

    @SubscribeMessage('own')
    own(@OwnSession() session: Session) {
      session.data.own = 'stored';
      return { event: 'own', data: session.user?.userId };
    }

    @SubscribeMessage('counts')
    counts(@CurrentSession() session: Session) {
      return counting(session);
    }

    @SubscribeMessage('counts-by-socket')
    async countsBySocket(@ConnectedSocket() client: object) {
      return counting(await this.sessions.require(client));
    }
  }

  async function signedIn(userId: string, session: Partial<SessionModuleOptions> = {}) {
    const app = await startApp({
      controllers: [],
      providers: [Gateway],
      session,
      configure: (nest) => {
        useSockets(nest, library);
      },
    });
    apps.push(app);
    sessions = app.app.get(SessionService);
    const { headers, token } = await logIn(app.app, { userId });
    const socket = await openSocket(library, app.url, headers);
    sockets.push(socket);
    return { socket, token };
  }

  afterEach(async () => {
    jest.restoreAllMocks();
    for (const socket of sockets.splice(0)) socket.close();
    await Promise.all(apps.splice(0).map((app) => app.close()));
  });

  it('gets the session of its own application where several of one process have its gateway', async () => {
    const { socket: one } = await signedIn('ann');
    const { socket: two } = await signedIn('bob');
    expect([await one.ask('maybe', null), await two.ask('maybe', null)]).toEqual([
      { event: 'maybe', data: 'ann' },
      { event: 'maybe', data: 'bob' },
    ]);
  });

  it('has what it changed in a session stored that a decorator of the application got', async () => {
    const { socket, token } = await signedIn('ann');
    expect(await socket.ask('own', null)).toEqual({ event: 'own', data: 'ann' });
    expect((await sessions.getSession(token)).data).toEqual({ own: 'stored' });
  });

  it.each(['counts', 'counts-by-socket'])(
    'has the change of each of many replies stored within a budget of its own (%s)',
    async (event) => {
      const now = performance.now.bind(performance);
      jest.spyOn(performance, 'now').mockImplementation(() => now() + passedMs);
      const { socket } = await signedIn('ann', { backend: new SlowBackend(), backendTimeout: BUDGET_MS });
      void socket.ask(event, null);
      const last = await soon(() => socket.events.find(({ data }) => typeof data !== 'number' || data === REPLIES));
      expect(last).toEqual({ event: 'count', data: REPLIES });
    },
  );

  it('fails for the interceptors of its gateway too when what it changed cannot be stored', async () => {
    const store = new BarrierBackend(new MemoryBackend());
    const { socket } = await signedIn('ann', { backend: store.backend });
    store.fail('replace');
    expect(await socket.ask('set', null)).toEqual({ event: 'explained', data: 'SessionBackendError' });
  });
});

describe("a gateway behind Nest's WsAdapter", () => {
  @WebSocketGateway()
  class Entrance {
    constructor(private readonly sessions: SessionService) {}

    async handleConnection(socket: object): Promise<void> {
      await this.sessions.requireUser(socket);
    }
  }

  it('is told which adapter keeps the request of a connection', async () => {
    const app = await startApp({
      controllers: [],
      providers: [Entrance],
      configure: (nest) => {
        nest.useWebSocketAdapter(new WsAdapter(nest));
      },
    });
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const socket = await openSocket('ws', app.url, headers);
    expect(await socket.closed).toBe(4500);
    expect(String(error.mock.calls[0]?.[0])).toMatch(/SessionWsAdapter.*nestjs-sessionx\/ws/);
    error.mockRestore();
    await app.close();
  });
});

describe('a change of the session of a connection that nothing stores', () => {
  @WebSocketGateway()
  class Late {
    constructor(private readonly sessions: SessionService) {}

    async handleConnection(socket: object): Promise<void> {
      const session = await this.sessions.require(socket);
      session.data.opened = true;
    }
  }

  it('is told, as of handleConnection()', async () => {
    const app = await startApp({
      controllers: [],
      providers: [Late],
      configure: (nest) => {
        useSockets(nest, 'ws');
      },
    });
    const log = new LogLines();
    app.app.useLogger(log);
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const socket = await openSocket('ws', app.url, headers);
    await soon(() => log.of('warn').find((line) => line.includes('A connection: its session was changed outside')));
    socket.close();
    await app.close();
  });
});
