import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

import { MemcachedServer } from '../../../test/support/memcached-server.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { SampleProcess } from '../../support/sample-process.js';
import { ANSWERS, pasteCommands } from './pasted-commands.js';

const MAIN = new URL('../src/main.ts', import.meta.url);

describe.each(['memory', 'redis', 'memcached'])('the process of 02-auth-api, outside production, on %s', (store) => {
  let server: RedisServer | MemcachedServer | undefined;
  let main: SampleProcess;

  beforeAll(async () => {
    main = new SampleProcess(MAIN, { PORT: '0', ...(await startStore()) });
  });

  afterAll(async () => {
    await main.stop();
    await server?.stop();
  });

  async function startStore(): Promise<Record<string, string>> {
    if (store === 'redis') {
      const redis = await RedisServer.start();
      server = redis;
      return { REDIS_URL: redis.url };
    }
    if (store === 'memcached') {
      const memcached = await MemcachedServer.start();
      server = memcached;
      return { MEMCACHED_SERVERS: memcached.address };
    }
    return {};
  }

  it('listens on this machine only', async () => {
    const [, url] = await main.prints(/Listening on (\S+),/);

    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it('says once that sessions end with it, because SESSION_SECRET is not set', async () => {
    await main.prints(/Listening on/);

    expect(main.output.match(/SESSION_SECRET/g)).toHaveLength(1);
  });

  it('prints commands that work when they are pasted', async () => {
    expect(await pasteCommands(main)).toMatchObject(ANSWERS);
  });

  it('ends in peace on SIGTERM', async () => {
    await main.prints(/Listening on/);

    await main.stop();

    expect(main.output).not.toMatch(/error/i);
  });
});

describe('the process of 02-auth-api, on a port that is in use', () => {
  it('says so, and what to do about it', async () => {
    const neighbour = createServer().listen(0, '127.0.0.1');
    await once(neighbour, 'listening');
    const { port } = neighbour.address() as AddressInfo;

    const main = new SampleProcess(MAIN, { PORT: String(port) });

    expect(await main.exitCode()).toBe(1);
    expect(main.output).toContain(`Port ${port} of 127.0.0.1 is in use. Set PORT to another one`);
    neighbour.close();
  });
});

describe('the process of 02-auth-api in production', () => {
  it('does not start without SESSION_SECRET', async () => {
    const main = new SampleProcess(MAIN, { PORT: '0', NODE_ENV: 'production' });

    expect(await main.exitCode()).toBe(1);
    expect(main.output).toContain('SESSION_SECRET is not set. In production it must be');
  });

  it('knows no demo user, and prints no password', async () => {
    const SESSION_SECRET = 'a key of this test only, 0123456789abcdef';
    const main = new SampleProcess(MAIN, { PORT: '0', NODE_ENV: 'production', SESSION_SECRET });
    const [, url] = await main.prints(/Listening on (\S+)\n/);

    const login = await fetch(`${url}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'alice', password: 'correct horse battery staple' }),
    });
    await main.stop();

    expect(login.status).toBe(401);
    expect(main.output).not.toContain('correct horse');
  });
});
