import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Inject,
  Injectable,
  Scope,
  UseFilters,
  UseGuards,
  UsePipes,
  ValidationPipe,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';
import { Ack, ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  AllowAnonymous,
  CurrentSession,
  CurrentUser,
  EndsWithSession,
  FlashMessages,
  MemoryBackend,
  OneTime,
  OptionalSession,
  Public,
  RequireFresh,
  RequireRoles,
  SessionEvents,
  SessionForbiddenError,
  SessionGuard,
  SessionService,
  type NewSessionUser,
  type Session,
  type SessionData,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import { EventEmitter, once } from 'node:events';
import { concat, defer, EMPTY, NEVER, of } from 'rxjs';
import { io, type Socket } from 'socket.io-client';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { soon } from '../support/soon.js';
import { LIBRARIES, openSocket, type Library, type SocketOptions, type TestSocket, useSockets } from './sockets.js';

@Injectable()
class NamedGuard extends SessionGuard {
  protected override handleSession(session: Session): boolean {
    session.data.passed = true;
    return session.user?.userId !== 'banned';
  }
}

@Catch(SessionForbiddenError)
class OwnFilter implements ExceptionFilter {
  catch(_: SessionForbiddenError, host: ArgumentsHost): void {
    const client: { send?: (text: string) => void; emit: (event: string, data: unknown) => void } = host
      .switchToWs()
      .getClient();
    const isWs = 'readyState' in client;
    if (isWs) client.send?.(JSON.stringify({ event: 'own', data: 403 }));
    else client.emit('own', 403);
  }
}

const where = (library: Library, path: string) => (library === 'ws' ? { path } : { namespace: path });

function gatewaysOf(library: Library) {
  @WebSocketGateway(where(library, '/messages'))
  @UseGuards(NamedGuard)
  class Messages {
    static readonly seen: string[] = [];
    /** Let the handlers go on that wait. */
    static readonly signals = new EventEmitter();

    constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

    async handleConnection(client: object) {
      const session = await this.sessions.current(client);
      Messages.seen.push(`+${session?.user?.userId}`);
    }

    async handleDisconnect(client: object) {
      const session = await this.sessions.current(client);
      Messages.seen.push(`-${session?.user?.userId}`);
    }

    @Public()
    @SubscribeMessage('maybe')
    maybe(@OptionalSession('user') user: SessionUser | null) {
      return { event: 'maybe', data: user?.userId ?? null };
    }

    @AllowAnonymous()
    @SubscribeMessage('anonymous')
    anonymous(@CurrentSession('isAnonymous') isAnonymous: boolean) {
      return { event: 'anonymous', data: isAnonymous };
    }

    @SubscribeMessage('whoami')
    whoAmI(@CurrentUser() user: SessionUser) {
      return { event: 'you', data: user.userId };
    }

    @SubscribeMessage('flash')
    flash(@FlashMessages() messages: readonly { message: string }[]) {
      return { event: 'flash', data: messages.map(({ message }) => message) };
    }

    @SubscribeMessage('lost')
    lost(@FlashMessages() messages: readonly object[]) {
      throw new Error(`${messages.length} messages nobody gets`);
    }

    @SubscribeMessage('once')
    once(@OneTime('state') state: unknown) {
      return { event: 'once', data: state };
    }

    @RequireRoles('admin')
    @SubscribeMessage('admin')
    admin() {
      return { event: 'admin', data: true };
    }

    @RequireFresh(60)
    @SubscribeMessage('fresh')
    fresh() {
      return { event: 'fresh', data: true };
    }

    @RequireRoles('admin')
    @UseFilters(OwnFilter)
    @SubscribeMessage('filtered')
    filtered() {
      return { event: 'admin', data: true };
    }

    @UsePipes(new ValidationPipe({ transform: true, whitelist: true, validateCustomDecorators: true }))
    @SubscribeMessage('piped')
    piped(@MessageBody() body: object, @CurrentSession() session: Session) {
      session.data.piped = body;
      return { event: 'piped', data: session.user?.userId };
    }

    @SubscribeMessage('throws')
    throws(@CurrentSession() session: Session, @MessageBody() key: string) {
      session.data[key] = 'thrown';
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('stream')
    stream(@CurrentSession() session: Session) {
      return concat(
        ...[1, 2].map((step) =>
          defer(() => {
            session.data.step = step;
            return of({ event: 'step', data: step });
          }),
        ),
      );
    }

    @SubscribeMessage('silent')
    silent(@CurrentSession() session: Session, @MessageBody() key: string) {
      session.data[key] = 'silent';
      return EMPTY;
    }

    @SubscribeMessage('silent-by-socket')
    async silentBySocket(@ConnectedSocket() client: object, @MessageBody() key: string) {
      (await this.sessions.require(client)).data[key] = 'silent';
      return EMPTY;
    }

    @SubscribeMessage('by-socket')
    async bySocket(@ConnectedSocket() client: object, @MessageBody() key: string) {
      const session = await this.sessions.require(client);
      session.data[key] = 'by socket';
      return { event: 'same', data: session === (await this.sessions.current(client)) };
    }

    @Public()
    @SubscribeMessage('unguarded')
    async unguarded(@ConnectedSocket() client: object, @MessageBody() key: string) {
      (await this.sessions.require(client)).data[key] = 'by socket';
    }

    @SubscribeMessage('throws-by-socket')
    async throwsBySocket(@ConnectedSocket() client: object, @MessageBody() key: string) {
      (await this.sessions.require(client)).data[key] = 'by socket';
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('new-id')
    async newId(@ConnectedSocket() client: object) {
      const session = await this.sessions.require(client);
      await this.sessions.setLifetime(session, { ttl: 60 });
      const { token, csrfToken } = await this.sessions.regenerateSessionId(session);
      return { event: 'token', data: [token, csrfToken, session.sessionId] };
    }

    @Public()
    @SubscribeMessage('by-cookie')
    async byCookie(@ConnectedSocket() client: object) {
      await this.sessions.login(client, { userId: 'ann' }, { transport: 'cookie' });
    }

    @Public()
    @SubscribeMessage('start')
    async start(@ConnectedSocket() client: object, @MessageBody() data: object) {
      const { token, session } = await this.sessions.start(client, { data: { ...data } });
      session.data.more = 1;
      return { event: 'token', data: token };
    }

    @SubscribeMessage('slow')
    async slow(@CurrentSession() session: Session, @MessageBody() key: string) {
      await once(Messages.signals, key);
      session.data[key] = 'slow';
      return { event: 'slow', data: key };
    }

    @SubscribeMessage('slow-kept')
    async slowKept(@CurrentSession('data') data: SessionData, @MessageBody() key: string) {
      await once(Messages.signals, key);
      data[key] = 'slow';
    }

    @SubscribeMessage('slow-throws')
    async slowThrows(@CurrentSession() session: Session, @MessageBody() key: string) {
      await once(Messages.signals, key);
      session.data[key] = 'slow';
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('slow-by-socket')
    async slowBySocket(@ConnectedSocket() client: object, @MessageBody() key: string) {
      const session = await this.sessions.require(client);
      await once(Messages.signals, key);
      session.data[key] = 'slow';
    }

    @SubscribeMessage('slow-flash')
    async slowFlash(@FlashMessages() messages: readonly object[], @MessageBody() key: string) {
      await once(Messages.signals, key);
      return { event: 'flash', data: messages.length };
    }

    @SubscribeMessage('takes-flash')
    async takesFlash(@CurrentSession() session: Session, @MessageBody() key: string) {
      const messages = await this.sessions.takeFlash(session);
      await once(Messages.signals, key);
      throw new Error(`${messages.length} messages nobody gets`);
    }

    @SubscribeMessage('takes-flash-late')
    async takesFlashLate(@CurrentSession() session: Session, @MessageBody() key: string) {
      await once(Messages.signals, key);
      const messages = await this.sessions.takeFlash(session);
      Messages.seen.push(`${messages.length} messages`);
    }

    @SubscribeMessage('streams-flash')
    streamsFlash(@FlashMessages() messages: readonly { message: string }[]) {
      return concat(of({ event: 'flash', data: messages.map(({ message }) => message) }), NEVER);
    }

    @SubscribeMessage('acknowledges-flash')
    async acknowledgesFlash(@CurrentSession() session: Session, @Ack() ack: (messages: unknown) => void) {
      ack(await this.sessions.takeFlash(session));
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('acknowledges-change')
    async acknowledgesChange(@CurrentSession() session: Session, @Ack() ack: (messages: unknown) => void) {
      const messages = await this.sessions.takeFlash(session);
      session.data.shown = true;
      ack(messages);
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('acknowledges-cleared')
    acknowledgesCleared(@CurrentSession() session: Session, @Ack() ack: (messages: unknown) => void) {
      ack(session.getFlashMessages({ clear: true }));
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('acknowledges-late')
    async acknowledgesLate(@CurrentSession() session: Session, @Ack() ack: (messages: unknown) => void) {
      ack(await this.sessions.takeFlash(session));
    }

    @SubscribeMessage('flash-by-socket')
    async flashBySocket(@ConnectedSocket() client: object) {
      const messages = await this.sessions.takeFlash(await this.sessions.require(client));
      return { event: 'flash', data: messages.map(({ message }) => message) };
    }

    @SubscribeMessage('throws-late')
    async throwsLate(@ConnectedSocket() client: object, @MessageBody() key: string) {
      await this.sessions.require(client);
      await once(Messages.signals, key);
      throw new Error('the handler is wrong');
    }

    @SubscribeMessage('ack')
    ack(@CurrentSession() session: Session, @MessageBody() key: string) {
      session.data[key] = 'ack';
      return { key };
    }

    @SubscribeMessage('manual')
    manual(@CurrentSession() session: Session, @MessageBody() key: string, @Ack() ack: (value: unknown) => void) {
      session.data[key] = 'manual';
      ack({ key });
    }
  }

  @WebSocketGateway(where(library, '/scoped'))
  @Injectable({ scope: Scope.REQUEST })
  class Scoped {
    @SubscribeMessage('set')
    set(@CurrentSession() session: Session, @MessageBody() key: string) {
      session.data[key] = 'scoped';
      return { event: 'stored', data: key };
    }
  }

  @WebSocketGateway(where(library, '/connects'))
  class Connects {
    constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

    async handleConnection(client: object) {
      await this.sessions.require(client);
    }

    async handleDisconnect(client: object) {
      await this.sessions.require(client);
    }

    @SubscribeMessage('echo')
    echo(@MessageBody() data: string) {
      return { event: 'echoed', data };
    }
  }

  @EndsWithSession()
  @WebSocketGateway(where(library, '/own-connects'))
  class OwnConnects {
    constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

    handleConnection = async (client: object) => {
      await this.sessions.require(client);
    };

    @SubscribeMessage('echo')
    echo(@MessageBody() data: string) {
      return { event: 'echoed', data };
    }
  }
  return { Messages, Scoped, Connects, OwnConnects };
}

const CASES = PLATFORMS.flatMap((platform) => LIBRARIES.map((library) => ({ platform, library })));
const refusal = (code: string, statusCode: number) => ({
  event: 'exception',
  data: expect.objectContaining({ status: 'error', code, statusCode }) as unknown,
});

describe.each(CASES)('A message by $library on $platform', ({ platform, library }) => {
  const store = new BarrierBackend(new MemoryBackend());
  const { Messages, Scoped, Connects, OwnConnects } = gatewaysOf(library);
  const sockets: TestSocket[] = [];
  let app: AppUnderTest;
  let sessions: SessionService;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [],
      providers: [Messages, Scoped, Connects, OwnConnects],
      session: {
        backend: store.backend,
        tokenSourcePriority: ['header', 'bearer', 'cookie'],
        csrf: { requireToken: true },
      },
      configure: (nest) => {
        useSockets(nest, library);
      },
    });
    sessions = app.app.get(SessionService);
  });

  afterEach(() => {
    store.heal();
    for (const socket of sockets.splice(0)) socket.close();
  });

  afterAll(() => app.close());

  async function open(
    headers: Readonly<Record<string, string>> = {},
    options: SocketOptions = {},
  ): Promise<TestSocket> {
    const socket = await openSocket(library, app.url, headers, { path: '/messages', ...options });
    sockets.push(socket);
    return socket;
  }

  async function signedIn(user: NewSessionUser = { userId: 'ann' }) {
    const { headers, session, token } = await logIn(app.app, user);
    const dataNow = async () => (await sessions.update(session.sessionId, () => undefined)).data;
    return { socket: await open(headers), session, token, dataNow };
  }

  it('is let in by a guard of the class, marks on the handler, and a subclass of the guard', async () => {
    const { socket, dataNow } = await signedIn();
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
    expect(await dataNow()).toEqual({ passed: true });
    const { socket: banned } = await signedIn({ userId: 'banned' });
    expect(await banned.ask('whoami', null)).toMatchObject({ event: 'exception' });
    const stranger = await open();
    expect(await stranger.ask('maybe', 1)).toEqual({ event: 'maybe', data: null });
    expect(await stranger.ask('whoami', null)).toEqual(refusal('UNAUTHENTICATED', 401));
    const { data: token } = await stranger.ask('start', { cart: 1 });
    expect(await stranger.ask('anonymous', null)).toEqual({ event: 'anonymous', data: true });
    expect(await stranger.ask('whoami', null)).toEqual(refusal('UNAUTHENTICATED', 401));
    expect((await sessions.getSession(String(token))).data).toEqual({
      cart: 1,
      more: 1,
      passed: true,
    });
  });

  it('takes flash messages and one-time values, and puts flash messages back when the handler throws', async () => {
    const { socket, session } = await signedIn();
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    expect(await socket.ask('lost', null)).toMatchObject({ event: 'exception' });
    expect(await socket.ask('flash', null)).toEqual({ event: 'flash', data: ['saved'] });
    expect(await socket.ask('flash', null)).toEqual({ event: 'flash', data: [] });
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved again'));
    const taking = store.stopNext('replace');
    const lost = socket.ask('lost', null);
    await taking.arrived;
    const returning = taking.done.then(() => store.stopNext('replace'));
    taking.letGo();
    const { arrived, letGo } = await returning;
    await arrived;
    store.fail('replace');
    letGo();
    expect(await lost).toMatchObject({ event: 'exception' });
    store.heal();
    await soon(
      async () => (await sessions.update(session.sessionId, () => undefined)).getFlashMessages({ clear: false })[0],
    );
    expect(await socket.ask('flash', null)).toEqual({ event: 'flash', data: ['saved again'] });
    await sessions.oneTime.put(await sessions.update(session.sessionId, () => undefined), 'state', 'x1');
    expect(await socket.ask('once', null)).toEqual({ event: 'once', data: 'x1' });
    expect(await socket.ask('once', null)).toEqual({ event: 'once', data: null });
  });

  /** Whose client leaves while its handler waits, which then goes on. */
  async function abandoned(event: string, key: string): Promise<Awaited<ReturnType<typeof signedIn>>> {
    const client = await signedIn();
    await sessions.update(client.session.sessionId, (one) => one.addFlashMessage('saved'));
    Messages.seen.length = 0;
    void client.socket.ask(event, key);
    await soon(() => Messages.signals.listenerCount(key) > 0 || undefined);
    client.socket.close();
    await soon(() => Messages.seen.includes('-ann') || undefined);
    Messages.signals.emit(key);
    return client;
  }

  it.each(['slow', 'slow-kept', 'slow-throws', 'slow-by-socket'])(
    'whose client leaves stores what its handler changes afterwards (%s)',
    async (event) => {
      const { dataNow } = await abandoned(event, 'k1');
      expect(await soon(async () => (await dataNow()).k1)).toBe('slow');
    },
  );

  it.each(['slow-flash', 'takes-flash', 'takes-flash-late'])(
    'whose client leaves puts back the flash messages that its handler has taken (%s)',
    async (event) => {
      const { session } = await abandoned(event, 'k2');
      if (event === 'takes-flash-late') await soon(() => Messages.seen.includes('0 messages') || undefined);
      await soon(async () => {
        const messages = (await sessions.update(session.sessionId, () => undefined)).getFlashMessages();
        return messages.length > 0 || undefined;
      });
    },
  );

  it('puts back the flash messages that it took by the service when its handler throws', async () => {
    const { socket, session } = await signedIn();
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    const reply = socket.ask('takes-flash', 'k3');
    await soon(() => Messages.signals.listenerCount('k3') > 0 || undefined);
    Messages.signals.emit('k3');
    expect(await reply).toMatchObject({ event: 'exception' });
    expect(await socket.ask('flash', null)).toEqual({ event: 'flash', data: ['saved'] });
  });

  it('whose client leaves while it loads the session stores what its handler changes afterwards', async () => {
    const { socket, dataNow } = await signedIn();
    Messages.seen.length = 0;
    const read = store.stopNext('read');
    void socket.ask('unguarded', 'k4');
    await read.arrived;
    socket.close();
    await soon(() => Messages.seen.includes('-ann') || undefined);
    read.letGo();
    expect(await soon(async () => (await dataNow()).k4)).toBe('by socket');
  });

  it('whose client leaves while flash messages are being taken puts them back', async () => {
    const { socket, session } = await signedIn();
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    Messages.seen.length = 0;
    const take = store.stopNext('replace');
    void socket.ask('flash', null);
    await take.arrived;
    socket.close();
    await soon(() => Messages.seen.includes('-ann') || undefined);
    take.letGo();
    await soon(async () => {
      const messages = (await sessions.update(session.sessionId, () => undefined)).getFlashMessages();
      return messages.length > 0 || undefined;
    });
  });

  it('puts no flash messages back that its reply has brought, when its client leaves afterwards', async () => {
    const { socket, session } = await signedIn();
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    expect(await socket.ask('streams-flash', null)).toEqual({ event: 'flash', data: ['saved'] });
    Messages.seen.length = 0;
    socket.close();
    await soon(() => Messages.seen.includes('-ann') || undefined);
    const write = await sessions.update(session.sessionId, ({ data }) => void (data.after = true));
    expect(write.getFlashMessages()).toEqual([]);
  });

  it('puts no flash messages back that another message has brought', async () => {
    const { socket, session } = await signedIn();
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    void socket.ask('throws-late', 'k5', 'no reply');
    await soon(() => Messages.signals.listenerCount('k5') > 0 || undefined);
    expect(await socket.ask('flash-by-socket', null)).toEqual({ event: 'flash', data: ['saved'] });
    Messages.signals.emit('k5');
    await soon(() => socket.events.find(({ event }) => event === 'exception'));
    expect(await socket.ask('flash', null)).toEqual({ event: 'flash', data: [] });
  });

  it('is checked for roles and for a fresh proof', async () => {
    const { socket } = await signedIn();
    expect(await socket.ask('admin', null)).toEqual(refusal('FORBIDDEN', 403));
    expect(await socket.ask('filtered', null)).toEqual({ event: 'own', data: 403 });
    expect(await socket.ask('fresh', null)).toEqual({ event: 'fresh', data: true });
    app.clock.advance(61_000);
    expect(await socket.ask('fresh', null)).toMatchObject({ event: 'exception', data: { statusCode: 401 } });
    const { socket: admin, dataNow } = await signedIn({ userId: 'root', roles: ['admin'] });
    expect(await admin.ask('admin', null)).toEqual({ event: 'admin', data: true });
    // By the guard, and the handler uses no session.
    expect(await dataNow()).toEqual({ passed: true });
  });

  it('stores its changes before each reply, also of one that fails', async () => {
    const { socket, dataNow } = await signedIn();
    expect(await socket.ask('piped', { a: 1 })).toEqual({ event: 'piped', data: 'ann' });
    expect(await socket.ask('throws', 'k1')).toMatchObject({ event: 'exception', data: { status: 'error' } });
    expect(await dataNow()).toMatchObject({ piped: { a: 1 }, k1: 'thrown' });
    const second = socket.ask('stream', null, 2);
    const first = await socket.ask('stream', null, 1);
    expect([first, await second]).toEqual([
      { event: 'step', data: 1 },
      { event: 'step', data: 2 },
    ]);
    expect(await dataNow()).toMatchObject({ step: 2 });
    const scoped = await open(
      { 'x-session-token': (await logIn(app.app, { userId: 'bob' })).token },
      { path: '/scoped' },
    );
    expect(await scoped.ask('set', 'k')).toEqual({ event: 'stored', data: 'k' });
  });

  it.each(['silent', 'silent-by-socket'])('stores its changes where it emits no reply: %s', async (event) => {
    const { socket, dataNow } = await signedIn();
    void socket.ask(event, 'key').catch(() => undefined);
    expect(await soon(async () => (await dataNow()).key)).toBe('silent');
  });

  it('has one session, by decorators and by the socket, and stores it', async () => {
    const { socket, dataNow } = await signedIn();
    expect(await socket.ask('by-socket', 'alone')).toEqual({ event: 'same', data: true });
    const keys = Array.from({ length: 10 }, (_, index) => `s${index}`);
    const replies = await Promise.all(keys.map((key) => socket.ask('by-socket', key)));
    // Each of many at once may have one of its own by the socket, which is stored too.
    expect(replies.map(({ event }) => event)).toEqual(keys.map(() => 'same'));
    const data = await dataNow();
    expect(keys.filter((key) => data[key] === 'by socket')).toEqual(keys);
    await socket.ask('throws-by-socket', 'k1');
    expect(await dataNow()).toMatchObject({ k1: 'by socket', s9: 'by socket' });
  });

  it('may give the session a new id and lifetime, and none by a cookie', async () => {
    const { socket, token } = await signedIn();
    const { data } = await socket.ask('new-id', null);
    const [newToken, , id] = data as [string, string, string];
    expect(newToken).not.toBe(token);
    expect((await sessions.getSession(newToken)).sessionId).toBe(id);
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
    expect(await socket.ask('by-cookie', null)).toMatchObject({ event: 'exception', data: { statusCode: 500 } });
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
  });

  it('needs no CSRF token, which a page cannot send with a handshake', async () => {
    const { token } = await logIn(app.app, { userId: 'ann' });
    const socket = await open({ cookie: `__Host-session=${token}`, Origin: app.url });
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
  });

  it('is told that the store is down, and the next one works', async () => {
    const { socket } = await signedIn();
    store.fail('read');
    expect(await socket.ask('whoami', null)).toEqual(refusal('SERVICE_UNAVAILABLE', 503));
    expect(await socket.ask('maybe', null)).toEqual(refusal('SERVICE_UNAVAILABLE', 503));
    store.heal();
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
    store.fail('replace');
    expect(await socket.ask('by-socket', 'k')).toEqual(refusal('SERVICE_UNAVAILABLE', 503));
  });

  it('has a session in handleConnection and handleDisconnect too', async () => {
    const { socket } = await signedIn({ userId: 'dora' });
    await soon(() => Messages.seen.includes('+dora') || undefined);
    socket.close();
    await soon(() => Messages.seen.includes('-dora') || undefined);
  });

  describe.each(['/connects', '/own-connects'])('of %s, whose handler of connections throws,', (path) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    const withoutToken = { code: 'UNAUTHENTICATED', status: 401, open: () => open({}, { path }) };
    // By `ws`, and where the upgrade shows the token, these are refused before.
    const afterUpgrade = [
      {
        code: 'FORBIDDEN',
        status: 403,
        open: async () => {
          const { token } = await logIn(app.app, { userId: 'ann' });
          const cookie = { cookie: `__Host-session=${token}`, Origin: 'https://evil.example' };
          return open(cookie, { path, transports: ['polling'] });
        },
      },
      {
        code: 'SERVICE_UNAVAILABLE',
        status: 503,
        open: async () => {
          const { token } = await logIn(app.app, { userId: 'ann' });
          store.fail('read');
          return open({}, { path, auth: { token } });
        },
      },
    ];

    beforeAll(() => {
      process.on('unhandledRejection', note);
    });

    afterAll(() => {
      process.off('unhandledRejection', note);
      expect(unhandled).toEqual([]);
    });

    it.each(library === 'ws' ? [withoutToken] : [withoutToken, ...afterUpgrade])(
      'gets the event $code and no connection',
      async ({ code, status, open: openRefused }) => {
        const socket = await openRefused();
        expect(await socket.closed).toBe(library === 'ws' ? 4000 + status : 'io server disconnect');
        expect(socket.events).toEqual([refusal(code, status)]);
      },
    );

    it('lets in who has a session', async () => {
      const { headers } = await logIn(app.app, { userId: 'ann' });
      const socket = await open(headers, { path });
      expect(await socket.ask('echo', 'here')).toEqual({ event: 'echoed', data: 'here' });
      expect(socket.isOpen).toBe(true);
    });

    it('handles nothing that a refused client sends at once', async () => {
      const socket = await open({}, { path });
      const reply = socket.ask('echo', 'anyway', 'anyway').then(() => 'handled');
      expect(await Promise.race([reply, socket.closed.then(() => 'closed')])).toBe('closed');
    });
  });

  // What follows only socket.io has: acknowledgements, `auth` and namespaces.
  if (library === 'ws') return;

  it('is acknowledged after its changes are stored, also by the handler itself', async () => {
    const { token, session } = await logIn(app.app, { userId: 'ann' });
    const client: Socket = io(`${app.url}/messages`, { auth: { token }, transports: ['websocket'], forceNew: true });
    for (const event of ['ack', 'manual']) {
      const write = store.stopNext('replace');
      let isAcknowledged = false;
      const acknowledged = client.emitWithAck(event, event).then((value) => {
        isAcknowledged = true;
        return value as unknown;
      });
      await write.arrived;
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(isAcknowledged).toBe(false);
      write.letGo();
      expect(await acknowledged).toEqual({ key: event });
    }
    expect((await sessions.update(session.sessionId, () => undefined)).data).toMatchObject({
      ack: 'ack',
      manual: 'manual',
    });
    store.fail('replace');
    const failed = new Promise((resolve) => client.once('exception', resolve));
    client.emit('manual', 'again', () => {
      throw new Error('acknowledged');
    });
    expect(await failed).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    store.heal();
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    const thrown = new Promise((resolve) => client.once('exception', resolve));
    expect(await client.emitWithAck('acknowledges-flash', null)).toMatchObject([{ message: 'saved' }]);
    await thrown;
    expect((await sessions.update(session.sessionId, () => undefined)).getFlashMessages()).toEqual([]);
    client.disconnect();
  });

  it.each(['acknowledges-change', 'acknowledges-cleared'])(
    'shows flash messages once where the acknowledgement waits for a commit, and its handler throws (%s)',
    async (event) => {
      const { token, session } = await logIn(app.app, { userId: 'ann' });
      const client: Socket = io(`${app.url}/messages`, { auth: { token }, transports: ['websocket'], forceNew: true });
      await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
      const thrown = new Promise((resolve) => client.once('exception', resolve));
      expect(await client.emitWithAck(event, null)).toMatchObject([{ message: 'saved' }]);
      await thrown;
      expect((await sessions.update(session.sessionId, () => undefined)).getFlashMessages()).toEqual([]);
      client.disconnect();
    },
  );

  it('puts back flash messages whose acknowledgement comes after the client has left', async () => {
    const { token, session } = await logIn(app.app, { userId: 'ann' });
    const client: Socket = io(`${app.url}/messages`, { auth: { token }, transports: ['websocket'], forceNew: true });
    await sessions.update(session.sessionId, (one) => one.addFlashMessage('saved'));
    // Stores what the guard changes, so that the acknowledgement has nothing to wait for.
    await client.emitWithAck('ack', 'k');
    Messages.seen.length = 0;
    const taking = store.stopNext('replace');
    client.emit('acknowledges-late', null, () => undefined);
    await taking.arrived;
    client.disconnect();
    await soon(() => Messages.seen.includes('-ann') || undefined);
    taking.letGo();
    await soon(async () => {
      const messages = (await sessions.update(session.sessionId, () => undefined)).getFlashMessages();
      return messages.length > 0 || undefined;
    });
  });

  it('takes the token of socket.io, for each namespace and each connect', async () => {
    const [ann, bob] = [await logIn(app.app, { userId: 'ann' }), await logIn(app.app, { userId: 'bob' })];
    const socket = await open({}, { auth: { token: ann.token } });
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
    const rejected = new Set<string>();
    const events = app.app.get(SessionEvents);
    const rejections = events.on('rejected').subscribe(({ reason }) => rejected.add(reason));
    for (const auth of [
      {},
      { token: 1 },
      { token: '' },
      { token: { a: 1 } },
      { token: ['x'] },
      { other: 1 },
      { token: 'nonsense' },
    ]) {
      const one = await open({}, { auth });
      expect([auth, await one.ask('maybe', 1)]).toEqual([auth, { event: 'maybe', data: null }]);
      const beside = await open({ cookie: `__Host-session=${bob.token}` }, { auth });
      expect([auth, await beside.ask('maybe', 1)]).toEqual([auth, { event: 'maybe', data: 'bob' }]);
      // Nothing else is taken for a token.
      expect([auth, ...rejected]).toEqual(auth.token === 'nonsense' ? [auth, 'TOKEN_MALFORMED'] : [auth]);
      rejected.clear();
    }
    rejections.unsubscribe();
    // Two namespaces of one connection.
    let token = ann.token;
    const client = io(`${app.url}/messages`, {
      auth: (use) => use({ token }),
      transports: ['websocket'],
      forceNew: true,
      reconnectionDelay: 1,
    });
    const scoped = client.io.socket('/scoped', { auth: { token: bob.token } });
    const reply = (event: string) => new Promise((resolve) => client.once(event, resolve));
    client.emit('whoami', null);
    expect(await reply('you')).toBe('ann');
    const stored = new Promise((resolve) => scoped.once('stored', resolve));
    scoped.emit('set', 'key-of-bob');
    expect(await stored).toBe('key-of-bob');
    expect((await sessions.update(bob.session.sessionId, () => undefined)).data).toEqual({ 'key-of-bob': 'scoped' });
    token = bob.token;
    client.disconnect().connect();
    client.emit('whoami', null);
    expect(await reply('you')).toBe('bob');
    client.io._close();
  });
});
