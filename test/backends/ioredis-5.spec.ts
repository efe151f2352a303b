import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { backendConformance } from 'nestjs-sessionx/testing';

import { RedisServer } from '../support/redis-server.js';

// For all that is imported from here on.
jest.unstable_mockModule('ioredis', () => import('ioredis-5'));
const { Redis } = await import('ioredis');
const { RedisBackend, sessionRedisOptions } = await import('nestjs-sessionx/redis');

describe('RedisBackend with ioredis 5', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
  });

  afterAll(() => redis.stop());

  it('is what is tested here', () => {
    // ioredis 6 has another protocol by default, and an option for its replies.
    expect(new Redis({ lazyConnect: true }).options).not.toHaveProperty('replyMapping');
  });

  describe('by a connection of its own', () => {
    for (const { name, run } of backendConformance({ create: () => new RedisBackend(redis.url) })) it(name, run);
  });

  describe('by a client of the application', () => {
    const clients: InstanceType<typeof Redis>[] = [];

    afterAll(() => {
      for (const client of clients) client.disconnect();
    });

    const create = () => {
      const client = new Redis(redis.url, sessionRedisOptions(1000));
      clients.push(client);
      return new RedisBackend(client);
    };
    for (const { name, run } of backendConformance({ create })) it(name, run);
  });
});
