import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { backendConformance, type DamagedKey } from 'nestjs-sessionx/testing';

import { MemcachedServer } from '../support/memcached-server.js';
import { newerText } from '../support/newer-records.js';

describe.each([1, 3])('MemcachedBackend on %d server(s)', (count) => {
  const servers: MemcachedServer[] = [];

  beforeAll(async () => {
    for (let started = 0; started < count; started++) servers.push(await MemcachedServer.start());
  });

  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  const subject = {
    create: () => new MemcachedBackend({ servers: servers.map(({ address }) => address).join(',') }),
    damage: async ({ keyPrefix, id }: DamagedKey) => {
      for (const server of servers) {
        const client = server.client();
        await client.replace(keyPrefix + id, 'something else');
        client.close();
      }
    },
    writeNewer: async ({ keyPrefix, id }: DamagedKey) => {
      for (const server of servers) {
        const client = server.client();
        const { value } = await client.get(keyPrefix + id);
        if (value !== null) await client.replace(keyPrefix + id, newerText(value.toString()), { expires: 3600 });
        client.close();
      }
    },
  };
  for (const { name, run } of backendConformance(subject)) it(name, run);
});
