import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Cluster, Redis } from 'ioredis';
import { join } from 'node:path';
import type { SessionBackend } from 'nestjs-sessionx';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { RedisBackend, sessionClusterOptions, sessionRedisOptions } from 'nestjs-sessionx/redis';
import { FakeClock } from 'nestjs-sessionx/testing';

import { PROBED_COMMANDS } from '../../src/backends/redis/readiness/rights-check.js';
import { opened } from '../support/opened-backend.js';
import { freePort } from '../support/processes.js';
import { RedisCluster, until } from '../support/redis-cluster.js';
import { RedisServer } from '../support/redis-server.js';
import { atOnce, startService, type ServiceUnderTest } from '../support/services.js';
import { ShardingProxy } from '../support/sharding-proxy.js';

const USER = { userId: 'ann' };
const UNAVAILABLE = { code: 'BACKEND_UNAVAILABLE', status: 503 };

const servers: { stop(): Promise<void> }[] = [];
const services: ServiceUnderTest[] = [];
const backends: SessionBackend[] = [];
const clients: (Redis | Cluster)[] = [];

afterEach(async () => {
  for (const service of services.splice(0)) await service.close();
  for (const backend of backends.splice(0)) await backend.close();
  for (const client of clients.splice(0)) client.disconnect();
  for (const server of servers.splice(0)) await server.stop();
});

async function startRedis(...args: string[]): Promise<RedisServer> {
  const redis = await RedisServer.start(...args);
  servers.push(redis);
  return redis;
}

function observe(redis: RedisServer): Redis {
  const observer = redis.client();
  observer.on('error', () => undefined);
  clients.push(observer);
  return observer;
}

async function serve(backend: SessionBackend, options = {}): Promise<ServiceUnderTest> {
  const service = await startService(backend, options);
  services.push(service);
  return service;
}

/** An opened backend, and what it has logged. */
async function open(backend: RedisBackend): Promise<readonly string[]> {
  backends.push(backend);
  return (await opened(backend)).lines;
}

function errorsOf(lines: readonly string[]): string[] {
  return lines.filter((line) => line.startsWith('error: '));
}

/** Ends every connection but the observer's, and waits for the next one. */
async function reconnect(observer: Redis): Promise<void> {
  const newest = async () => {
    const list = String(await observer.call('CLIENT', 'LIST'));
    return Math.max(...[...list.matchAll(/^id=(\d+)/gm)].map(([, id]) => Number(id)));
  };
  const before = await newest();
  await observer.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await until('there is a new connection', async () => (await newest()) > before);
}

/** Resolves when the call no longer fails. */
async function untilWorks(service: ServiceUnderTest): Promise<void> {
  await until('sessions work again', () =>
    service.sessions.createSession().then(
      () => true,
      (error: unknown) => {
        expect(error).toMatchObject({ status: 503 });
        return false;
      },
    ),
  );
}

