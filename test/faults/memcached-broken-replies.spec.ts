import { beforeEach, describe, expect, it } from '@jest/globals';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import type { SessionRecord } from 'nestjs-sessionx';

import { FaultProxy, type Ending } from '../support/fault-proxy.js';
import { startService } from '../support/services.js';
import { ProxiedMemcached, type MemcachedArena } from './memcached-arena.js';

const TIMEOUT_MS = 150;
/** What a loaded machine may add to a timeout. */
const SLACK_MS = 1000;

type Attempt<T> = { readonly value: T } | { readonly error: unknown };

/** How a call ended, which must not take longer than its timeout. */
async function attempt<T>(call: () => Promise<T>): Promise<Attempt<T>> {
  const started = performance.now();
  const result = await call().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  expect(performance.now() - started).toBeLessThan(TIMEOUT_MS + SLACK_MS);
  return result;
}

/** What was under way when the proxy broke off may still take its connection along, and calls that have just started on it. */
async function untilItWorks<T>(call: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + SLACK_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

describe('replies that break off', () => {
  const memcached = ProxiedMemcached.forEachTest(TIMEOUT_MS);
  let proxy: FaultProxy;
  let arena: MemcachedArena;
  let backend: MemcachedBackend;
  let sound: MemcachedBackend;

  beforeEach(() => {
    ({ proxy, arena, backend, sound } = memcached);
  });

  async function stored(): Promise<SessionRecord> {
    const record = arena.record();
    expect((await sound.create(record, { timeoutMs: 1000 })).outcome).toBe('created');
    return record;
  }

  /** The bytes of the server's reply to a call. */
  async function replyBytes(call: () => Promise<unknown>): Promise<number> {
    await backend.ping();
    const before = proxy.replyBytes;
    await call();
    return proxy.replyBytes - before;
  }

  /** Bytes that came too many may fail the next call as well, and no other after that. */
  async function recovered<T>(call: () => Promise<T>): Promise<T> {
    const first = await attempt(call);
    return 'value' in first ? first.value : call();
  }

  /** Silence costs a timeout each, so it is tried at fewer places: around each header, and in between. */
  const endings: [ending: Ending, step: number][] = [
    ['fin', 1],
    ['rst', 1],
    ['garbage', 11],
    ['silence', 11],
  ];

  it.each(endings)(
    'a read that is cut by %s at any byte is the right value or an error, never a "none"',
    async (ending, step) => {
      const record = await stored();
      const bytes = await replyBytes(() => backend.read(record.id));
      expect(bytes).toBeGreaterThan(200);
      let failed = 0;
      for (let offset = 0; offset < bytes; offset += step) {
        proxy.cutReplies(offset, ending);
        const result = await attempt(() => backend.read(record.id));
        if ('value' in result) expect(result.value).toEqual(record);
        else failed++;
        proxy.heal();
        expect(await recovered(() => backend.read(record.id))).toEqual(record);
      }
      expect(failed).toBe(Math.ceil(bytes / step));
    },
  );

  it.each(endings)('20 reads at once that are cut by %s: each is its own value or an error', async (ending) => {
    const mine = await Promise.all(Array.from({ length: 20 }, () => stored()));
    const bytes = await replyBytes(() => Promise.all(mine.map(({ id }) => backend.read(id))));
    for (let offset = 1; offset < bytes; offset += Math.ceil(bytes / 12)) {
      proxy.cutReplies(offset, ending);
      const results = await Promise.all(mine.map(({ id }) => attempt(() => backend.read(id))));
      for (const [index, result] of results.entries()) if ('value' in result) expect(result.value).toEqual(mine[index]);
      expect(results.some((result) => 'error' in result)).toBe(true);
      proxy.heal();
      expect(await Promise.all(mine.map(({ id }) => backend.read(id)))).toEqual(mine);
    }
  });

  it.each(endings)(
    'a write that is cut by %s is done or not, at most once, and is an error if it is not known',
    async (ending, step) => {
      const bytes = await replyBytes(async () => {
        const record = await stored();
        await backend.replace({ ...record, version: 2 }, 1);
      });
      let failed = 0;
      for (let offset = 0; offset < bytes; offset += 4 * step) {
        const record = await stored();
        const next = { ...record, version: 2, payload: 'the next value' };
        proxy.cutReplies(offset, ending);
        const result = await attempt(() => backend.replace(next, 1));
        proxy.heal();
        const now = await sound.read(record.id);
        if ('value' in result) expect([result.value, now]).toEqual(['replaced', next]);
        else expect([record, next]).toContainEqual(now);
        if ('error' in result) failed++;
      }
      expect(failed).toBeGreaterThan(0);
    },
  );

  it.each(endings)(
    'a logout everywhere that is cut by %s is an error, never a smaller number',
    async (ending, step) => {
      const bytes = await replyBytes(async () => backend.deleteByUser(arena.user));
      let failed = 0;
      for (let offset = 0; offset < bytes + 300; offset += 8 * step) {
        const user = arena.newUser();
        const mine = [arena.record(user), arena.record(user)];
        for (const record of mine) await sound.create(record, { timeoutMs: 1000 });
        proxy.cutReplies(offset, ending);
        const result = await attempt(() => backend.deleteByUser(user));
        proxy.heal();
        if ('value' in result) expect(result.value).toHaveLength(2);
        const left = await sound.listByUser(user);
        expect([0, 2]).toContain(left.length);
        for (const { id } of mine) expect((await sound.read(id)) !== null).toBe(left.length === 2);
        if ('error' in result) failed++;
      }
      expect(failed).toBeGreaterThan(0);
    },
  );

  it('a slow server is waited for, a slower one is an error in time', async () => {
    const record = await stored();
    proxy.delayReplies(TIMEOUT_MS / 3);
    expect(await backend.read(record.id)).toEqual(record);
    proxy.delayReplies(TIMEOUT_MS * 2);
    expect(await attempt(() => backend.read(record.id))).toHaveProperty('error');
    proxy.heal();
    expect(await backend.read(record.id)).toEqual(record);
  });

  it('closing waits for the calls under way, and for no longer than they may take', async () => {
    const record = await stored();
    const answered = attempt(() => backend.read(record.id));
    await backend.close();
    expect(await answered).toEqual({ value: record });

    const hung = await arena.open({ servers: proxy.address }, TIMEOUT_MS);
    proxy.cutReplies(0, 'silence');
    const unanswered = attempt(() => hung.read(record.id));
    await attempt(() => hung.close());
    expect(await unanswered).toMatchObject({ error: { code: 'NO_RESPONSE' } });
  });

  it('a server that closes an idle connection is not noticed', async () => {
    const record = await stored();
    expect(await backend.read(record.id)).toEqual(record);
    const { connections } = proxy;
    await proxy.closeConnections();
    expect(await backend.read(record.id)).toEqual(record);
    expect(proxy.connections).toBe(connections + 1);
    expect(arena.log).toEqual([]);
  });

  it('one outage is one line in the log, and its end another; neither holds a key or a value', async () => {
    const record = await stored();
    proxy.cutReplies(30, 'rst');
    for (let call = 0; call < 5; call++) await attempt(() => backend.read(record.id));
    proxy.heal();
    await backend.read(record.id);
    expect(arena.log).toHaveLength(2);
    expect(arena.log.join()).toMatch(/is out of reach \([\w ]+\).*is back/);
    for (const secret of [record.id.slice(16), 'the right value']) expect(arena.log.join()).not.toContain(secret);
  });

  it('a request is answered with 503, and a session that was cut off works again', async () => {
    const service = await startService(
      new MemcachedBackend({ servers: proxy.address }),
      { backendTimeout: TIMEOUT_MS },
      arena.clock,
    );
    const { token } = await service.sessions.createSession({ user: { userId: 'ann' }, data: { n: 1 } });
    for (const ending of ['fin', 'rst', 'garbage', 'silence'] as const) {
      proxy.cutReplies(40, ending);
      await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 503 });
      await expect(service.sessions.deleteUserSessions('ann')).rejects.toMatchObject({ status: 503 });
      proxy.heal();
      expect((await untilItWorks(() => service.sessions.getSession(token))).data).toEqual({ n: 1 });
    }
    await service.close();
  });
});
