import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';

import { FaultProxy, redisFrameLength, type Ending } from '../support/fault-proxy.js';
import { until } from '../support/redis-cluster.js';
import { RedisServer } from '../support/redis-server.js';
import { soon } from '../support/soon.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

const BUDGET_MS = 1000;

let redis: RedisServer;
let proxy: FaultProxy;
let observer: Redis;
let service: ServiceUnderTest;

beforeEach(async () => {
  redis = await RedisServer.start();
  observer = redis.client();
  proxy = await FaultProxy.to(redis.port, redisFrameLength);
});

afterEach(async () => {
  proxy.heal();
  await service.close();
  await proxy.stop();
  await observer.quit();
  await redis.stop();
});

function keyOf(sessionId: string): string {
  return `session:{${sessionId.slice(0, 16)}}${sessionId.slice(16)}`;
}

/** A bulk string of the protocol. */
function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

interface Held {
  readonly userId: string;
  readonly sessionId: string;
  readonly token: string;
}

/** Sessions of different users. */
async function signIn(count: number, { sessions } = service): Promise<Held[]> {
  return atOnce(count, async (index) => {
    const userId = `user-${index}`;
    const { session, token } = await sessions.createSession({ user: { userId }, data: { count: 0 } });
    return { userId, sessionId: session.sessionId, token };
  });
}

async function start(backend = new RedisBackend(`redis://${proxy.address}`)): Promise<void> {
  service = await startService(backend, { backendTimeout: BUDGET_MS });
}

/** Reads the session: it is the right one, or nothing is known. */
async function readOrFail({ userId, token }: Held, { sessions } = service): Promise<'read' | 'failed'> {
  try {
    const session = await sessions.getSession(token);
    expect(session.user?.userId).toBe(userId);
    return 'read';
  } catch (error) {
    expect(error).toMatchObject({ status: 503 });
    return 'failed';
  }
}

async function untilWorks(held: Held, on = service): Promise<void> {
  await until('it works again', async () => (await readOrFail(held, on)) === 'read');
}

