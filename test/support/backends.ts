import { MemoryBackend, type SessionBackend } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { MemcachedServer } from './memcached-server.js';
import { RedisServer } from './redis-server.js';

/** A store to run a suite on. `another()` gives a further instance that sees the same sessions, as another process has it. */
export interface BackendUnderTest {
  readonly name: string;
  start(): Promise<void>;
  another(): SessionBackend;
  stop(): Promise<void>;
}

export function memory(): BackendUnderTest {
  let shared: MemoryBackend | undefined;
  return {
    name: 'memory',
    start: () => {
      shared = new MemoryBackend();
      return Promise.resolve();
    },
    another: () => {
      if (shared === undefined) throw new Error('start() comes first');
      return shared;
    },
    stop: () => Promise.resolve(),
  };
}

export function redis(): BackendUnderTest {
  let server: RedisServer | undefined;
  return {
    name: 'redis',
    start: async () => {
      server = await RedisServer.start();
    },
    another: () => {
      if (server === undefined) throw new Error('start() comes first');
      return new RedisBackend(server.url);
    },
    stop: async () => server?.stop(),
  };
}

export function memcached(): BackendUnderTest {
  let server: MemcachedServer | undefined;
  return {
    name: 'memcached',
    start: async () => {
      server = await MemcachedServer.start();
    },
    another: () => {
      if (server === undefined) throw new Error('start() comes first');
      return new MemcachedBackend({ servers: server.address });
    },
    stop: async () => server?.stop(),
  };
}

/** Every store that keeps the promises, fresh ones at each call. */
export function everyBackend(): BackendUnderTest[] {
  return [memory(), redis(), memcached()];
}
