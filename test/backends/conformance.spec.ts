import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { MemoryBackend } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { backendConformance } from 'nestjs-sessionx/testing';

import { RedisServer } from '../support/redis-server.js';

describe('MemoryBackend', () => {
  for (const { name, run } of backendConformance({ create: () => new MemoryBackend(), again: (first) => first }))
    it(name, run);
});

describe('RedisBackend', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
  });

  afterAll(() => redis.stop());

  const subject = {
    create: () => new RedisBackend(redis.url),
    damage: async ({ keyPrefix, id }: { keyPrefix: string; id: string }) => {
      const client = redis.client();
      await client.set(`${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`, 'something else');
      await client.quit();
    },
  };
  for (const { name, run } of backendConformance(subject)) it(name, run);
});
