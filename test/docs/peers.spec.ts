import { afterEach, describe, expect, it } from '@jest/globals';
import fastifyCookie from '@fastify/cookie';
import fastifySession from '@fastify/session';
import express, { type Request } from 'express';
import expressSession, { MemoryStore } from 'express-session';
import fastify from 'fastify';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { SECRET_KEY } from '../support/apps.js';

/** What the README says of other packages is tried here with them. */
interface Peer {
  readonly url: string;
  readonly storedIds: () => string[];
  close(): Promise<unknown>;
}

/** What a handler does with the session of its request. */
interface PeerSession {
  [key: string]: unknown;
  destroy(callback: (error: unknown) => void): unknown;
}

/** Lets the first `count` requests to `/set/…` go on when all of them have loaded the session. */
class Meeting {
  #waiting: (() => void)[] = [];
  #count = 1;

  expect(count: number): void {
    this.#count = count;
  }

  get size(): number {
    return this.#waiting.length;
  }

  async join(): Promise<void> {
    const met = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#waiting.length >= this.#count) this.open();
    await met;
  }

  open(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}

const meeting = new Meeting();
let peer: Peer | undefined;

afterEach(() => peer?.close());

async function set(session: PeerSession, key: string): Promise<void> {
  await meeting.join();
  session[key] = true;
}

function destroy(session: PeerSession): Promise<unknown> {
  return new Promise((resolve) => void session.destroy(resolve));
}

function keysOf(session: PeerSession): string[] {
  return Object.keys(session).filter((key) => key !== 'cookie');
}

async function startExpressSession(store = new MemoryStore()): Promise<Peer> {
  const sessionOf = (request: Request) => request.session as unknown as PeerSession | undefined;
  const app = express();
  app.use(expressSession({ secret: SECRET_KEY, resave: false, saveUninitialized: false, store }));
  app.get('/set/:key', async (request, response) => {
    await set(sessionOf(request)!, request.params.key);
    response.send('set');
  });
  app.get('/destroy', async (request, response) => {
    await destroy(sessionOf(request)!);
    response.send('destroyed');
  });
  app.get('/keys', (request, response) => {
    const session = sessionOf(request);
    response.json(session === undefined ? null : keysOf(session));
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    storedIds: () => Object.keys((store as unknown as { sessions: Record<string, string> }).sessions),
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function startFastifySession(): Promise<Peer> {
  const sessionOf = (request: object) => (request as { session: PeerSession }).session;
  const stored = new Map<string, string>();
  const store = {
    set(id: string, session: unknown, callback: (error?: unknown) => void) {
      stored.set(id, JSON.stringify(session));
      callback();
    },
    get(id: string, callback: (error: unknown, session?: never) => void) {
      callback(null, JSON.parse(stored.get(id) ?? 'null') as never);
    },
    destroy(id: string, callback: (error?: unknown) => void) {
      stored.delete(id);
      callback();
    },
  };
  const app = fastify({ forceCloseConnections: true });
  await app.register(fastifyCookie);
  await app.register(fastifySession, {
    secret: SECRET_KEY,
    cookie: { secure: false },
    saveUninitialized: false,
    store,
  });
  app.get('/set/:key', async (request) => {
    await set(sessionOf(request), (request.params as { key: string }).key);
    return 'set';
  });
  app.get('/destroy', async (request) => {
    await destroy(sessionOf(request));
    return 'destroyed';
  });
  app.get('/keys', (request) => Promise.resolve(keysOf(sessionOf(request))));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return { url, storedIds: () => [...stored.keys()], close: () => app.close() };
}

async function signIn({ url }: Peer): Promise<string> {
  meeting.expect(1);
  const response = await fetch(`${url}/set/user`);
  return response.headers.getSetCookie()[0]!.split(';')[0]!;
}

describe.each([
  ['express-session', startExpressSession],
  ['@fastify/session', startFastifySession],
])('%s', (_, start) => {
  it('keeps one of two keys that two requests set at the same time', async () => {
    peer = await start();
    const headers = { cookie: await signIn(peer) };
    meeting.expect(2);
    await Promise.all(['theme', 'cart'].map((key) => fetch(`${peer!.url}/set/${key}`, { headers })));
    const kept = (await (await fetch(`${peer.url}/keys`, { headers })).json()) as string[];
    expect(kept.filter((key) => key !== 'user')).toHaveLength(1);
  });

  it('brings a session back that was destroyed while a slow request changed it', async () => {
    peer = await start();
    const headers = { cookie: await signIn(peer) };
    meeting.expect(2);
    const slow = fetch(`${peer.url}/set/cart`, { headers });
    while (meeting.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await fetch(`${peer.url}/destroy`, { headers });
    expect(await (await fetch(`${peer.url}/keys`, { headers })).json()).toEqual([]);
    meeting.open();
    await slow;
    expect(await (await fetch(`${peer.url}/keys`, { headers })).json()).toEqual(['user', 'cart']);
  });

  it('stores the id of the cookie as it is', async () => {
    peer = await start();
    const cookie = decodeURIComponent(await signIn(peer));
    const [id] = peer.storedIds();
    expect(id).toBeDefined();
    expect(cookie).toContain(id);
  });
});

describe('express-session', () => {
  it('goes on without a session while its store says that it is disconnected', async () => {
    const store = new MemoryStore();
    peer = await startExpressSession(store);
    const headers = { cookie: await signIn(peer) };
    store.emit('disconnect');
    const response = await fetch(`${peer.url}/keys`, { headers });
    expect([response.status, await response.json()]).toEqual([200, null]);
  });
});
