import { beforeEach, describe, expect, it } from '@jest/globals';
import { NewerRecordError, SessionConflictError, type SessionRecord } from 'nestjs-sessionx';
import type { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { setTimeout as sleep } from 'node:timers/promises';

import type { FaultProxy } from '../support/fault-proxy.js';
import type { MemcachedServer } from '../support/memcached-server.js';
import { newerText } from '../support/newer-records.js';
import { ProxiedMemcached, type MemcachedArena } from './memcached-arena.js';

const MOST_STEPS = 12;
/** Of a new id for a signed-in session: the record, the list, both once more, and the alias. */
const REQUESTS_UNTIL_ALIAS = 5;
const REJECTING = { max: 3, onLimit: 'reject' } as const;

/** A session that gets a new id, at the limit, while a login of the same user comes in between its steps. */
describe.each(['without a grace', 'with a grace'])('a new id in Memcached %s', (grace) => {
  const memcached = ProxiedMemcached.forEachTest(2000);
  let server: MemcachedServer;
  let proxy: FaultProxy;
  let arena: MemcachedArena;
  let backend: MemcachedBackend;
  let sound: MemcachedBackend;

  beforeEach(async () => {
    ({ server, proxy, arena, backend, sound } = memcached);
    await backend.ping();
  });

  async function stored(record = arena.record()): Promise<SessionRecord> {
    expect((await sound.create(record, { timeoutMs: 1500 })).outcome).toBe('created');
    return record;
  }

  async function login(): Promise<string> {
    return (await sound.create(arena.record(), { timeoutMs: 1500, limit: REJECTING })).outcome;
  }

  /** The session that is replaced, and two others: as many as the limit allows. */
  async function prepared() {
    const [old, ...others] = [await stored(), await stored(), await stored()];
    const fresh = arena.sibling(old);
    const alias: SessionRecord = {
      ...{ ...old, version: 2, status: 'alias', userTag: null, payload: fresh.id },
      lastAccessed: arena.clock.now(),
    };
    const replaces = { id: old.id, version: 1, ...(grace === 'with a grace' ? { alias } : {}) };
    return { old, others, fresh, replaces };
  }

  async function listed(): Promise<string[]> {
    return (await sound.listByUser(arena.user)).map(({ id }) => id).sort();
  }

  function idsOf(...records: SessionRecord[]): string[] {
    return records.map(({ id }) => id).sort();
  }

  it('keeps its place at each of its steps: the login is rejected, and the session goes on', async () => {
    for (let steps = 0, isThrough = false; !isThrough; steps++) {
      expect(steps).toBeLessThan(MOST_STEPS);
      const { old, others, fresh, replaces } = await prepared();
      await backend.ping();
      proxy.holdRequests(steps);
      const creation = backend.create(fresh, { timeoutMs: 1500, limit: REJECTING, replaces });
      isThrough = await Promise.race([creation.then(() => true), proxy.untilHeld().then(() => false)]);
      expect({ steps, outcome: await login() }).toEqual({ steps, outcome: 'limit' });
      proxy.heal();
      proxy.release();
      expect({ steps, outcome: (await creation).outcome }).toEqual({ steps, outcome: 'created' });
      expect(await listed()).toEqual(idsOf(fresh, ...others));
      expect((await sound.read(old.id))?.status).not.toBe('active');
      await sound.deleteByUser(arena.user);
    }
  });

  it.each(['reject', 'evict-oldest'] as const)(
    'of a login that is under way is not in the way of another one: %s',
    async (onLimit) => {
      for (let steps = 0, isThrough = false; !isThrough; steps++) {
        expect(steps).toBeLessThan(MOST_STEPS);
        const user = arena.newUser();
        const pending = await stored({ ...arena.record(user), status: 'pending' });
        const fresh: SessionRecord = { ...arena.sibling(pending), status: 'active' };
        const limit = { max: 1, onLimit };
        await backend.ping();
        proxy.holdRequests(steps);
        const creation = backend.create(fresh, { timeoutMs: 1500, limit, replaces: { id: pending.id, version: 1 } });
        isThrough = await Promise.race([creation.then(() => true), proxy.untilHeld().then(() => false)]);
        const other = await sound.create(arena.record(user), { timeoutMs: 1500, limit });
        expect(other.outcome).toBe(onLimit === 'reject' ? 'limit' : 'created');
        proxy.heal();
        proxy.release();
        expect({ steps, outcome: (await creation).outcome }).toEqual({ steps, outcome: 'created' });
        expect(await sound.listByUser(user)).toHaveLength(1);
      }
    },
  );

  it('keeps its place until it is taken back because it comes too late', async () => {
    const { old, others, fresh, replaces } = await prepared();
    const timeoutMs = 100;
    const startedAt = performance.now();
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS);
    const creation = backend.create(fresh, { timeoutMs, limit: REJECTING, replaces });
    await proxy.untilHeld();
    expect(await login()).toBe('limit');
    // The list changes, so that the step that is held fails.
    await sound.delete(others[0].id);
    await sleep(Math.max(0, startedAt + timeoutMs + 5 - performance.now()));
    proxy.heal();
    proxy.release();
    await expect(creation).rejects.toThrow(SessionConflictError);
    expect(await sound.read(old.id)).toEqual(old);
    expect(await listed()).toEqual(idsOf(old, others[1]));
  });

  it('has room in the place of the session, whatever has become of the others that it has counted', async () => {
    const { old, others, fresh, replaces } = await prepared();
    const forgotten = await stored();
    await server.evict(arena.keyPrefix + forgotten.id);
    // The list has one more than the limit allows, so that the records are read, before anything is ended.
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS + others.length + 1);
    const creation = backend.create(fresh, { timeoutMs: 1500, limit: REJECTING, replaces });
    await proxy.untilHeld();
    await server.evict(arena.keyPrefix + others[0].id);
    expect(await login()).toBe('created');
    expect(await login()).toBe('limit');
    proxy.heal();
    proxy.release();
    expect((await creation).outcome).toBe('created');
    expect(await listed()).toContain(fresh.id);
    expect(await listed()).toHaveLength(REJECTING.max);
    expect((await sound.read(old.id))?.status).not.toBe('active');
  });

  it('is taken back if a session that it would have to evict is of a newer form', async () => {
    const { old, fresh, replaces } = await prepared();
    const limit = { max: 3, onLimit: 'evict-oldest' } as const;
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS);
    const creation = backend.create(fresh, { timeoutMs: 1500, limit, replaces });
    await proxy.untilHeld();
    const newer = await stored();
    const client = server.client();
    const key = arena.keyPrefix + newer.id;
    await client.replace(key, newerText(String((await client.get(key)).value)), { expires: 3600 });
    client.close();
    proxy.heal();
    proxy.release();
    await expect(creation).rejects.toThrow(NewerRecordError);
    expect(await sound.read(old.id)).toEqual(old);
    expect(await sound.read(fresh.id)).toBeNull();
  });
});