describe('one reply too many on a connection', () => {
  const surplus: [what: string, bytes: (other: string) => string][] = [
    ['the record of another session', (other) => bulk(other)],
    ['nothing', () => '_\r\n'],
    ['nothing, of RESP2', () => '$-1\r\n'],
    ['OK', () => '+OK\r\n'],
    ['a number', () => ':1\r\n'],
    ['an empty list', () => '*0\r\n'],
    ['the reply to a script', () => `*2\r\n${bulk('3')}${bulk('missing')}`],
    ['an error', () => '-ERR unknown\r\n'],
    ['an error about a type', () => '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n'],
  ];

  it.each(surplus)(
    'that is %s ends no session: each read is right or a 503, and the next ones are right',
    async (_, bytes) => {
      await start();
      const all = await signIn(8);
      const { sessionId } = all[7]!;
      const other = (await observer.get(keyOf(sessionId)))!;
      for (let round = 0; round < 3; round++) {
        proxy.insertReply(bytes(other));
        await Promise.all(all.map((held) => readOrFail(held)));
        await Promise.all(all.map((held) => untilWorks(held)));
      }
      expect(proxy.connections).toBeLessThanOrEqual(4);
    },
  );

  it.each(surplus)('that is %s makes no write look done that was not, nor one session another', async (_, bytes) => {
    await start();
    const all = await signIn(6);
    const other = (await observer.get(keyOf(all[5]!.sessionId)))!;
    const acknowledged = new Map(all.map(({ sessionId }) => [sessionId, 0]));
    for (let round = 0; round < 3; round++) {
      proxy.insertReply(bytes(other));
      const { errors } = await outcomes(
        all.map(async ({ sessionId }) => {
          await service.sessions.update(sessionId, ({ data }) => {
            data.count = Number(data.count) + 1;
          });
          acknowledged.set(sessionId, acknowledged.get(sessionId)! + 1);
        }),
      );
      for (const error of errors) expect(error).toMatchObject({ status: 503 });
      await Promise.all(all.map((held) => untilWorks(held)));
    }
    for (const { token, sessionId } of all) {
      const { count } = (await service.sessions.getSession(token)).data;
      expect(count).toBeGreaterThanOrEqual(acknowledged.get(sessionId)!);
      expect(count).toBeLessThanOrEqual(3);
    }
  });

  it('makes no touch, logout or list wrong', async () => {
    await start();
    const [ann, bob, cat] = await signIn(3);
    proxy.insertReply('_\r\n');
    const devices = await service.sessions.listUserSessions(ann!.userId).catch((error: unknown) => error);
    if (devices instanceof Error) expect(devices).toMatchObject({ status: 503 });
    else expect(devices).toHaveLength(1);
    await untilWorks(ann!);

    proxy.insertReply('*0\r\n');
    const ended = await service.sessions.deleteUserSessions(bob!.userId).catch((error: unknown) => error);
    if (ended instanceof Error) expect(ended).toMatchObject({ status: 503 });
    else expect(ended).toBe(1);

    service.clock.advanceSeconds(2000);
    proxy.insertReply(':0\r\n');
    const renewed = await service.sessions.renewSession(cat!.token).catch((error: unknown) => error);
    if (renewed instanceof Error) expect(renewed).toMatchObject({ status: 503 });
    await untilWorks(cat!);
  });

  it.each(surplus)('that is %s ends no session whose read is slower than it', async (_, bytes) => {
    await start();
    const all = await signIn(4);
    const other = (await observer.get(keyOf(all[3]!.sessionId)))!;
    proxy.delayReplies(30);
    proxy.insertReply(bytes(other));
    await Promise.all(all.map((held) => readOrFail(held)));
    proxy.heal();
    await Promise.all(all.map((held) => untilWorks(held)));
    expect(proxy.connections).toBe(2);
  });

  it('in front of a session that is not there ends nothing but that', async () => {
    await start();
    const [held, gone] = await signIn(2);
    await service.sessions.deleteSession(gone!.sessionId);
    for (const bytes of ['_\r\n', '+OK\r\n']) {
      proxy.insertReply(bytes);
      await expect(service.sessions.getSession(gone!.token)).rejects.toMatchObject({
        code: expect.stringMatching(/SESSION_NOT_FOUND|BACKEND/),
      });
      await untilWorks(held!);
    }
  });

  it.each(['_\r\n', '+OK\r\n', '_\r\n_\r\n:1\r\n', '-ERR unasked\r\n'])(
    '%j while no call waits is one warning a minute, and the connection is made anew each time',
    async (bytes) => {
      const warned = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
      await start();
      const [held] = await signIn(1);
      const lines = [
        expect.stringContaining('reply to another call; it is dropped and made anew.'),
        expect.stringContaining('made anew, and 1 times more since this was last said.'),
      ];
      for (const [times, count] of [1, 1, 2].entries()) {
        if (count === 2) service.clock.advanceSeconds(60);
        proxy.sendUnasked(bytes);
        await until('there is a new connection', () => proxy.connections === 2 + times);
        await untilWorks(held!);
        expect(warned.mock.calls.map(([line]) => String(line))).toEqual(lines.slice(0, count));
      }
      warned.mockRestore();
    },
  );

  it('drops no connection of the application, and its sessions go on by another one', async () => {
    const errors = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const [host = '', port] = proxy.address.split(':');
    const client = new Redis({ ...sessionRedisOptions(BUDGET_MS), host, port: Number(port) });
    let closed = 0;
    client.on('close', () => closed++);
    // As an application has one: a late reply may come after the module has taken its own listener away.
    client.on('error', () => undefined);
    await start(new RedisBackend(client));
    const all = await signIn(5);
    const other = (await observer.get(keyOf(all[4]!.sessionId)))!;
    // The right reply comes when the next call is under way, so that this one gets it.
    proxy.delayReplies(50);
    proxy.insertReply(bulk(other));
    await Promise.all(all.map((held) => readOrFail(held)));
    proxy.heal();
    await Promise.all(all.map((held) => untilWorks(held)));
    expect(closed).toBe(0);
    expect(client.status).toBe('ready');
    expect(
      errors.mock.calls.map(([line]) => String(line)).filter((line) => line.includes('gives replies to other calls')),
    ).toHaveLength(1);
    await service.close();
    expect(client.listenerCount('error')).toBe(1);
    expect(client.status).toBe('ready');
    client.disconnect();
    errors.mockRestore();
  });
});

