import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { SessionRecord } from 'nestjs-sessionx';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';
import { FakeClock } from 'nestjs-sessionx/testing';
import { once } from 'node:events';

import { RedisServer } from '../support/redis-server.js';

const ID = `${'a'.repeat(16)}${'b'.repeat(42)}A` as SessionRecord['id'];

describe('the commands of one turn, on a client of the application', () => {
  let server: RedisServer;
  let client: Redis;
  let backend: RedisBackend;

  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis({ ...sessionRedisOptions(1000), host: '127.0.0.1', port: server.port });
    backend = new RedisBackend(client);
    const note = () => undefined;
    const logger = { log: note, warn: note, error: note };
    await backend.open({ clock: new FakeClock(), keyPrefix: 'session:', timeoutMs: 1000, logger });
  });

  afterAll(async () => {
    await backend.close();
    client.disconnect();
    await server.stop();
  });

  /** How often the connection is written to while `act` runs. */
  async function writesOf(act: () => Promise<unknown>): Promise<number> {
    const { stream } = client;
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    let writes = 0;
    // Below the module's own, which it puts there with the first command of a connection.
    Object.assign(stream, { write: (...args: unknown[]) => (writes++, write(...args)) });
    await act();
    return writes;
  }

  it('leave as one, also after a reconnection, with those of the application between them', async () => {
    for (let round = 0; round < 3; round++) {
      client.disconnect(true);
      await once(client, 'ready');
      expect(await writesOf(() => Promise.all([backend.read(ID), client.incr('own'), backend.read(ID)]))).toBe(2);
    }
  });
});