describe('a database that was asked for', () => {
  it('is used where the server has it, by URL and by options', async () => {
    const redis = await startRedis();
    const service = await serve(new RedisBackend(`${redis.url}/3`));
    await service.sessions.createSession({ user: USER });
    const other = await serve(new RedisBackend({ host: '127.0.0.1', port: redis.port, db: 3 }));
    expect(await other.sessions.listUserSessions('ann')).toHaveLength(1);
    const observer = observe(redis);
    expect(await observer.dbsize()).toBe(0);
    await observer.select(3);
    expect(await observer.dbsize()).toBe(2);
  });

  it.each(['99', '16'])('%s of 16 is a 503 and not database 0, on every connection', async (database) => {
    const redis = await startRedis();
    const observer = observe(redis);
    const elsewhere = await serve(new RedisBackend(redis.url));
    const { token } = await elsewhere.sessions.createSession({ user: USER });
    const service = await serve(new RedisBackend(`${redis.url}/${database}`));
    const before = await observer.dbsize();
    for (let round = 0; round < 3; round++) {
      await expect(service.sessions.getSession(token)).rejects.toMatchObject(UNAVAILABLE);
      await expect(service.sessions.createSession({ user: USER })).rejects.toMatchObject(UNAVAILABLE);
      await expect(service.sessions.deleteUserSessions('ann')).rejects.toMatchObject(UNAVAILABLE);
      await reconnect(observer);
    }
    expect(await observer.dbsize()).toBe(before);
  });

  it('is said at error with how to mend it, once, and works again by itself when the server has it', async () => {
    const port = await freePort();
    const redis = await RedisServer.startOn(port);
    servers.push(redis);
    const backend = new RedisBackend({ host: '127.0.0.1', port, db: 20 });
    const lines = await open(backend);
    expect(errorsOf(lines)).toEqual([expect.stringMatching(/did not give database 20.*databases/)]);
    await redis.kill();
    const larger = await RedisServer.startOn(port, '--databases', '32');
    servers.push(larger);
    await until('the database is there', () =>
      lines.some((line) => line.startsWith('log: ') && line.includes('database 20')),
    );
    await backend.ping();
    expect(errorsOf(lines)).toHaveLength(1);
  });

  it('is found by SELECT where the user may not run CLIENT, and is not ready where he may not run SELECT either', async () => {
    const redis = await startRedis();
    const observer = observe(redis);
    await observer.call('ACL', 'SETUSER', 'no-client', 'on', '>pw', '~*', '+@all', '-client');
    await observer.call('ACL', 'SETUSER', 'no-select', 'on', '>pw', '~*', '+@all', '-client', '-select');
    const connection = { host: '127.0.0.1', port: redis.port, password: 'pw', db: 2 };
    const works = await serve(new RedisBackend({ ...connection, username: 'no-client' }));
    await works.sessions.createSession({ user: USER });
    const fails = await serve(new RedisBackend({ ...connection, username: 'no-select' }));
    await expect(fails.sessions.createSession({ user: USER })).rejects.toMatchObject(UNAVAILABLE);
    expect(await observer.dbsize()).toBe(0);
    await observer.call('ACL', 'SETUSER', 'no-select', '+select');
    await untilWorks(fails);
    expect(await observer.dbsize()).toBe(0);
  }, 20_000);

  it('is what a client of the application has to keep', async () => {
    const redis = await startRedis();
    const options = { ...sessionRedisOptions(1000), host: '127.0.0.1', port: redis.port };
    const wrong = new Redis({ ...options, db: 99 });
    wrong.on('error', () => undefined);
    const right = new Redis({ ...options, db: 1 });
    clients.push(wrong, right);
    const failing = await serve(new RedisBackend(wrong));
    await expect(failing.sessions.createSession()).rejects.toMatchObject(UNAVAILABLE);

    const service = await serve(new RedisBackend(right));
    const { token } = await service.sessions.createSession({ user: USER });
    await right.select(2);
    await expect(service.sessions.getSession(token)).rejects.toMatchObject(UNAVAILABLE);
    await right.select(1);
    await until('the session is there again', () =>
      service.sessions.getSession(token).then(
        () => true,
        () => false,
      ),
    );
  });

  it.each([NaN, -1, 1.5])('%p stops the start with a client of the application', async (db) => {
    const redis = await startRedis();
    const client = new Redis({ ...sessionRedisOptions(1000), port: redis.port, db, lazyConnect: true });
    clients.push(client);
    await expect(startService(new RedisBackend(client))).rejects.toThrow(/db must be the number of a database/);
  });

  it('stops the start of a cluster, which has only one', async () => {
    const client = new Cluster([{ host: '127.0.0.1', port: 1 }], {
      ...sessionClusterOptions(1000, { db: 1 }),
      lazyConnect: true,
    });
    clients.push(client);
    await expect(startService(new RedisBackend(client))).rejects.toThrow(/redisOptions.db must be left out/);
  });
});

