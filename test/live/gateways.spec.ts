import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import { ConnectedSocket, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  AllowAnonymous,
  CurrentSession,
  CurrentUser,
  EndsWithSession,
  MemoryBackend,
  SessionGuard,
  SessionService,
  type EndedListener,
  type EndedSubscription,
  type Session,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { LIBRARIES, openSocket, type TestSocket, useSockets } from '../contexts/sockets.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { soon } from '../support/soon.js';

class Messages {
  constructor(@Inject(SessionService) protected readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @SubscribeMessage('whoami')
  whoAmI(@CurrentUser() user: SessionUser) {
    return { event: 'you', data: user.userId };
  }

  /** @returns how many listeners of the socket that has added */
  @SubscribeMessage('watch')
  watch(@CurrentSession() session: Session, @ConnectedSocket() client: EventEmitter) {
    const event = 'readyState' in client ? 'close' : 'disconnect';
    const before = client.listenerCount(event);
    for (let count = 0; count < 20; count++) this.sessions.untilEnded(session).subscribe();
    const { aborted } = this.sessions.whileAlive(session);
    return { event: 'added', data: [client.listenerCount(event) - before, aborted] };
  }

  @SubscribeMessage('start')
  async start(@ConnectedSocket() client: object) {
    const { token } = await this.sessions.start(client);
    return { event: 'token', data: token };
  }

  @SubscribeMessage('login')
  async login(@ConnectedSocket() client: object) {
    const { token } = await this.sessions.login(client, { userId: 'bob' });
    return { event: 'token', data: token };
  }

  @SubscribeMessage('logout')
  async logout(@ConnectedSocket() client: object) {
    return { event: 'bye', data: await this.sessions.logout(client) };
  }

  @SubscribeMessage('everywhere')
  async everywhere(@CurrentUser() user: SessionUser) {
    return { event: 'ended', data: await this.sessions.deleteUserSessions(user.userId) };
  }

  @SubscribeMessage('prove')
  async prove(@ConnectedSocket() client: object) {
    const { token } = await this.sessions.reauthenticate(client);
    return { event: 'token', data: token };
  }

  @UseGuards(SessionGuard)
  @AllowAnonymous()
  @SubscribeMessage('visit')
  visit(@CurrentSession() session: Session) {
    session.data.visits = (session.data.visits ?? 0) + 1;
    return { event: 'visits', data: session.data.visits };
  }

  @SubscribeMessage('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    const { token } = await this.sessions.regenerateSessionId(session);
    return { event: 'token', data: token };
  }
}

/** Counts who listens to the ends of sessions: nobody does while nothing is watched. */
class ListenedBackend extends MemoryBackend {
  subscriptions = 0;

  override async onEnded(listener: EndedListener): Promise<EndedSubscription> {
    const subscription = await super.onEnded(listener);
    this.subscriptions++;
    return {
      close: () => {
        this.subscriptions--;
        return subscription.close();
      },
    };
  }
}

/** Tells nobody of ends, as Memcached. Its next reply to a new session can be held back. */
class LateReplies extends MemoryBackend {
  #late: Promise<void> | null = null;

  /** @returns lets the reply go */
  holdNext(): () => void {
    let letGo!: () => void;
    this.#late = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    return letGo;
  }

  override async create(...call: Parameters<MemoryBackend['create']>): ReturnType<MemoryBackend['create']> {
    const late = this.#late;
    this.#late = null;
    const created = await super.create(...call);
    await late;
    return created;
  }

  override onEnded(): Promise<EndedSubscription> {
    return Promise.resolve({ close: () => Promise.resolve() });
  }
}

function gatewaysOf(library: (typeof LIBRARIES)[number]) {
  const where = (path: string) => (library === 'ws' ? { path } : { namespace: path });

  @EndsWithSession()
  @WebSocketGateway(where('/ends'))
  class Ends extends Messages {}

  @EndsWithSession()
  class Base extends Messages {}

  @WebSocketGateway(where('/sub'))
  class Sub extends Base {
    static connected = 0;

    async handleConnection(client: object, ...rest: unknown[]) {
      expect(this).toBeInstanceOf(Sub);
      expect([typeof client, rest.length > 1]).toEqual(['object', false]);
      await this.sessions.current(client);
      Sub.connected++;
    }
  }

  @WebSocketGateway(where('/own'))
  @EndsWithSession()
  class Own extends Messages {
    /** Signs each connection in. */
    handleConnection = async (client: object) => {
      await this.sessions.login(client, { userId: 'own' });
    };
  }

  @EndsWithSession()
  @WebSocketGateway(where('/scoped'))
  @Injectable({ scope: Scope.REQUEST })
  class Scoped extends Messages {}

  @WebSocketGateway(where('/handler'))
  class OnHandler extends Messages {
    @EndsWithSession()
    @SubscribeMessage('listen')
    listen() {
      return { event: 'listening', data: 1 };
    }
  }

  @WebSocketGateway(where('/plain'))
  class Plain extends Messages {}

  return { Ends, Base, Sub, Own, Scoped, OnHandler, Plain };
}

const CASES = PLATFORMS.flatMap((platform) => LIBRARIES.map((library) => ({ platform, library })));
const ENDED = { ws: 4401, 'socket.io': 'io server disconnect' };

const visits = (count: number) => ({ event: 'visits', data: count });
const REFUSED = { event: 'exception', data: expect.objectContaining({ code: 'UNAUTHENTICATED' }) };

describe.each(CASES)('connections of $library on $platform', ({ platform, library }) => {
  let app: AppUnderTest;
  let sessions: SessionService;
  const backend = new ListenedBackend();
  const store = new BarrierBackend(backend);
  const { Ends, Sub, Own, Scoped, OnHandler, Plain } = gatewaysOf(library);
  const sockets: TestSocket[] = [];

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [],
      providers: [Ends, Sub, Own, Scoped, OnHandler, Plain],
      session: { backend: store.backend, liveCheckInterval: 0.1 },
      configure: (nest) => {
        useSockets(nest, library);
      },
    });
    sessions = app.app.get(SessionService);
  });

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
    store.heal();
  });

  afterAll(() => app.close());

  async function open(path: string, headers: Readonly<Record<string, string>> = {}): Promise<TestSocket> {
    const socket = await openSocket(library, app.url, headers, { path });
    sockets.push(socket);
    return socket;
  }

  async function ends(socket: TestSocket): Promise<void> {
    expect(await socket.closed).toBe(ENDED[library]);
    if (library === 'socket.io') expect(socket.events.at(-1)).toEqual({ event: 'session-ended', data: {} });
  }

  it.each(['/ends', '/sub', '/scoped'])('of %s end with the session, though the client only listens', async (path) => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const before = Sub.connected;
    const socket = await open(path, headers);
    if (path === '/sub') await soon(() => Sub.connected === before + 1 || undefined);
    await sessions.deleteSession(session.sessionId);
    await ends(socket);
  });

  it('end with the session that a message or handleConnection has signed them in with', async () => {
    const socket = await open('/ends');
    await socket.ask('login', null);
    const own = await open('/own');
    expect(await own.ask('whoami', null)).toEqual({ event: 'you', data: 'own' });
    await sessions.deleteUserSessions('own');
    await ends(own);
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'bob' });
    await sessions.deleteUserSessions('bob');
    await ends(socket);
  });

  it('stay when a message of theirs signs another user in, and end with that session', async () => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const socket = await open('/ends', headers);
    await socket.ask('login', null);
    await sessions.deleteSession(session.sessionId);
    await socket.ask('prove', null);
    await socket.ask('regenerate', null);
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'bob' });
    await sessions.deleteUserSessions('bob');
    await ends(socket);
  });

  it('stay while a login of theirs has ended the former session, and the new one is not there yet', async () => {
    const socket = await open('/ends');
    await socket.ask('start', null);
    const lastStep = store.stopLastStepOfLogin();
    const reply = socket.ask('login', null);
    await lastStep.arrived;
    const looks = store.calls.readMany ?? 0;
    await soon(() => (store.calls.readMany ?? 0) > looks || undefined);
    // By then it would have been closed.
    await sleep(150);
    lastStep.letGo();
    expect(await reply).toMatchObject({ event: 'token' });
    expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'bob' });
  });

  it.each([
    ['logout', { event: 'bye', data: true }],
    ['everywhere', { event: 'ended', data: 1 }],
  ])('end after %s by a message of theirs, which gets its reply', async (message, reply) => {
    const { headers } = await logIn(app.app, { userId: 'carl' });
    const socket = await open('/ends', headers);
    expect(await socket.ask(message, null)).toEqual(reply);
    await ends(socket);
  });

  it('of a gateway with it on a handler end once that has had a message', async () => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const [silent, listening] = await Promise.all([open('/handler', headers), open('/handler', headers)]);
    expect(await listening.ask('listen', null)).toEqual({ event: 'listening', data: 1 });
    await sessions.deleteSession(session.sessionId);
    await ends(listening);
    expect(silent.isOpen).toBe(true);
  });

  it('without a session, or of a gateway without it, stay', async () => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const stays = [await open('/ends'), await open('/plain', headers)];
    const socket = await open('/ends', headers);
    await sessions.deleteSession(session.sessionId);
    await ends(socket);
    expect(stays.map(({ isOpen }) => isOpen)).toEqual([true, true]);
  });

  describe('of a session without a user', () => {
    const openBy = (token: string, path = '/ends') => open(path, { 'x-session-token': token });

    async function newIdOf(token: string, grace = 0): Promise<string> {
      const renamed = await sessions.regenerateSessionId(await sessions.getSession(token), { grace });
      return renamed.token!;
    }

    it('go on under its new ids, which open nothing by the old ones, and end with it', async () => {
      const { token } = await sessions.createSession();
      const socket = await openBy(token);
      expect(await socket.ask('visit', null)).toEqual(visits(1));
      const second = await newIdOf(token);
      expect(await socket.ask('visit', null)).toEqual(visits(2));
      const latest = await newIdOf(await newIdOf(second));
      expect(await socket.ask('visit', null)).toEqual(visits(3));
      for (const old of [token, second]) expect(await (await openBy(old)).ask('visit', null)).toEqual(REFUSED);
      expect(await socket.ask('regenerate', null)).toMatchObject({ event: 'exception', data: { code: 'CONFLICT' } });
      expect(await socket.ask('visit', null)).toEqual(visits(4));
      await sessions.deleteSession(await sessions.getSession(latest));
      await ends(socket);
    });

    it('serve a message that was there before its new id, and is looked up after it', async () => {
      const { token } = await sessions.createSession();
      const socket = await openBy(token);
      expect(await socket.ask('visit', null)).toEqual(visits(1));
      const session = await sessions.getSession(token);
      const look = store.stopNext('read');
      const reply = socket.ask('visit', null);
      await look.arrived;
      await sessions.regenerateSessionId(session);
      look.letGo();
      expect(await reply).toEqual(visits(2));
    });

    it('serve no message by the login of another one, though it is looked up after it', async () => {
      const { token } = await sessions.createSession();
      const socket = await openBy(token);
      const look = store.stopNext('read');
      const slow = socket.ask('visit', null, 1);
      const refused = soon(() => socket.events.find(({ event }) => event === 'exception'));
      await look.arrived;
      expect(await socket.ask('login', null)).toMatchObject({ event: 'token' });
      look.letGo();
      expect(await Promise.race([slow, refused])).toEqual(REFUSED);
      expect(await socket.ask('whoami', null)).toEqual({ event: 'you', data: 'bob' });
    });

    it('have none any more when another client logs in from it', async () => {
      const { token } = await sessions.createSession();
      const [socket, other] = [await openBy(token), await openBy(token)];
      expect(await socket.ask('visit', null)).toEqual(visits(1));
      const next = await newIdOf(token);
      expect(await socket.ask('visit', null)).toEqual(visits(2));
      await (await openBy(next)).ask('login', null);
      expect(await socket.ask('visit', null)).toEqual(REFUSED);
      await Promise.all([socket, other].map(ends));
    });

    it('of a gateway without it go on under a new id with a grace, and have none any more after one without', async () => {
      const { token } = await sessions.createSession();
      const socket = await openBy(token, '/plain');
      expect(await socket.ask('visit', null)).toEqual(visits(1));
      const next = await newIdOf(token, 1);
      app.clock.advance(2000);
      expect(await socket.ask('visit', null)).toEqual(visits(2));
      await newIdOf(next);
      expect(await socket.ask('visit', null)).toEqual(REFUSED);
      expect(socket.isOpen).toBe(true);
    });
  });

  it('leave nothing when they are closed, however many watches they had', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const opened = await Promise.all(['/ends', '/sub', '/handler', '/plain'].map((path) => open(path, headers)));
    for (const [index, socket] of opened.entries()) {
      const added = await socket.ask('watch', null);
      expect([index, added]).toEqual([index, { event: 'added', data: [index < 2 ? 0 : 1, false] }]);
    }
    await soon(() => backend.subscriptions === 1 || undefined);
    for (const socket of opened) socket.close();
    await soon(() => backend.subscriptions === 0 || undefined);
  });

  // Of ws, the token is in the upgrade, which is refused then.
  if (library === 'socket.io') {
    it('are looked up again when the store was down as they opened', async () => {
      const { token } = await logIn(app.app, { userId: 'dora' });
      const before = Sub.connected;
      store.fail('read');
      // The upgrade has no token, so it is not refused.
      const socket = await openSocket(library, app.url, {}, { path: '/ends', auth: { token } });
      sockets.push(socket);
      const reads = store.calls.read ?? 0;
      await soon(() => (store.calls.read ?? 0) > reads + 1 || undefined);
      expect([socket.isOpen, Sub.connected]).toEqual([true, before]);
      store.heal();
      const looked = store.stopNext('read');
      await looked.arrived;
      looked.letGo();
      await looked.done;
      await sessions.deleteUserSessions('dora');
      await ends(socket);
    });
  }
});

it('a connection without a user is served again after a message while its new id was in the store and not known here', async () => {
  const backend = new LateReplies();
  const { Ends } = gatewaysOf('ws');
  const app = await startApp({
    platform: 'express',
    controllers: [],
    providers: [Ends],
    session: { backend },
    configure: (nest) => {
      useSockets(nest, 'ws');
    },
  });
  try {
    const sessions = app.app.get(SessionService);
    const { session, token } = await sessions.createSession();
    const socket = await openSocket('ws', app.url, { 'x-session-token': token }, { path: '/ends' });
    expect(await socket.ask('visit', null)).toEqual(visits(1));
    const letGo = backend.holdNext();
    const renamed = sessions.regenerateSessionId(await sessions.update(session.sessionId, () => undefined));
    expect(await socket.ask('visit', null)).toEqual(REFUSED);
    letGo();
    await renamed;
    expect(await socket.ask('visit', null)).toEqual(visits(2));
    socket.close();
  } finally {
    await app.close();
  }
});
