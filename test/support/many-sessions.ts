import { encodeRecord, MemoryBackend, type SessionBackend, type SessionRecord, type UserTag } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { inBatches } from '../../src/backends/memcached/in-batches.js';
import { Items } from '../../src/backends/memcached/items.js';
import { MemcachedConnection } from '../../src/backends/memcached/memcached-connection.js';
import { encodeList } from '../../src/backends/memcached/session-list.js';
import { MemcachedServer } from './memcached-server.js';
import { RedisServer } from './redis-server.js';

const RECORDS_AT_ONCE = 2_000;
const LIFETIME_MS = 3_600_000;

/** A store into which many sessions of one user can be put at once, past the backend: a login each would take minutes. */
export interface StoreOfMany {
  readonly name: string;
  start(): Promise<void>;
  another(): SessionBackend;
  /** Puts the sessions into the store, and into the index of their user. */
  fill(keyPrefix: string, tag: UserTag, records: readonly SessionRecord[]): Promise<void>;
  stop(): Promise<void>;
}

export function memoryOfMany(): StoreOfMany {
  const backend = new MemoryBackend();
  return {
    name: 'memory',
    start: () => Promise.resolve(),
    another: () => backend,
    fill: async (_keyPrefix, _tag, records) => {
      for (const record of records) await backend.create(record, { timeoutMs: LIFETIME_MS });
    },
    stop: () => Promise.resolve(),
  };
}

export function redisOfMany(): StoreOfMany & { readonly server: RedisServer } {
  let server: RedisServer;
  return {
    name: 'redis',
    get server() {
      return server;
    },
    start: async () => {
      server = await RedisServer.start();
    },
    another: () => new RedisBackend(server.url),
    fill: async (keyPrefix, tag, records) => {
      const client = server.client();
      const index = `${keyPrefix}{${tag}}`;
      for (const part of parts(records)) {
        const pipeline = client.pipeline();
        for (const record of part) pipeline.set(index + record.id.slice(16), encodeRecord(record), 'PX', LIFETIME_MS);
        pipeline.zadd(index, ...part.flatMap(indexEntries));
        pipeline.pexpire(index, LIFETIME_MS);
        for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
      }
      await client.quit();
    },
    stop: () => server.stop(),
  };
}

export function memcachedOfMany(): StoreOfMany & { readonly server: MemcachedServer } {
  let server: MemcachedServer;
  return {
    name: 'memcached',
    get server() {
      return server;
    },
    start: async () => {
      server = await MemcachedServer.start('-m', '256');
    },
    another: () => new MemcachedBackend({ servers: server.address }),
    fill: async (keyPrefix, tag, records) => {
      // Not by memjs alone, which may wait without end when it has much to do.
      const clock = { now: () => Date.now() };
      const context = { keyPrefix, timeoutMs: 30_000, clock, logger: console };
      const connection = new MemcachedConnection({ host: '127.0.0.1', port: server.port }, context);
      const items = new Items(connection, 1024 * 1024);
      await inBatches(records, (record) => items.add(keyPrefix + record.id, encodeRecord(record), LIFETIME_MS));
      const entries = records.map(({ id, expiresAt }) => ({ member: id.slice(16), expiresAt }));
      await items.delete(keyPrefix + tag);
      await items.add(keyPrefix + tag, encodeList(tag, entries), LIFETIME_MS);
      await connection.close();
    },
    stop: () => server.stop(),
  };
}

/** As a backend enters a session into the index of its user. */
function indexEntries({ id, expiresAt, lastAccessed }: SessionRecord): (string | number)[] {
  const member = id.slice(16);
  return [expiresAt, member, 1e14 + lastAccessed, `~${member}`];
}

function* parts(records: readonly SessionRecord[]): Generator<readonly SessionRecord[]> {
  for (let start = 0; start < records.length; start += RECORDS_AT_ONCE) {
    yield records.slice(start, start + RECORDS_AT_ONCE);
  }
}
