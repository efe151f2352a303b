import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { UseGuards } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  AllowAnonymous,
  EndsWithSession,
  CurrentSession,
  SessionGuard,
  SessionService,
  type Session,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { FakeClock, logIn } from 'nestjs-sessionx/testing';
import { SessionWsAdapter } from 'nestjs-sessionx/ws';

import { startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { openSocket, type TestSocket } from './sockets.js';

@WebSocketGateway()
@UseGuards(SessionGuard)
class Chat {
  constructor(private readonly sessions: SessionService) {}

  @SubscribeMessage('whoami')
  whoAmI(@CurrentSession() session: Session) {
    return { event: 'you', data: session.user?.userId };
  }

  @SubscribeMessage('keys')
  keys(@CurrentSession() session: Session) {
    return { event: 'keys', data: Object.keys(session.data) };
  }

  @SubscribeMessage('set')
  set(@CurrentSession() session: Session, @MessageBody() key: string) {
    session.data[key] = session.user?.userId;
    return { event: 'stored', data: key };
  }

  @SubscribeMessage('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    return { event: 'token', data: (await this.sessions.regenerateSessionId(session)).token };
  }

  @SubscribeMessage('prove')
  async prove(@ConnectedSocket() client: object) {
    return { event: 'token', data: (await this.sessions.reauthenticate(client)).token };
  }

  @SubscribeMessage('credentials')
  async credentials(@ConnectedSocket() client: object) {
    return { event: 'token', data: (await this.sessions.credentialsChanged(client)).token };
  }
}

@EndsWithSession()
@AllowAnonymous()
@WebSocketGateway({ path: '/ends' })
class Ends extends Chat {}

const ANN = { event: 'you', data: 'ann' };
const REFUSED = {
  event: 'exception',
  data: { status: 'error', code: 'UNAUTHENTICATED', statusCode: 401, message: 'Unauthorized' },
};

describe.each(everyBackend())('Connections on $name', (server) => {
  const clock = new FakeClock();
  /** Two processes, as far as the store sees. */
  const apps: AppUnderTest[] = [];
  const sockets: TestSocket[] = [];

  async function start(session: Partial<SessionModuleOptions> = {}): Promise<AppUnderTest> {
    const app = await startApp({
      platform: apps.length % 2 === 0 ? 'express' : 'fastify',
      controllers: [],
      providers: [Chat, Ends],
      clock,
      // Fifty writers of one session take their time on a busy machine.
      session: { backend: server.another(), backendTimeout: 5000, liveCheckInterval: 0.2, ...session },
      configure: (nest) => {
        nest.useWebSocketAdapter(new SessionWsAdapter(nest));
      },
    });
    apps.push(app);
    return app;
  }

  beforeAll(async () => {
    await server.start();
    await start();
    await start({ onReuse: 'end-user-sessions' });
  });

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
  });

  afterAll(async () => {
    for (const app of apps) await app.close();
    await server.stop();
  });

  async function open(app: number, token: string, path = '/'): Promise<TestSocket> {
    const socket = await openSocket('ws', apps[app]!.url, { 'x-session-token': token }, { path });
    sockets.push(socket);
    return socket;
  }

  const serviceOf = (app: number) => apps[app]!.app.get(SessionService);

  it('store what each of 50 messages at once has changed, and never mix two users', async () => {
    const users = await Promise.all(['ann', 'bob'].map((userId) => logIn(apps[0]!.app, { userId })));
    const [ann, bob] = await Promise.all(users.map(({ token }, app) => open(app, token)));
    const keys = Array.from({ length: 50 }, (_, index) => `k${index}`);
    await Promise.all(keys.flatMap((key) => [ann!.ask('set', key, key), bob!.ask('set', key, key)]));
    for (const { session } of users) {
      const { user, data } = await serviceOf(0).update(session.sessionId, () => undefined);
      expect(data).toEqual(Object.fromEntries(keys.map((key) => [key, user?.userId])));
    }
  });

  it.each([0, 1])(
    'stay signed in when process %d gives the session new ids, and open nothing by old ones',
    async (other) => {
      const { token } = await serviceOf(0).createSession({ user: { userId: 'ann' } });
      const [used, unused] = [await open(0, token), await open(1, token)];
      expect(await used.ask('whoami', null)).toEqual(ANN);
      expect(await unused.ask('whoami', null)).toEqual(ANN);
      let newest = token;
      for (const grace of [0, 0, 5]) {
        const session = await serviceOf(other).getSession(newest);
        newest = (await serviceOf(other).regenerateSessionId(session, { grace })).token!;
        expect(await used.ask('set', `after ${newest}`)).toMatchObject({ event: 'stored' });
      }
      // After the grace, an old id would be one that was stolen.
      clock.advance(60_000);
      expect(await used.ask('whoami', null)).toEqual(ANN);
      expect(await unused.ask('whoami', null)).toEqual(ANN);
      expect(await (await open(other, newest)).ask('whoami', null)).toEqual(ANN);
      expect(Object.keys((await serviceOf(0).getSession(newest)).data)).toHaveLength(3);
      const late = await openSocket('ws', apps[0]!.url, { 'x-session-token': token });
      sockets.push(late);
      expect(await late.ask('whoami', null)).toEqual(REFUSED);
    },
  );

  it('without a user stay with their session under new ids of the same process, with a grace and without', async () => {
    const { token } = await serviceOf(0).createSession({ data: { cart: 1 } });
    const socket = await open(0, token, '/ends');
    expect(await socket.ask('keys', null)).toEqual({ event: 'keys', data: ['cart'] });
    let newest = token;
    for (const grace of [0, 0, 5, 0]) {
      const session = await serviceOf(0).getSession(newest);
      newest = (await serviceOf(0).regenerateSessionId(session, { grace })).token!;
      clock.advance(60_000);
      expect(await socket.ask('keys', null)).toEqual({ event: 'keys', data: ['cart'] });
    }
    await serviceOf(1).deleteSession(await serviceOf(1).getSession(newest));
    expect(await socket.closed).toBe(4401);
  });

  it('give no token of a newer id to a client that has the old one', async () => {
    const { token } = await serviceOf(0).createSession({ user: { userId: 'ann' } });
    const socket = await open(0, token);
    await serviceOf(1).regenerateSessionId(await serviceOf(1).getSession(token));
    for (let round = 0; round < 2; round++) {
      expect(await socket.ask('regenerate', null)).toMatchObject({ event: 'exception', data: { code: 'CONFLICT' } });
    }
    expect(await socket.ask('whoami', null)).toEqual(ANN);
  });

  it.each(['prove', 'credentials'])('are signed out by %s of another client, and not of their own', async (message) => {
    const { token } = await serviceOf(0).createSession({ user: { userId: 'ann' } });
    const [here, there] = [await open(0, token), await open(1, token)];
    expect(await here.ask('whoami', null)).toEqual(ANN);
    const { data: newToken } = await there.ask(message, null);
    expect(await there.ask('whoami', null)).toEqual(ANN);
    expect(await here.ask('whoami', null)).toEqual(REFUSED);
    expect(await (await open(0, String(newToken))).ask('regenerate', null)).toMatchObject({ event: 'token' });
    expect(await there.ask('whoami', null)).toEqual(ANN);
  });

  it('are closed when another process ends the session, and not when it gives it a new id', async () => {
    const { token } = await serviceOf(0).createSession({ user: { userId: 'carl' } });
    const socket = await open(0, token, '/ends');
    const { token: newest } = await serviceOf(1).regenerateSessionId(await serviceOf(1).getSession(token));
    expect((await serviceOf(1).getSession(newest!)).user?.userId).toBe('carl');
    expect(socket.isOpen).toBe(true);
    await serviceOf(1).deleteUserSessions('carl');
    expect(await socket.closed).toBe(4401);
  });

  it('are signed out when the session has ended', async () => {
    const { token, session } = await serviceOf(0).createSession({ user: { userId: 'ann' } });
    const socket = await open(0, token);
    expect(await socket.ask('whoami', null)).toEqual(ANN);
    await serviceOf(1).deleteSession(session.sessionId);
    expect(await socket.ask('whoami', null)).toEqual(REFUSED);
    expect(socket.isOpen).toBe(true);
  });
});
