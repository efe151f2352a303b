import { afterEach, describe, expect, it } from '@jest/globals';
import { UseGuards } from '@nestjs/common';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  CurrentUser,
  MemoryBackend,
  OptionalSession,
  SessionBackendError,
  SessionEvents,
  SessionGuard,
  SessionService,
  type Session,
  type SessionModuleOptions,
  type SessionUser,
  type TokenSerializer,
} from 'nestjs-sessionx';
import { request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { PLATFORMS, SECRET_KEY, startApp, type AppOptions, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { freePort } from '../support/processes.js';
import { soon } from '../support/soon.js';
import { LIBRARIES, openSocket, type Library, type TestSocket, useSockets } from './sockets.js';

@WebSocketGateway({ cors: { origin: true, credentials: true } })
class Chat {
  @UseGuards(SessionGuard)
  @SubscribeMessage('whoami')
  whoAmI(@CurrentUser() user: SessionUser) {
    return { event: 'you', data: user.userId };
  }

  @SubscribeMessage('maybe')
  maybe(@OptionalSession() session: Session | null) {
    return { event: 'maybe', data: session?.user?.userId ?? null };
  }
}

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': Buffer.alloc(16, 1).toString('base64'),
};
const FOREIGN = 'https://evil.example';

interface Handshake {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const CASES = PLATFORMS.flatMap((platform) => LIBRARIES.map((library) => ({ platform, library })));

describe.each(CASES)('The upgrade for $library on $platform', ({ platform, library }) => {
  const store = new BarrierBackend(new MemoryBackend());
  const apps: AppUnderTest[] = [];
  const sockets: TestSocket[] = [];

  async function start(
    session: Partial<SessionModuleOptions> = {},
    { by = library, ...options }: Partial<AppOptions> & { readonly by?: Library } = {},
  ): Promise<AppUnderTest> {
    const app = await startApp({
      platform,
      controllers: [],
      providers: [Chat],
      session: { backend: store.backend, tokenSourcePriority: ['header', 'bearer', 'cookie'], ...session },
      configure: (nest) => {
        useSockets(nest, by);
      },
      ...options,
    });
    apps.push(app);
    return app;
  }

  afterEach(async () => {
    store.heal();
    for (const socket of sockets.splice(0)) socket.close();
    for (const app of apps.splice(0)) await app.close();
  });

  const path = library === 'ws' ? '/' : '/socket.io/?EIO=4&transport=websocket';

  function handshake(
    { url }: AppUnderTest,
    headers: Readonly<Record<string, unknown>>,
    query = '',
  ): Promise<Handshake> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(url + path + query, {
        agent: false,
        headers: { ...UPGRADE, ...headers },
      });
      request.on('upgrade', (response, socket) => {
        socket.destroy();
        resolve({ status: response.statusCode!, headers: response.headers, body: '' });
      });
      request.on('response', (response) => {
        const { statusCode, headers: received } = response;
        text(response).then((body) => resolve({ status: statusCode!, headers: received, body }), reject);
      });
      request.on('error', reject).end();
    });
  }

  async function cookieOf(app: AppUnderTest, userId = 'ann'): Promise<{ cookie: string; token: string }> {
    const { token } = await app.app.get(SessionService).createSession({ user: { userId } });
    return { token, cookie: `__Host-session=${token}` };
  }

  it('is refused to a page of another origin that has the cookie of a user, and to no one else', async () => {
    const app = await start({ csrf: { allowedOrigins: ['https://app.example'] } });
    const { cookie, token } = await cookieOf(app);
    let rejected = 0;
    app.app
      .get(SessionEvents)
      .on('rejected')
      .subscribe(() => rejected++);
    const status = async (headers: Readonly<Record<string, unknown>>) => (await handshake(app, headers)).status;
    const reads = store.calls.read ?? 0;
    const refused: Readonly<Record<string, string>>[] = [
      { Origin: FOREIGN },
      { Origin: 'null' },
      { Origin: app.url.replace('http', 'https') },
      { Origin: `${app.url}0` },
      { 'Sec-Fetch-Site': 'cross-site', Origin: app.url },
      { 'Sec-Fetch-Site': 'same-site' },
    ];
    for (const headers of refused) expect([headers, await status({ cookie, ...headers })]).toEqual([headers, 403]);
    // Before any call to the store.
    expect(store.calls.read ?? 0).toBe(reads);
    expect(rejected).toBe(refused.length);
    const { headers, body } = await handshake(app, { cookie, Origin: FOREIGN });
    expect(headers).toMatchObject({ 'cache-control': 'no-store', connection: 'close' });
    expect(JSON.parse(body)).toMatchObject({ statusCode: 403, message: 'Forbidden' });
    const admitted: Readonly<Record<string, string>>[] = [
      { cookie },
      { cookie, Origin: app.url },
      { cookie, Origin: 'https://app.example', 'Sec-Fetch-Site': 'cross-site' },
      { cookie, 'Sec-Fetch-Site': 'same-origin' },
      { Origin: FOREIGN },
      { Origin: FOREIGN, cookie: '__Host-session=nonsense' },
      { Origin: FOREIGN, 'X-Session-Token': token },
      { Origin: FOREIGN, Authorization: `Bearer ${token}`, cookie },
    ];
    for (const one of admitted) expect([one, await status(one)]).toEqual([one, 101]);
  });

  it('is not refused with enableCsrf off, and makes no call to the store without a token', async () => {
    const app = await start({ enableCsrf: false });
    const { cookie, token } = await cookieOf(app);
    expect((await handshake(app, { cookie, Origin: FOREIGN })).status).toBe(101);
    store.fail('read');
    const query = library === 'ws' ? `?token=${token}` : `&token=${token}&access_token=${token}`;
    expect((await handshake(app, {}, query)).status).toBe(101);
  });

  it('is a 503 while the store is down, and works afterwards', async () => {
    const app = await start();
    const { cookie } = await cookieOf(app);
    store.fail('read');
    const { status, headers, body } = await handshake(app, { cookie });
    expect([status, headers['retry-after'], JSON.parse(body)]).toMatchObject([503, '1', { statusCode: 503 }]);
    store.heal();
    expect((await handshake(app, { cookie })).status).toBe(101);
  });

  it('knows the origin that a trusted proxy names', async () => {
    const app = await start({}, { trustProxy: 'loopback' });
    const { cookie } = await cookieOf(app);
    const forwarded = { cookie, 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'chat.example' };
    expect((await handshake(app, { ...forwarded, Origin: 'https://chat.example' })).status).toBe(101);
    expect((await handshake(app, { ...forwarded, Origin: 'http://chat.example' })).status).toBe(403);
    expect((await handshake(app, { ...forwarded, Origin: app.url })).status).toBe(403);
    const direct = await start();
    expect((await handshake(direct, { ...forwarded, Origin: 'https://chat.example' })).status).toBe(403);
  });

  it('compares the address of the client, as a trusted proxy names it, with that of the session', async () => {
    const app = await start({ ipBinding: true }, { trustProxy: 'loopback' });
    const { token } = await app.app
      .get(SessionService)
      .createSession({ user: { userId: 'ann' }, ipAddress: '192.0.2.1' });
    for (const [address, expected] of [
      ['192.0.2.1', 'ann'],
      ['192.0.2.2', null],
    ]) {
      const socket = await openSocket(library, app.url, { 'x-session-token': token, 'x-forwarded-for': address! });
      sockets.push(socket);
      expect(await socket.ask('maybe', 1)).toEqual({ event: 'maybe', data: expected });
    }
  });

  it('takes no session from several cookies of two sessions, and the good one of several', async () => {
    const app = await start();
    const [ann, bob] = [await cookieOf(app, 'ann'), await cookieOf(app, 'bob')];
    for (const [cookie, expected] of [
      [`${ann.cookie}; ${bob.cookie}`, null],
      [`__Host-session=nonsense; ${ann.cookie}; ${ann.cookie}`, 'ann'],
    ]) {
      const socket = await openSocket(library, app.url, { cookie: cookie! });
      sockets.push(socket);
      expect(await socket.ask('maybe', 1)).toEqual({ event: 'maybe', data: expected });
    }
  });

  it('is watched only at servers where something listens to upgrades', async () => {
    const app = await start();
    const server = app.app.getHttpServer() as { readonly emit: unknown };
    const other = await startApp({ platform, controllers: [] });
    apps.push(other);
    expect(Object.hasOwn(server, 'emit')).toBe(true);
    expect(Object.hasOwn(other.app.getHttpServer() as object, 'emit')).toBe(false);
  });

  it('leaves a listener of errors on a socket, as the adapter may end one that has been reset', async () => {
    const app = await start();
    const listeners: number[] = [];
    (app.app.getHttpServer() as Server).on('upgrade', (_request, socket) => {
      listeners.push(socket.listenerCount('error'));
      socket.destroy();
    });
    await expect(handshake({ ...app, url: `${app.url}/nobody-listens` }, {})).rejects.toThrow();
    expect(listeners).toEqual([expect.any(Number)]);
    expect(listeners[0]).toBeGreaterThan(0);
  });

  // A raw client speaks the protocol of ws.
  if (library === 'ws') {
    it('waits for the store, and then hands on what the client has sent meanwhile', async () => {
      const app = await start();
      const { token } = await cookieOf(app);
      const read = store.stopNext('read');
      const { port } = new URL(app.url);
      const socket = connect(Number(port), '127.0.0.1');
      const head = Object.entries({ Host: '127.0.0.1', ...UPGRADE, 'X-Session-Token': token });
      const lines = ['GET / HTTP/1.1', ...head.map(([name, value]) => `${name}: ${value}`), '', ''];
      const frames = [1, 2, 3].map((data) => frameOf(JSON.stringify({ event: 'maybe', data })));
      socket.write(Buffer.concat([Buffer.from(lines.join('\r\n')), frames[0]!]));
      await read.arrived;
      socket.write(frames[1]!);
      socket.write(frames[2]!);
      await new Promise((resolve) => setImmediate(resolve));
      read.letGo();
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString('latin1')));
      await soon(() => received.split('"event":"maybe","data":"ann"').length === 4 || undefined);
      socket.destroy();
    });
  }

  it('ends with a client that leaves, or an application that closes, while it waits', async () => {
    const app = await start();
    const { token } = await cookieOf(app);
    for (const how of ['destroy', 'resetAndDestroy'] as const) {
      const read = store.stopNext('read');
      const request = httpRequest(app.url + path, { headers: { ...UPGRADE, 'X-Session-Token': token }, agent: false });
      request.on('error', () => undefined).end();
      await read.arrived;
      request.socket![how]();
      read.letGo();
      await read.done;
    }
    const read = store.stopNext('read');
    const response = handshake(app, { 'X-Session-Token': token });
    await read.arrived;
    const closing = app.close();
    apps.pop();
    expect((await response).status).toBe(503);
    read.letGo();
    await closing;
  });

  /** Sockets that come without an upgrade of this server: by long polling, or at a port of their own. */
  async function startWithoutUpgrades(session: Partial<SessionModuleOptions> = {}) {
    const port = await freePort();
    @WebSocketGateway(port)
    class Apart extends Chat {}
    const isPolling = library === 'socket.io';
    const app = await start(session, isPolling ? {} : { providers: [Apart] });
    const url = isPolling ? app.url : `http://127.0.0.1:${port}`;
    const open = async (headers: Readonly<Record<string, string>>): Promise<TestSocket> => {
      const socket = await openSocket(library, url, headers, isPolling ? { transports: ['polling'] } : {});
      sockets.push(socket);
      return socket;
    };
    return { url, open, cookie: (await cookieOf(app)).cookie };
  }

  it('is checked again at the first use, where there was none: by long polling, or at a port of its own', async () => {
    const { url, open, cookie } = await startWithoutUpgrades();
    const [foreign, own] = [await open({ cookie, Origin: FOREIGN }), await open({ cookie, Origin: url })];
    expect(await own.ask('whoami', null)).toEqual({ event: 'you', data: 'ann' });
    for (const event of ['whoami', 'maybe']) {
      expect(await foreign.ask(event, 1)).toMatchObject({
        event: 'exception',
        data: { code: 'FORBIDDEN', statusCode: 403 },
      });
    }
  });

  it('leaves it to the next message to verify the token, where there was none and the serializer could not decide', async () => {
    const simple = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' });
    let keysAreThere = false;
    const tokenFormat: TokenSerializer = {
      serialize: (claims) => simple.serialize(claims),
      verify: async (token) => {
        await eventLoopTurn();
        if (!keysAreThere) throw new SessionBackendError('BACKEND_UNAVAILABLE', 'The keys are out of reach.');
        return simple.verify(token);
      },
    };
    const { url, open, cookie } = await startWithoutUpgrades({ tokenFormat });
    const socket = await open({ cookie, Origin: url });
    expect(await socket.ask('whoami', 1)).toMatchObject({ event: 'exception', data: { code: 'SERVICE_UNAVAILABLE' } });
    keysAreThere = true;
    expect(await socket.ask('whoami', 2)).toEqual({ event: 'you', data: 'ann' });
  });
});

/** A masked text frame of a client (RFC 6455, section 5.2), with the mask 0. */
function frameOf(message: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | message.length, 0, 0, 0, 0]), Buffer.from(message)]);
}
