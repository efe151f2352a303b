import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import type { Credential } from '../http/apps/app-definition.js';
import { Worker } from '../http/processes.js';
import type { CountingProxy } from '../support/counting-proxy.js';
import type { RedisServer } from '../support/redis-server.js';
import type { CostCase } from './cases.js';
import type { CostMessage, Counts } from './messages.js';

/** Enough for every connection and cache to be as it stays. */
const WARM_UP_REQUESTS = 500;
/** Enough for V8 to compile what is hot. */
const HEAP_WARM_UP_REQUESTS = 6000;
const COUNTED_REQUESTS = 200;
const HEAP_REQUESTS = 1500;

/** What one request makes, in the process that serves it and on the way to the store. */
export interface Cost {
  readonly promises: number;
  readonly timers: number;
  readonly commands: number;
  readonly roundTrips: number;
  readonly bytesToStore: number;
  /** Bytes that V8 allocates, nearly all of which are garbage when the request is over; null: not measured. */
  readonly heapBytes: number | null;
}

/** The figures that do not depend on the machine. */
export const FIXED_FIGURES = ['promises', 'timers', 'commands', 'roundTrips', 'bytesToStore'] as const;

type Ask = <Reply>(message: CostMessage) => Promise<Reply>;

export interface CountedStores {
  readonly redis: RedisServer;
  readonly redisProxy: CountingProxy;
  readonly memcachedProxy: CountingProxy;
}

/** @param withHeap whether to measure that too, which takes several times as long */
export async function count(
  one: CostCase,
  { redis, redisProxy, memcachedProxy }: CountedStores,
  withHeap: boolean,
): Promise<Cost> {
  const stores = [`redis://127.0.0.1:${redisProxy.port}`, `127.0.0.1:${memcachedProxy.port}`];
  const worker = new Worker(
    '../cost/server.process.js',
    [one.platform, one.variant, ...stores],
    // A young generation so large that nothing is collected while the heap is measured.
    ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256'],
  );
  try {
    const { port } = await worker.receive<{ readonly port: number }>();
    const client = await Client.connect(port, one, one.signedIn ? await logIn(port) : null);
    await client.send(WARM_UP_REQUESTS);
    const ask: Ask = (message) => worker.ask(message);

    const proxy = one.variant === 'memcached' ? memcachedProxy : redisProxy;
    await ask({ ask: 'count' });
    proxy.reset();
    const callsBefore = await redis.totalCalls();
    await client.send(COUNTED_REQUESTS);
    const callsAfter = await redis.totalCalls();
    const { bytesSent, roundTrips } = proxy.traffic;
    const { promises, timers } = await ask<Counts>({ ask: 'counts' });

    const heapBytes = withHeap ? await heapBytesOf(client, ask) : null;
    client.close();
    const each = (total: number) => total / COUNTED_REQUESTS;
    return {
      promises: each(promises),
      timers: each(timers),
      commands: each(callsAfter - callsBefore),
      roundTrips: each(roundTrips),
      bytesToStore: each(bytesSent),
      heapBytes,
    };
  } finally {
    await worker.stop();
  }
}

async function heapBytesOf(client: Client, ask: Ask): Promise<number> {
  await client.send(HEAP_WARM_UP_REQUESTS);
  const before = await ask<{ heapBytes: number }>({ ask: 'collect' });
  await client.send(HEAP_REQUESTS);
  const after = await ask<{ heapBytes: number }>({ ask: 'heap' });
  return (after.heapBytes - before.heapBytes) / HEAP_REQUESTS;
}

async function logIn(port: number): Promise<Credential> {
  const response = await fetch(`http://127.0.0.1:${port}/login`, {
    method: 'POST',
    headers: { origin: 'http://bench.example' },
  });
  const [cookie] = response.headers.getSetCookie();
  if (cookie !== undefined) return { header: 'Cookie', value: cookie.split(';', 1)[0]! };
  const { token } = (await response.json()) as { token: string };
  return { header: 'X-Session-Token', value: token };
}

/** One connection, one request at a time. */
class Client {
  static async connect(port: number, one: CostCase, credential: Credential | null): Promise<Client> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1');
    await once(socket, 'connect');
    const lines = [`${one.method} ${one.path} HTTP/1.1`, 'Host: 127.0.0.1', 'Origin: http://bench.example'];
    if (one.method === 'POST') lines.push('Content-Length: 0');
    if (credential !== null) lines.push(`${credential.header}: ${credential.value}`);
    return new Client(socket, [...lines, '', ''].join('\r\n'));
  }

  private constructor(
    private readonly socket: Socket,
    private readonly request: string,
  ) {}

  async send(requests: number): Promise<void> {
    for (let sent = 0; sent < requests; sent++) {
      this.socket.write(this.request, 'latin1');
      let response = '';
      do [response] = [response + ((await once(this.socket, 'data')) as [string])[0]];
      while (!isWhole(response));
      if (!/^HTTP\/1\.1 20[01] /.test(response)) throw new Error(`A wrong response was measured:\n${response}`);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

function isWhole(response: string): boolean {
  const headEnd = response.indexOf('\r\n\r\n');
  const length = /^content-length: (\d+)$/im.exec(response)?.[1];
  return headEnd >= 0 && response.length >= headEnd + 4 + Number(length ?? 0);
}
