// What applications do with the options for Redis. This file is right if it compiles, also under exactOptionalPropertyTypes.
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import {
  RedisBackend,
  sessionClusterOptions,
  sessionRedisOptions,
  type SessionRedisOptions,
} from 'nestjs-sessionx/redis';

const nodes = [{ host: 'redis-1' }];

export const clients = (): Redis[] => [
  new Redis(sessionRedisOptions(1000)),
  new Redis('redis://redis-1', sessionRedisOptions(1000)),
  new Redis(6379, 'redis-1', sessionRedisOptions(1000)),
  new Redis(6379, 'redis-1', { ...sessionRedisOptions(1000), password: 'secret' }),
  new Redis({ ...sessionRedisOptions(1000), host: 'redis-1', tls: {} }),
  new Redis({ host: 'redis-1', ...sessionRedisOptions(1000) }),
];

export const clusters = (): Cluster[] => [
  new Cluster(nodes, sessionClusterOptions(1000)),
  new Cluster(nodes, sessionClusterOptions(1000, { password: 'secret', tls: {} })),
  new Cluster(nodes, { ...sessionClusterOptions(1000, { username: 'sessions' }), natMap: {} }),
];

export const backends = (): RedisBackend[] => [
  new RedisBackend({ ...sessionRedisOptions(1000), host: 'redis-1' }),
  ...clients().map((client) => new RedisBackend(client)),
  ...clusters().map((client) => new RedisBackend(client)),
];

export const options: RedisOptions = sessionRedisOptions(1000);
export const timeoutMs: SessionRedisOptions['commandTimeout'] = sessionRedisOptions(1000).commandTimeout;
export const password: string = sessionClusterOptions(1000, { password: 'secret' }).redisOptions.password;
