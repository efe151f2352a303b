import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { UseGuards } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { CurrentSession, MemoryBackend, SessionGuard, SessionService, type Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { soon } from '../support/soon.js';
import { LIBRARIES, openSocket, type TestSocket, useSockets } from './sockets.js';

@WebSocketGateway()
class Chat {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @SubscribeMessage('whoami')
  whoAmI(@CurrentSession() session: Session, @MessageBody() id: number) {
    return { event: `you ${id}`, data: session.user?.userId };
  }

  @UseGuards(SessionGuard)
  @SubscribeMessage('set')
  set(@CurrentSession() session: Session, @MessageBody() key: string) {
    session.data[key] = 1;
    return { event: 'keys', data: Object.keys(session.data) };
  }

  @SubscribeMessage('login')
  async login(@ConnectedSocket() client: object, @MessageBody() userId: string) {
    await this.sessions.login(client, { userId });
    return { event: 'done', data: userId };
  }

  @SubscribeMessage('logout')
  async logout(@ConnectedSocket() client: object) {
    return { event: 'done', data: await this.sessions.logout(client) };
  }
}

/** Its next reply to a read can be held back. */
class LateReplies extends MemoryBackend {
  #late: Promise<unknown> | null = null;

  /** @returns lets the reply go */
  holdNext(): () => void {
    let letGo!: () => void;
    this.#late = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    return letGo;
  }

  override async read(id: Parameters<MemoryBackend['read']>[0]): ReturnType<MemoryBackend['read']> {
    const late = this.#late;
    this.#late = null;
    const record = await super.read(id);
    await late;
    return record;
  }
}

describe.each(LIBRARIES)('With revalidateEvery, messages by %s', (library) => {
  const replies = new LateReplies();
  const store = new BarrierBackend(replies);
  const sockets: TestSocket[] = [];
  let app: AppUnderTest;
  let sessions: SessionService;

  beforeAll(async () => {
    app = await startApp({
      platform: library === 'ws' ? 'fastify' : 'express',
      controllers: [],
      providers: [Chat],
      session: { backend: store.backend, revalidateEvery: 5 },
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

  async function signedIn() {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const socket = await openSocket(library, app.url, headers);
    sockets.push(socket);
    return { socket, session };
  }

  const reads = () => store.calls.read ?? 0;

  it('share one look, that of the handshake too, and see what each has stored', async () => {
    const { socket } = await signedIn();
    const before = reads();
    await Promise.all([1, 2, 3].map((id) => socket.ask('whoami', id, 'ann')));
    expect(await socket.ask('set', 'a')).toEqual({ event: 'keys', data: ['a'] });
    expect(await socket.ask('set', 'b')).toEqual({ event: 'keys', data: ['a', 'b'] });
    store.fail('read');
    expect(await socket.ask('whoami', 4)).toEqual({ event: 'you 4', data: 'ann' });
    expect(reads()).toBe(before);
    app.clock.advance(5001);
    expect(await socket.ask('whoami', 5)).toMatchObject({ event: 'exception', data: { code: 'SERVICE_UNAVAILABLE' } });
    store.heal();
    const afterwards = reads();
    await socket.ask('whoami', 6);
    await socket.ask('whoami', 7);
    expect(reads()).toBe(afterwards + 1);
  });

  it('find out up to that much later that the session has ended, and at once where one of them has ended it', async () => {
    const { socket, session } = await signedIn();
    await sessions.deleteSession(session.sessionId);
    expect(await socket.ask('whoami', 1)).toEqual({ event: 'you 1', data: 'ann' });
    app.clock.advance(5001);
    expect(await socket.ask('whoami', 2)).toMatchObject({ event: 'exception' });
    const { socket: other } = await signedIn();
    await other.ask('whoami', 3);
    expect(await other.ask('logout', null)).toEqual({ event: 'done', data: true });
    expect(await other.ask('whoami', 4)).toMatchObject({ event: 'exception' });
  });

  it('end a session that is refused to them: their token is of an id that it has no more', async () => {
    const { token, headers } = await logIn(app.app, { userId: 'ann' });
    const renamed = await sessions.regenerateSessionId(await sessions.getSession(token), { grace: 1 });
    app.clock.advance(1000);
    const socket = await openSocket(library, app.url, headers);
    sockets.push(socket);
    expect(await socket.ask('whoami', 1)).toMatchObject({ event: 'exception' });
    expect(await socket.ask('logout', null)).toEqual({ event: 'done', data: true });
    await expect(sessions.getSession(renamed.token!)).rejects.toMatchObject({ status: 401 });
    expect(await socket.ask('logout', null)).toEqual({ event: 'done', data: false });
  });

  it('find out at once where one of them could not store its changes, though another one has taken the session over', async () => {
    const { socket, session } = await signedIn();
    const write = store.stopNext('replace');
    void socket.ask('set', 'a');
    await write.arrived;
    await sessions.deleteSession(session.sessionId);
    expect(await socket.ask('whoami', 1, 'ann')).toEqual({ event: 'you 1', data: 'ann' });
    write.letGo();
    await soon(() => socket.events.some(({ event }) => event === 'exception') || undefined);
    expect(await socket.ask('whoami', 2)).toMatchObject({ event: 'exception' });
  });

  it('have the user who has signed in, though one that began before is still being looked up', async () => {
    const { socket } = await signedIn();
    app.clock.advance(5001);
    const letGo = replies.holdNext();
    const before = reads();
    const slow = socket.ask('whoami', 1, 'ann');
    await soon(() => reads() > before || undefined);
    expect(await socket.ask('login', 'bob')).toEqual({ event: 'done', data: 'bob' });
    letGo();
    expect(await slow).toEqual({ event: 'you 1', data: 'ann' });
    for (const id of [2, 3]) expect(await socket.ask('whoami', id, 'bob')).toEqual({ event: `you ${id}`, data: 'bob' });
    app.clock.advance(5001);
    expect(await socket.ask('whoami', 4, 'bob')).toEqual({ event: 'you 4', data: 'bob' });
  });

  it('stay signed in when the session gets a new id meanwhile', async () => {
    const { socket, session } = await signedIn();
    await sessions.regenerateSessionId(await sessions.update(session.sessionId, () => undefined));
    // It writes under the id that it knows, and the next one does not trust that any more.
    expect(await socket.ask('set', 'a')).toMatchObject({ event: 'exception', data: { code: 'UNAUTHENTICATED' } });
    expect(await socket.ask('set', 'b')).toEqual({ event: 'keys', data: ['b'] });
  });
});