describe('a Redis that evicts keys', () => {
  it.each(['allkeys-lru', 'volatile-ttl'])(
    'with %s is said at error, with how to mend it, and used',
    async (policy) => {
      const redis = await startRedis('--maxmemory', '100mb', '--maxmemory-policy', policy);
      const backend = new RedisBackend(redis.url);
      const lines = await open(backend);
      expect(errorsOf(lines)).toHaveLength(1);
      expect(lines.join()).toMatch(new RegExp(`${policy}.*logging out everywhere.*maxmemory-policy noeviction`));
      await backend.ping();

      const observer = observe(redis);
      await reconnect(observer);
      await observer.config('SET', 'maxmemory-policy', 'noeviction');
      await reconnect(observer);
      await until('it is said that it was mended', () => lines.includes('log: Redis no longer evicts keys.'));
      expect(errorsOf(lines)).toHaveLength(1);
    },
  );

  it.each([
    ['--maxmemory', '0', '--maxmemory-policy', 'allkeys-lru'],
    ['--maxmemory', '100mb', '--maxmemory-policy', 'noeviction'],
  ])('is one whose memory has an end and a policy: %s %s %s %s says nothing', async (...args) => {
    const redis = await startRedis(...args);
    expect(await open(new RedisBackend(redis.url, { onEviction: 'refuse' }))).toEqual([]);
  });

  it('is found at a reconnection', async () => {
    const redis = await startRedis();
    const lines = await open(new RedisBackend(redis.url));
    expect(lines).toEqual([]);
    const observer = observe(redis);
    await observer.config('SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lfu');
    await reconnect(observer);
    await until('it is said', () => errorsOf(lines).length === 1);
  });

  it('is a 503 with onEviction "refuse", and works by itself when it is mended', async () => {
    const redis = await startRedis('--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru');
    const service = await serve(new RedisBackend(redis.url, { onEviction: 'refuse' }));
    await expect(service.sessions.createSession({ user: USER })).rejects.toMatchObject(UNAVAILABLE);
    const observer = observe(redis);
    expect(await observer.dbsize()).toBe(0);
    await observer.config('SET', 'maxmemory-policy', 'noeviction');
    await untilWorks(service);
  }, 20_000);

  it.each([{ onEviction: 'ignore' }, { onEvicton: 'refuse' }, null, 'refuse'])(
    'the options %j are refused where the backend is made',
    (options) => {
      expect(() => new RedisBackend('redis://127.0.0.1', options as never)).toThrow(TypeError);
    },
  );

  it('is looked for on each master of a cluster', async () => {
    const cluster = await RedisCluster.start();
    servers.push(cluster);
    const [first] = await cluster.masters();
    await first!.admin.config('SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru');
    const lines = await open(new RedisBackend(cluster.client(sessionClusterOptions(1000))));
    expect(errorsOf(lines)).toEqual([expect.stringContaining('allkeys-lru')]);
  }, 60_000);
});

