import { afterEach, expect, it, jest } from '@jest/globals';
import { Logger, UseGuards } from '@nestjs/common';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  EndsWithSession,
  MemoryBackend,
  SessionGuard,
  SessionService,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { connect, type Socket } from 'node:net';

import { readOperation } from '../../src/contexts/graphql.reader.js';
import { startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { soon } from '../support/soon.js';
import { openSocket, type Library, useSockets } from './sockets.js';

const handled: unknown[] = [];

@EndsWithSession()
@WebSocketGateway()
class Chat {
  @SubscribeMessage('say')
  say(_client: object, words: unknown) {
    handled.push(words);
    return { event: 'said', data: words };
  }

  @UseGuards(SessionGuard)
  @SubscribeMessage('guarded')
  guarded() {
    return { event: 'passed', data: 1 };
  }
}

let app: AppUnderTest;
let socket: Socket | undefined;

async function start(library: Library, session: Partial<SessionModuleOptions> = {}): Promise<void> {
  app = await startApp({
    controllers: [],
    providers: [Chat],
    session: { backend: new MemoryBackend(), tokenSourcePriority: ['header', 'cookie'], ...session },
    configure: (nest) => {
      useSockets(nest, library);
    },
  });
}

afterEach(async () => {
  jest.restoreAllMocks();
  socket?.destroy();
  await app.close();
});

/** A masked text frame (RFC 6455, section 5.2), with the mask 0. */
function frameOf(data: number): Buffer {
  const message = JSON.stringify({ event: 'say', data });
  return Buffer.concat([Buffer.from([0x81, 0x80 | message.length, 0, 0, 0, 0]), Buffer.from(message)]);
}

it('a client of ws that does not answer the close has none of its messages handled after it', async () => {
  await start('ws');
  const sessions = app.app.get(SessionService);
  const { token, session } = await sessions.createSession({ user: { userId: 'ann' } });
  const opened = (socket = connect(Number(new URL(app.url).port), '127.0.0.1'));
  let received = '';
  opened.on('error', () => undefined).on('data', (chunk) => (received += chunk.toString('latin1')));
  const head = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': Buffer.alloc(16, 1).toString('base64'),
    'X-Session-Token': token,
  };
  opened.write(
    `GET / HTTP/1.1\r\n${Object.entries(head)
      .map((line) => `${line.join(': ')}\r\n`)
      .join('')}\r\n`,
  );
  opened.write(frameOf(1));
  await soon(() => handled.length === 1 || undefined);
  await sessions.deleteSession(session);
  await soon(() => received.includes('session-ended') || undefined);
  opened.write(frameOf(2));
  // Answered by the server in the order of its arrival, were it open: another connection tells that time has passed.
  const other = await openSocket('ws', app.url, {});
  await other.ask('say', 3);
  other.close();
  expect([handled, opened.destroyed]).toEqual([[1, 3], false]);
});

it('messages that go on after the session has ended cost one read each, where nobody is told of the end', async () => {
  class Silent extends MemoryBackend {
    override onEnded = () => Promise.resolve({ close: () => Promise.resolve() });
  }
  const store = new BarrierBackend(new Silent());
  await start('ws', { backend: store.backend });
  const sessions = app.app.get(SessionService);
  const { token, session } = await sessions.createSession({ user: { userId: 'ann' } });
  const client = await openSocket('ws', app.url, { 'x-session-token': token });
  expect(await client.ask('guarded', 1)).toMatchObject({ event: 'passed' });
  await store.backend.delete(session.sessionId);
  expect(await client.ask('guarded', 2)).toMatchObject({ event: 'exception' });
  const before = { ...store.calls };
  for (let message = 0; message < 3; message++) await client.ask('guarded', message);
  client.close();
  expect(store.calls).toEqual({ ...before, read: before.read! + 3 });
});

it('a page of another site opens no connection with the cookie of a user by a script, which names no origin', async () => {
  await start('socket.io');
  const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' } });
  const open = async (query: string): Promise<string> => {
    const poll = async (more: string, init: RequestInit = {}): Promise<string> => {
      const path = `/socket.io/?EIO=4&transport=polling${query}${more}`;
      const headers = { cookie: `__Host-session=${token}`, 'content-type': 'text/plain' };
      return (await app.fetch(path, { headers, ...init })).text();
    };
    const id = /sid\\?":\\?"([\w-]+)/.exec(await poll(''))![1]!;
    const send = (packet: string) =>
      poll(
        `&sid=${id}`,
        query === ''
          ? { method: 'POST', body: packet }
          : { method: 'POST', body: `d=${packet}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      );
    await send('40');
    await poll(`&sid=${id}`);
    await send('42["guarded",1]');
    return poll(`&sid=${id}`);
  };
  expect(await open('')).toContain('passed');
  for (const query of ['&j=0', '&%6a=0']) {
    const reply = await open(query);
    expect(reply).toContain('FORBIDDEN');
    expect(reply).not.toContain('passed');
  }
});

it('what a reader throws makes one line for a handler, whatever clients send', async () => {
  const lines = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
  const read = (context: { getArgByIndex(index: number): unknown }): never => {
    throw new Error(`Unexpected ${String(context.getArgByIndex(1))}`);
  };
  await start('ws', { contexts: [{ type: 'ws', read }] });
  const client = await openSocket('ws', app.url, {});
  for (const words of ['a', 'b', 'c']) await client.ask('guarded', words);
  client.close();
  expect(lines.mock.calls.filter(([line]) => String(line).includes('has thrown')).length).toBe(1);
});

it('the names that a client of GraphQL has sent to open its connection are looked through once', async () => {
  await start('ws');
  let looks = 0;
  const names = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`x-name-${index}`, '1']));
  const params = new Proxy(
    { ...names, Authorization: 'Bearer a', headers: { 'X-Session-Token': 'b' } },
    {
      ownKeys: (target) => {
        looks++;
        return Reflect.ownKeys(target);
      },
    },
  );
  const request = { rawHeaders: [], headers: {}, upgrade: true };
  for (let i = 0; i < 3; i++) {
    const found = readOperation({ extra: { request }, connectionParams: params }, 'x-session-token');
    expect(found?.token).toBe('b');
  }
  // For each of the two names.
  expect(looks).toBeLessThanOrEqual(2);
});
