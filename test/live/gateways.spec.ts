import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import { ConnectedSocket, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
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