describe('a Redis without INFO', () => {
  async function withoutInfo(): Promise<{
    redis: RedisServer;
    connection: { host: string; port: number; username: string; password: string };
  }> {
    const redis = await startRedis();
    await observe(redis).call('ACL', 'SETUSER', 'limited', 'on', '>pw', '~*', '+@all', '-info');
    return { redis, connection: { host: '127.0.0.1', port: redis.port, username: 'limited', password: 'pw' } };
  }

  const warned = [expect.stringMatching(/^warn: It could not be checked whether Redis evicts keys.*INFO/)];

  it('works, with one warning through the logger and none on the console, also after a reconnection', async () => {
    const written = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
    const { redis, connection } = await withoutInfo();
    const backend = new RedisBackend(connection, { onEviction: 'refuse' });
    const lines = await open(backend);
    await backend.ping();
    await reconnect(observe(redis));
    await until('it answers', () =>
      backend.ping().then(
        () => true,
        () => false,
      ),
    );
    expect(lines.filter((line) => line.includes('evicts'))).toEqual(warned);
    expect(written.mock.calls).toEqual([]);
    written.mockRestore();
  });

  it('because the command has no name there works too', async () => {
    const redis = await startRedis('--rename-command', 'INFO', '');
    const service = await serve(new RedisBackend(redis.url));
    await service.sessions.createSession({ user: USER });
    expect(await open(new RedisBackend(redis.url))).toEqual(warned);
  });

  it('as a proxy is, which closes the connection at it, is not asked with enableReadyCheck: false', async () => {
    const redis = await startRedis();
    const lines = await open(new RedisBackend({ host: '127.0.0.1', port: redis.port, enableReadyCheck: false }));
    expect(lines).toEqual(warned);
    const observer = observe(redis);
    expect(await observer.info('commandstats')).not.toMatch(/cmdstat_info:calls=[3-9]/);
  });
});

describe('a proxy that spreads keys over several servers', () => {
  let shards: RedisServer[];
  let proxy: ShardingProxy;

  beforeEach(async () => {
    shards = [await startRedis(), await startRedis(), await startRedis()];
    proxy = await ShardingProxy.to(shards.map(({ port }) => port));
    servers.unshift(proxy);
  });

  const connection = () => ({ host: '127.0.0.1', port: proxy.port });

  async function keysOfAll(): Promise<string[]> {
    const found = await Promise.all(shards.map((shard) => observe(shard).keys('*')));
    return found.flat();
  }

  it('by the whole key stops the start, names what it breaks, and leaves no probe behind', async () => {
    await expect(startService(new RedisBackend(connection()))).rejects.toThrow(/logging out everywhere.*hash_tag/);
    expect(await keysOfAll()).toEqual([]);
  });

  it('by the whole key stops the start of an application with a client of its own, which stays open', async () => {
    const client = new Redis({ ...sessionRedisOptions(1000), ...connection(), enableReadyCheck: false });
    clients.push(client);
    await expect(startService(new RedisBackend(client))).rejects.toThrow(/hash_tag/);
    expect(await client.ping()).toBe('PONG');
  });

  it('by what stands in braces is used, and log out everywhere misses none', async () => {
    proxy.hashes = 'hash tag';
    const service = await serve(new RedisBackend(connection()));
    expect(await keysOfAll()).toEqual([]);
    await atOnce(10, () => service.sessions.createSession({ user: USER }));
    expect(await service.sessions.deleteUserSessions('ann')).toBe(10);
    expect(await keysOfAll()).toEqual([]);
  });

  it('and comes up after the application refuses calls, and says why', async () => {
    const port = await freePort();
    const service = await serve(new RedisBackend({ host: '127.0.0.1', port }), { backendTimeout: 300 });
    await expect(service.sessions.createSession({ user: USER })).rejects.toMatchObject({ status: 503 });
    const late = await ShardingProxy.to(
      shards.map((shard) => shard.port),
      'whole key',
      port,
    );
    servers.unshift(late);
    await until('the refusal is known', () =>
      service.sessions.createSession({ user: USER }).then(
        () => false,
        (error: unknown) => String(error).includes('hash_tag'),
      ),
    );
    late.hashes = 'hash tag';
    await untilWorks(service);
  }, 30_000);

  it.each([
    { state: 'full', args: ['maxmemory', '1'], mended: ['maxmemory', '0'] },
    {
      state: 'without replicas that it needs',
      args: ['min-replicas-to-write', '1'],
      mended: ['min-replicas-to-write', '0'],
    },
  ])(
    'and is $state at the start starts, and is found out when a probe can be written',
    async ({ args, mended }) => {
      for (const shard of shards) await observe(shard).config('SET', ...(args as [string, string]));
      const lines = await open(new RedisBackend(connection()));
      expect(errorsOf(lines)).toEqual([]);
      for (const shard of shards) await observe(shard).config('SET', ...(mended as [string, string]));
      await until('it is found out', () => errorsOf(lines).length === 1);
      expect(lines.join()).toContain('hash_tag');
    },
    30_000,
  );
});