describe('a record that names another session', () => {
  it('is no session, with one warning for all reads, and no connection is dropped for it', async () => {
    const warned = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await start();
    const [ann, bob] = await signIn(2);
    await observer.set(keyOf(ann!.sessionId), (await observer.get(keyOf(bob!.sessionId)))!);
    for (let round = 0; round < 5; round++) {
      await expect(service.sessions.getSession(ann!.token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
      expect(await readOrFail(bob!)).toBe('read');
    }
    expect(proxy.connections).toBe(1);
    expect(warned.mock.calls).toHaveLength(1);
    warned.mockRestore();
  });

  it('and a value of another type, are told from a reply to another call by a second read, which only they need', async () => {
    await start();
    const [ann, bob] = await signIn(2);
    await observer.del(keyOf(ann!.sessionId));
    await observer.rpush(keyOf(ann!.sessionId), 'foreign');
    const calls = async (name: string) =>
      Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(await observer.info('commandstats'))?.[1] ?? 0);
    await expect(service.sessions.getSession(ann!.token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    const before = { get: await calls('get'), evalsha: await calls('evalsha') };
    expect(await readOrFail(bob!)).toBe('read');
    expect({ get: (await calls('get')) - 1, evalsha: await calls('evalsha') }).toEqual(before);
  });
});

describe('a reply that is cut', () => {
  const EVERY = 13;
  /** Most of the time goes by until silence is noticed: that can be waited for in several places at once. */
  const LANES = 4;
  const OPTIONS = { backendTimeout: 250 };

  /** Cuts the replies to a write and a read at each `step`th byte from `first` on. */
  async function cutEverywhere(lane: FaultProxy, ending: Ending, first: number, step: number): Promise<void> {
    const one = await startService(new RedisBackend(`redis://${lane.address}`), OPTIONS);
    // A busy machine may not have connected it yet.
    const [held] = await soon(() => signIn(1, one).catch(() => undefined));
    let acknowledged = 0;
    let tried = 0;
    const write = async () => {
      tried++;
      await one.sessions.update(held!.sessionId, ({ data }) => {
        data.count = Number(data.count) + 1;
      });
      acknowledged++;
    };
    const before = lane.replyBytes;
    await Promise.all([write(), readOrFail(held!, one)]);
    const longest = lane.replyBytes - before;
    expect(longest).toBeGreaterThan(LANES * EVERY);
    for (let bytes = first; bytes < longest; bytes += step) {
      lane.cutReplies(bytes, ending);
      const written = write().catch((error: unknown) => expect(error).toMatchObject({ status: 503 }));
      await Promise.all([written, readOrFail(held!, one)]);
      lane.heal();
      await untilWorks(held!, one);
    }
    const { count } = (await one.sessions.getSession(held!.token)).data;
    expect(count).toBeGreaterThanOrEqual(acknowledged);
    expect(count).toBeLessThanOrEqual(tried);
    await one.close();
  }

  it.each<Ending>(['fin', 'rst', 'silence', 'garbage'])(
    'at every 13th byte, by %s: the read is right or a 503, the write is done once at most, and it works again',
    async (ending) => {
      await start();
      const proxies = await atOnce(LANES, () => FaultProxy.to(redis.port, redisFrameLength));
      // Each has a proxy of its own, and some of the positions.
      await Promise.all(proxies.map((lane, index) => cutEverywhere(lane, ending, index * EVERY, LANES * EVERY)));
      await Promise.all(proxies.map((lane) => lane.stop()));
    },
    120_000,
  );

  it.each<Ending>(['fin', 'rst', 'silence', 'garbage'])(
    'while a connection is made, by %s, delays sessions and ends none',
    async (ending) => {
      service = await startService(new RedisBackend(`redis://${proxy.address}/1`), OPTIONS);
      const [held] = await signIn(1);
      for (let bytes = 0; bytes < 600; bytes += 5 * EVERY) {
        await proxy.closeConnections();
        proxy.cutReplies(bytes, ending);
        await atOnce(5, () => readOrFail(held!));
        proxy.heal();
        await untilWorks(held!);
      }
    },
    120_000,
  );
});

it('a new id with a grace whose reply is lost with the connection is found when that is back, so the client gets its token', async () => {
  await start();
  const [ann] = (await signIn(1)) as [Held];
  const renew = async (token: string): Promise<string> => {
    const { sessions } = service;
    return (await sessions.regenerateSessionId(await sessions.getSession(token), { grace: 10 })).token!;
  };
  const token = await renew(ann.token);
  const held = await service.sessions.getSession(token);
  proxy.loseResponses(0, 'rst', 'once');
  const { token: next } = await service.sessions.regenerateSessionId(held, { grace: 10 });
  service.clock.advanceSeconds(11);
  expect((await service.sessions.getSession(next!)).user?.userId).toBe(ann.userId);
});

describe('a connection that has died without a word', () => {
  it('is given up by the first call that hears nothing, and the next ones work', async () => {
    await start();
    const [held] = await signIn(1);
    proxy.forgetConnections('silence');
    const started = performance.now();
    expect(await readOrFail(held!)).toBe('failed');
    // On the same connection the next calls would spend a budget each.
    await untilWorks(held!);
    expect(performance.now() - started).toBeLessThan(2 * BUDGET_MS);
    expect(proxy.connections).toBe(2);
  });

  it('is not one that is slow: replies that come late, but come, keep it', async () => {
    await start();
    const [held] = await signIn(1);
    proxy.delayReplies(BUDGET_MS * 0.7);
    const reads: Promise<'read' | 'failed'>[] = [];
    for (let count = 0; count < 20; count++) {
      reads.push(readOrFail(held!));
      await new Promise((resolve) => setTimeout(resolve, BUDGET_MS / 10));
    }
    await Promise.all(reads);
    proxy.heal();
    await untilWorks(held!);
    expect(proxy.connections).toBe(1);
  });
});
