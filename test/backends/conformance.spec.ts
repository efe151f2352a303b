import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { MemoryBackend } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { backendConformance, type DamagedKey } from 'nestjs-sessionx/testing';

import { newerText } from '../support/newer-records.js';
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
    damage: async ({ keyPrefix, id }: DamagedKey) => {
      const client = redis.client();
      await client.set(`${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`, 'something else');
      await client.quit();
    },
    writeNewer: async ({ keyPrefix, id }: DamagedKey) => {
      const client = redis.client();
      const key = `${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`;
      await client.set(key, newerText(await client.get(key)), 'KEEPTTL');
      await client.quit();
    },
  };
  for (const { name, run } of backendConformance(subject)) it(name, run);
});