it.each([
  { state: 'full', commands: [['CONFIG', 'SET', 'maxmemory', '1']] },
  {
    state: 'a replica without its master',
    commands: [
      ['CONFIG', 'SET', 'replica-serve-stale-data', 'yes'],
      ['REPLICAOF', '127.0.0.1', '1'],
    ],
  },
  { state: 'without replicas that it needs', commands: [['CONFIG', 'SET', 'min-replicas-to-write', '1']] },
  { state: 'frozen', commands: [['CLIENT', 'PAUSE', '1500', 'ALL']] },
])('a Redis that is $state at the start stops nothing, and nothing is said against it', async ({ commands }) => {
  const redis = await startRedis();
  const observer = observe(redis);
  for (const [name = '', ...args] of commands) await observer.call(name, ...args);
  const lines = await open(new RedisBackend(redis.url));
  expect(errorsOf(lines)).toEqual([]);
});

describe('a Redis user', () => {
  async function userWith(...rules: string[]): Promise<{ redis: RedisServer; connection: object; observer: Redis }> {
    const redis = await startRedis();
    const observer = observe(redis);
    await observer.call('ACL', 'SETUSER', 'limited', 'on', '>pw', '~*', '+@all', ...rules);
    return {
      redis,
      observer,
      connection: { host: '127.0.0.1', port: redis.port, username: 'limited', password: 'pw' },
    };
  }

  it.each([
    { rules: ['-get'], named: 'run get;' },
    { rules: ['-zadd', '-time', '-get'], named: 'run get, time, zadd;' },
    { rules: ['-evalsha', '-eval'], named: 'run eval;' },
    { rules: ['resetkeys', '~other:*'], named: 'touch keys that begin with "session:"' },
  ])('with the rules $rules is found at the first readiness, by name', async ({ rules, named }) => {
    const { observer, connection } = await userWith(...rules);
    const lines = await open(new RedisBackend(connection));
    expect(errorsOf(lines)).toEqual([expect.stringContaining(`The Redis user may not ${named}`)]);
    await observer.call('ACL', 'SETUSER', 'limited', '~*', '+@all');
    await reconnect(observer);
    await until('the rights are there', () =>
      lines.some((line) => line.startsWith('log: The Redis user has all rights')),
    );
  });

  it('with just the documented rights works, and nothing is said', async () => {
    const { observer, connection } = await userWith('-@all', 'resetkeys', '~session:*', ...DOCUMENTED_RIGHTS);
    expect(await open(new RedisBackend(connection))).toEqual([]);
    const service = await serve(new RedisBackend(connection), { maxSessionsPerUser: 2 });
    const { session, token } = await service.sessions.createSession({ user: USER });
    await service.sessions.update(session.sessionId, ({ data }) => {
      data.seen = true;
    });
    service.clock.advanceSeconds(2000);
    await service.sessions.renewSession(token);
    await atOnce(3, () => service.sessions.createSession({ user: USER }));
    expect(await service.sessions.deleteUserSessions('ann')).toBe(2);
    expect(await observer.keys('*')).toEqual([]);
  });

  it('who may only read reads sessions, and everything else is a 503 that names the command', async () => {
    const { redis, connection } = await userWith('-@all', '+get', '+hello', '+info');
    const writer = await serve(new RedisBackend(redis.url));
    const reader = await serve(new RedisBackend(connection));
    const { token } = await writer.sessions.createSession({ user: USER });
    expect((await reader.sessions.getSession(token)).user?.userId).toBe('ann');
    await writer.sessions.deleteUserSessions('ann');
    await expect(reader.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    await expect(reader.sessions.createSession()).rejects.toThrow(
      /NOPERM \(the server refuses the command eval(sha)?\)/,
    );
  });
});

/** What the page about Redis says that an ACL has to grant. */
const DOCUMENTED_RIGHTS = documentedRights();

function documentedRights(): string[] {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'redis.md'), 'utf8');
  const [, rules = ''] = /^ACL SETUSER sessions on >password ~session:\* (.+)$/m.exec(page) ?? [];
  const rights = rules.split(/\s+/);
  expect(rights.length).toBeGreaterThan(10);
  return rights;
}

