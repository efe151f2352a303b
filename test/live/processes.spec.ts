import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { SampleProcess } from '../../sample/support/sample-process.js';
import { openSocket } from '../contexts/sockets.js';
import { feedClient } from '../contexts/subscriptions.js';
import type { BackendUnderTest } from '../support/backends.js';
import { redisCluster } from '../support/cluster-backend.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import type { Served } from './served.process.js';

const SERVED = new URL('./served.process.ts', import.meta.url);
/** No look, so only a notice can end what is open. */
const NEVER_S = 3600;

/** A store, and how another process reaches it. */
interface StoreOfProcesses extends BackendUnderTest {
  readonly address: () => string;
  readonly liveCheckInterval: number;
}

function redis(): StoreOfProcesses {
  let server: RedisServer | undefined;
  const url = () => server?.url ?? '';
  return {
    name: 'redis',
    start: async () => {
      server = await RedisServer.start();
    },
    another: () => new RedisBackend(url()),
    stop: async () => server?.stop(),
    address: url,
    liveCheckInterval: NEVER_S,
  };
}

function cluster(): StoreOfProcesses {
  const store = redisCluster();
  // Not a spread, which would ask for the cluster before it is there.
  return Object.assign(Object.create(store) as BackendUnderTest, {
    name: store.name,
    address: () => store.cluster.nodes.map(({ server }) => server.port).join(','),
    liveCheckInterval: NEVER_S,
  });
}

function memcached(): StoreOfProcesses {
  let server: MemcachedServer | undefined;
  const address = () => server?.address ?? '';
  return {
    name: 'memcached',
    start: async () => {
      server = await MemcachedServer.start();
    },
    another: () => new MemcachedBackend({ servers: address() }),
    stop: async () => server?.stop(),
    address,
    liveCheckInterval: 0.3,
  };
}

/** A client of each kind, and what it was told at its end. */
interface Clients {
  readonly ends: Promise<unknown>;
  /** How many have ended. */
  readonly ended: () => number;
  readonly close: () => void;
}

/** One for all stores: to start it costs more than the tests. */
let other: SampleProcess;

beforeAll(() => {
  other = new SampleProcess(SERVED);
});

afterAll(() => other.stop());

describe.each([redis(), cluster(), memcached()])('clients of another process, on $name', (store) => {
  let here: ServiceUnderTest;
  let urls: string[] = [];
  let opened: Clients[] = [];
  let users = 0;

  beforeAll(async () => {
    await store.start();
    here = await startService(store.another(), { maxSessionsPerUser: 2 });
    const { name, liveCheckInterval } = store;
    urls = await serve(
      { library: 'ws', store: name, address: store.address(), liveCheckInterval },
      { library: 'socket.io', store: name, address: store.address(), liveCheckInterval },
    );
  }, 60_000);

  afterEach(() => {
    for (const { close } of opened) close();
    opened = [];
  });

  afterAll(async () => {
    await here.close();
    await serve();
    await store.stop();
  });

  const serve = (...served: Served[]): Promise<string[]> => other.ask(served) as Promise<string[]>;

  const logIn = (userId: string, ttl = 60) => {
    // The other process has the time of the machine.
    here.clock.advance(Date.now() - here.clock.now());
    return here.sessions.createSession({ user: { userId }, ttl });
  };

  /** Resolves when all of them are open, and have been let in. */
  async function open(token: string): Promise<Clients> {
    const [ofWs = '', ofSocketIo = ''] = urls;
    const headers = { authorization: `Bearer ${token}` };
    const stop = new AbortController();
    const response = await fetch(`${ofWs}/stream`, { headers, signal: stop.signal });
    expect(response.status).toBe(200);
    const [ws, socketIo] = await Promise.all([
      openSocket('ws', ofWs, headers),
      openSocket('socket.io', ofSocketIo, headers),
    ]);
    const feed = feedClient(ofSocketIo, headers);
    const news = feed.subscribe('subscription { news { text } }');
    expect((await news.next()).value).toEqual({ data: { news: { text: 'news' } } });

    let ended = 0;
    const ends = [
      response.text().then((text) => [...text.matchAll(/^event: (.+)$/gm)].at(-1)?.[1]),
      ws.closed,
      socketIo.closed.then(() => socketIo.events.at(-1)?.event),
      allOf(news),
    ].map(async (end) => {
      const how: unknown = await end;
      ended++;
      return how;
    });
    const clients: Clients = {
      ends: Promise.all(ends),
      ended: () => ended,
      close: () => {
        clients.ends.catch(() => undefined);
        stop.abort();
        ws.close();
        socketIo.close();
        feed.close();
      },
    };
    opened.push(clients);
    return clients;
  }

  it.each([
    ['it is revoked', 60, 'same', (_: string, id: string) => here.sessions.deleteSession(id)],
    ['its user is logged out everywhere', 60, 'another', (userId: string) => here.sessions.deleteUserSessions(userId)],
    [
      'another one takes its place at the limit',
      60,
      'same',
      async (userId: string) => {
        await logIn(userId);
      },
    ],
    ['its time is over', 2, 'same', () => undefined],
  ])('are told the end of their session, and others nothing, when %s', async (_how, ttl, user, end) => {
    const userId = `user ${users++}`;
    const { session, token } = await logIn(userId, ttl);
    const its = await open(token);
    // Later than the first, which is the one that the limit ends.
    const other = await logIn(user === 'same' ? userId : 'another');
    const others = await open(other.token);

    await end(userId, session.sessionId);

    expect(await its.ends).toEqual(['session-ended', 4401, 'session-ended', 'complete']);
    expect(others.ended()).toBe(0);
  });
});

/** Reads to the end. */
async function allOf(results: AsyncIterator<unknown>): Promise<string> {
  while ((await results.next()).done !== true);
  return 'complete';
}