it('every command of a script is probed at the first readiness, except the one that may fail, and documented', () => {
  const folder = join(import.meta.dirname, '..', '..', 'src', 'backends', 'redis', 'scripts');
  const scripts = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  const used = new Set(
    scripts.flatMap((text) => [...text.matchAll(/redis\.p?call\('(\w+)'/g)].map(([, name]) => name!)),
  );
  expect(used.size).toBeGreaterThan(10);
  expect([...Object.keys(PROBED_COMMANDS), 'PUBLISH'].sort()).toEqual([...used].sort());
  for (const name of used) expect(DOCUMENTED_RIGHTS).toContain(`+${name.toLowerCase()}`);
});

describe('a client of the application', () => {
  it('has no listener of the backend left after it was closed, and works on', async () => {
    const redis = await startRedis();
    const client = new Redis({ ...sessionRedisOptions(1000), port: redis.port, host: '127.0.0.1' });
    clients.push(client);
    const listeners = () => client.eventNames().map((name) => `${String(name)}: ${client.listenerCount(name)}`);
    await once(client, 'ready');
    const before = listeners();
    const backend = new RedisBackend(client);
    await open(backend);
    expect(listeners()).not.toEqual(before);
    await backend.close();
    expect(listeners()).toEqual(before);
    expect(await client.ping()).toBe('PONG');
  });

  it('is left without a listener too when the start is refused, or comes while it is connecting', async () => {
    const client = new Redis({ ...sessionRedisOptions(100), port: await freePort(), host: '127.0.0.1' });
    client.on('error', () => undefined);
    clients.push(client);
    const backend = new RedisBackend(client);
    await opened(backend, { timeoutMs: 100 });
    await backend.close();
    expect(client.listenerCount('error')).toBe(1);
    for (const event of ['select', 'close', 'ready']) expect(client.listenerCount(event)).toBeLessThanOrEqual(1);
  });
});

describe('a connection that fails', () => {
  it('for a reason of which nothing is known is one line without it', async () => {
    const redis = await startRedis();
    const client = new Redis({ ...sessionRedisOptions(1000), port: redis.port, lazyConnect: true });
    clients.push(client);
    const lines = await open(new RedisBackend(client));
    client.emit('error', new Error('of the application'));
    expect(lines).toEqual(['warn: Redis is out of reach; trying again until it is back.']);
  });

  it('again and again is two lines a minute, and a loss that lasts is said', async () => {
    const redis = await startRedis();
    const client = new Redis({ ...sessionRedisOptions(1000), port: redis.port, lazyConnect: true });
    clients.push(client);
    const backend = new RedisBackend(client);
    backends.push(backend);
    const clock = new FakeClock();
    const { lines } = await opened(backend, { clock });
    const loseIt = () => client.emit('error', new Error('of the network'));
    const findIt = () => client.emit('ready');
    for (let time = 0; time < 10; time++) {
      loseIt();
      findIt();
    }
    loseIt();
    const said = ['warn: Redis is out of reach; trying again until it is back.', 'log: Redis is back.'];
    expect(lines).toEqual(said);
    clock.advanceSeconds(60);
    loseIt();
    loseIt();
    findIt();
    expect(lines.slice(2)).toEqual([
      'warn: Redis is out of reach, and 10 times more since this was last said; trying again until it is back.',
      'log: Redis is back.',
    ]);
  });
});
