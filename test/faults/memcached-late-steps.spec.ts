import { beforeEach, describe, expect, it } from '@jest/globals';
import type { SessionRecord } from 'nestjs-sessionx';
import type { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { setTimeout as sleep } from 'node:timers/promises';

import { MemcachedError } from '../../src/backends/memcached/memcached-error.js';
import { FaultProxy } from '../support/fault-proxy.js';
import type { MemcachedServer } from '../support/memcached-server.js';
import { ProxiedMemcached, type MemcachedArena } from './memcached-arena.js';

const TIMEOUT_MS = 100;
/** More requests than any operation here makes. */
const MOST_STEPS = 12;

/** Each operation is several requests. Here it ends after each of them, or goes on when no caller waits any more. */
describe('operations that stop half-way', () => {
  const memcached = ProxiedMemcached.forEachTest(TIMEOUT_MS);
  let server: MemcachedServer;
  let proxy: FaultProxy;
  let arena: MemcachedArena;
  let unlucky: MemcachedBackend;
  let sound: MemcachedBackend;

  beforeEach(() => {
    ({ server, proxy, arena, backend: unlucky, sound } = memcached);
  });

  async function stored(user: SessionRecord['userTag'], record = arena.record(user)): Promise<SessionRecord> {
    expect((await sound.create(record, { timeoutMs: 1000 })).outcome).toBe('created');
    return record;
  }

  async function lives({ id }: SessionRecord): Promise<boolean> {
    return (await sound.read(id)) !== null;
  }

  /** Runs `round` with a fault after 0, 1, 2, … requests, until the operation gets through. Returns how many requests it needs. */
  async function atEachStep(round: (afterRequests: number) => Promise<'failed' | 'done'>): Promise<number> {
    for (let steps = 0; steps < MOST_STEPS; steps++) {
      await unlucky.ping();
      const outcome = await round(steps);
      proxy.heal();
      if (outcome === 'done') return steps;
    }
    throw new Error('the operation never got through');
  }

  /** @throws an error that is no failure of the connection */
  function ended(call: Promise<unknown>): Promise<'failed' | 'done'> {
    return call.then(
      () => 'done',
      (error: unknown) => {
        if (error instanceof MemcachedError) return 'failed';
        throw error;
      },
    );
  }

  /** Whether a call comes to its end though the proxy holds requests; false: one of its requests is held. */
  function getsThrough(call: Promise<unknown>): Promise<boolean> {
    return Promise.race([call.then(() => true), proxy.untilHeld().then(() => false)]);
  }

  it.each(['signed-in', 'anonymous'])(
    '%s: of a session and the one that replaces it at most one lives, and is listed',
    async (kind) => {
      const steps = await atEachStep(async (afterRequests) => {
        const user = kind === 'anonymous' ? null : arena.newUser();
        const old = await stored(user);
        const successor = arena.sibling(old);
        proxy.loseRequests(afterRequests);
        const outcome = await ended(
          unlucky.create(successor, { timeoutMs: TIMEOUT_MS, replaces: { id: old.id, version: 1 } }),
        );
        const alive = [];
        for (const record of [old, successor]) if (await lives(record)) alive.push(record.id);
        if (outcome === 'done') expect(alive).toEqual([successor.id]);
        // The record of an anonymous successor whose creation failed for its caller stays for some seconds; no client has its token.
        if (user !== null) expect(alive.length).toBeLessThan(2);
        if (user !== null) expect((await sound.listByUser(user)).map(({ id }) => id)).toEqual(alive);
        return outcome;
      });
      expect(steps).toBeGreaterThan(3);
    },
  );

  it('a deletion: the session is whole, or gone and off the list', async () => {
    const steps = await atEachStep(async (afterRequests) => {
      const user = arena.newUser();
      const record = await stored(user);
      proxy.loseRequests(afterRequests);
      const outcome = await ended(unlucky.delete(record.id));
      const alive = await lives(record);
      if (outcome === 'done') expect(alive).toBe(false);
      expect(await sound.listByUser(user)).toEqual(alive ? [record] : []);
      return outcome;
    });
    expect(steps).toBeGreaterThan(2);
  });

  it('a renewal: the session lives until its old or its new end, and is listed as long', async () => {
    const steps = await atEachStep(async (afterRequests) => {
      const user = arena.newUser();
      const record = await stored(user);
      const times = { lastAccessed: record.lastAccessed + 9, expiresAt: record.expiresAt + 60_000 };
      proxy.loseRequests(afterRequests);
      const outcome = await ended(unlucky.touch(record.id, times));
      const now = await sound.read(record.id);
      expect([record, { ...record, ...times }]).toContainEqual(now);
      arena.clock.advance(3_600_000 + 30_000);
      const listed = await sound.listByUser(user);
      expect(listed).toEqual(now?.expiresAt === times.expiresAt ? [now] : []);
      return outcome;
    });
    expect(steps).toBeGreaterThan(2);
  });

  it.each(['signed-in', 'anonymous'])(
    '%s: a session that Memcached makes after the call has failed does not last',
    async (kind) => {
      const trialSeconds = Math.ceil(TIMEOUT_MS / 1000) + 1;
      await unlucky.ping();
      const record = arena.record(kind === 'anonymous' ? null : arena.newUser());
      proxy.holdRequests(0);
      await expect(unlucky.create(record, { timeoutMs: TIMEOUT_MS })).rejects.toThrow(MemcachedError);
      proxy.release();
      proxy.heal();
      // The connection is a new one, and works.
      await unlucky.ping();
      // Alone, the record of a signed-in session authenticates no client; an anonymous one leaves after the trial.
      expect(await gone(record, kind === 'signed-in' ? 0 : trialSeconds + 2)).toBe(true);
    },
  );

  it.each(['signed-in', 'anonymous'])(
    '%s: a session whose last step is answered after the deadline is undone, and reported as late',
    async (kind) => {
      const patient = await arena.open({ servers: proxy.address });
      const steps = await atEachStep(async (afterRequests) => {
        const record = arena.record(kind === 'anonymous' ? null : arena.newUser());
        const timeoutMs = 60;
        await patient.ping();
        const startedAt = performance.now();
        proxy.holdRequests(afterRequests);
        const creation = patient.create(record, { timeoutMs });
        if (await getsThrough(creation)) return 'done';
        await sleep(Math.max(0, startedAt + timeoutMs + 5 - performance.now()));
        proxy.heal();
        proxy.release();
        expect((await creation).outcome).toBe('late');
        expect(await lives(record)).toBe(false);
        if (record.userTag !== null) expect(await server.secondsLeft(arena.listKey(record.userTag))).toBeNull();
        return 'failed';
      });
      expect(steps).toBeGreaterThan(kind === 'anonymous' ? 1 : 3);
    },
  );

  it.each(['signed-in', 'anonymous'])(
    '%s: a session that Memcached forgets while it is made is an error, not a success',
    async (kind) => {
      const user = kind === 'anonymous' ? null : arena.newUser();
      const record = arena.record(user);
      const patient = await arena.open({ servers: proxy.address });
      await patient.ping();
      const requests = kind === 'anonymous' ? 1 : 3;
      proxy.holdRequests(requests);
      const creation = patient.create(record, { timeoutMs: 1500 });
      await proxy.untilHeld();
      await server.evict(arena.keyPrefix + record.id);
      proxy.heal();
      proxy.release();
      await expect(creation).rejects.toMatchObject({ code: 'EVICTED' });
      if (user !== null) expect(await server.secondsLeft(arena.listKey(user))).toBeNull();
    },
  );

  it.each([{}, { ifVersion: 1 }])(
    'a session that is deleted while it is made was made, and has ended: %j',
    async (options) => {
      const record = arena.record(arena.newUser());
      const patient = await arena.open({ servers: proxy.address });
      await patient.ping();
      proxy.holdRequests(3);
      const creation = patient.create(record, { timeoutMs: 1500 });
      await proxy.untilHeld();
      expect(await sound.delete(record.id, options)).toBe('deleted');
      proxy.heal();
      proxy.release();
      expect((await creation).outcome).toBe('created');
      expect(await lives(record)).toBe(false);
    },
  );

  it('a session that is just being deleted, while it is made, was made: it leaves the list before its record', async () => {
    const record = arena.record(arena.newUser());
    const patient = await arena.open({ servers: proxy.address });
    await patient.ping();
    proxy.holdRequests(3);
    const creation = patient.create(record, { timeoutMs: 1500 });
    await proxy.untilHeld();
    const secondProxy = await FaultProxy.to(server.port);
    const deleting = await arena.open({ servers: secondProxy.address });
    secondProxy.holdRequests(3);
    const deletion = deleting.delete(record.id);
    await secondProxy.untilHeld();
    await server.evict(arena.keyPrefix + record.id);
    proxy.heal();
    proxy.release();
    expect((await creation).outcome).toBe('created');
    secondProxy.heal();
    secondProxy.release();
    expect(await deletion).toBe('deleted');
    await secondProxy.stop();
  });

  it('a session that is half made is spared by a deletion that is meant for another version', async () => {
    const steps = await atEachStep(async (afterRequests) => {
      const record = arena.record(arena.newUser());
      const patient = await arena.open({ servers: proxy.address });
      await patient.ping();
      proxy.holdRequests(afterRequests);
      const creation = patient.create(record, { timeoutMs: 1500 });
      const through = await getsThrough(creation);
      const expected = (await lives(record)) ? 'changed' : 'missing';
      expect(await sound.delete(record.id, { ifVersion: 7 })).toBe(expected);
      proxy.heal();
      proxy.release();
      expect((await creation).outcome).toBe('created');
      expect(await sound.listByUser(record.userTag!)).toEqual([record]);
      return through ? 'done' : 'failed';
    });
    expect(steps).toBeGreaterThan(3);
  });

  it('a creation that comes too late spares the record that another process has made under the same id meanwhile', async () => {
    const record = arena.record(arena.newUser());
    const other = { ...record, version: 2 };
    const patient = await arena.open({ servers: proxy.address });
    await patient.ping();
    const startedAt = performance.now();
    const timeoutMs = 60;
    proxy.holdRequests(3);
    const creation = patient.create(record, { timeoutMs });
    await proxy.untilHeld();
    await server.evict(arena.keyPrefix + record.id);
    await stored(record.userTag, other);
    await sleep(Math.max(0, startedAt + timeoutMs + 5 - performance.now()));
    proxy.heal();
    proxy.release();
    expect((await creation).outcome).toBe('late');
    expect(await sound.listByUser(record.userTag!)).toEqual([other]);
  });

  it('a session that is logged out everywhere while it is made was made, and has ended', async () => {
    const user = arena.newUser();
    const patient = await arena.open({ servers: proxy.address });
    await patient.ping();
    proxy.holdRequests(3);
    const creation = patient.create(arena.record(user), { timeoutMs: 1500 });
    await proxy.untilHeld();
    expect(await sound.deleteByUser(user)).toHaveLength(1);
    proxy.heal();
    proxy.release();
    expect((await creation).outcome).toBe('created');
    expect(await sound.listByUser(user)).toEqual([]);
  });

  it('a session that is in the list when its creator dies does not last', async () => {
    const steps = await atEachStep((afterRequests) => {
      proxy.loseRequests(afterRequests);
      return ended(unlucky.create(arena.record(arena.newUser()), { timeoutMs: TIMEOUT_MS }));
    });
    const record = arena.record(arena.newUser());
    await unlucky.ping();
    proxy.loseRequests(steps - 1);
    expect(await ended(unlucky.create(record, { timeoutMs: TIMEOUT_MS }))).toBe('failed');
    expect(await gone(record, 4)).toBe(true);
  });

  /** Only Memcached's own clock ends such a session, so there is nothing to do but to look. */
  async function gone(record: SessionRecord, withinSeconds: number): Promise<boolean> {
    const until = performance.now() + withinSeconds * 1000;
    do if (!(await lives(record))) return true;
    while (performance.now() < until);
    return false;
  }

  const writes: [name: string, write: (record: SessionRecord) => Promise<unknown>][] = [
    ['change', (record) => unlucky.replace({ ...record, version: 2, payload: 'late' }, 1)],
    ['renewal', (record) => unlucky.touch(record.id, { ...record, expiresAt: record.expiresAt + 60_000 })],
    [
      'regeneration',
      (record) =>
        unlucky.create(arena.sibling(record), { timeoutMs: TIMEOUT_MS, replaces: { id: record.id, version: 1 } }),
    ],
  ];

  it.each(writes)(
    'a %s that is carried out late, from any step on, does not bring back what was ended meanwhile',
    async (_name, write) => {
      const steps = await atEachStep(async (afterRequests) => {
        const user = arena.newUser();
        const record = await stored(user);
        const other = await stored(user);
        await unlucky.ping();
        proxy.holdRequests(afterRequests);
        const outcome = await ended(write(record));
        await sound.deleteByUser(user);
        await sound.delete(record.id);
        const next = await stored(user);
        proxy.release();
        proxy.heal();
        await unlucky.ping();
        expect(await lives(record)).toBe(false);
        expect(await lives(other)).toBe(false);
        expect(await sound.listByUser(user)).toEqual([next]);
        return outcome;
      });
      expect(steps).toBeGreaterThan(2);
    },
  );

  it('a regeneration that is logged out everywhere at any of its steps leaves no session alive', async () => {
    const patient = await arena.open({ servers: proxy.address });
    const steps = await atEachStep(async (afterRequests) => {
      const user = arena.newUser();
      const record = await stored(user);
      const successor = arena.sibling(record);
      await patient.ping();
      proxy.holdRequests(afterRequests);
      const creation = patient.create(successor, { timeoutMs: 1500, replaces: { id: record.id, version: 1 } });
      const through = await getsThrough(creation);
      await sound.deleteByUser(user);
      proxy.heal();
      proxy.release();
      await creation;
      expect([await lives(record), await lives(successor)]).toEqual([false, false]);
      return through ? 'done' : 'failed';
    });
    expect(steps).toBeGreaterThan(3);
  });

  it.each([
    { step: 'the read', prolongsMs: 0, afterRequests: 0 },
    { step: 'the longer life of its list entry', prolongsMs: 60_000, afterRequests: 2 },
  ])(
    'a change whose deadline has passed before Memcached answers $step is late, and is not stored',
    async ({ prolongsMs, afterRequests }) => {
      const record = await stored(arena.newUser());
      const next = { ...record, version: 2, payload: 'late', expiresAt: record.expiresAt + prolongsMs };
      const patient = await arena.open({ servers: proxy.address });
      await patient.ping();
      const timeoutMs = 60;
      const startedAt = performance.now();
      proxy.holdRequests(afterRequests);
      const change = patient.replace(next, 1, { timeoutMs });
      await getsThrough(change);
      await sleep(Math.max(0, startedAt + timeoutMs + 5 - performance.now()));
      proxy.heal();
      proxy.release();
      expect(await change).toBe('late');
      expect(await sound.read(record.id)).toEqual(record);
    },
  );

  it('a change that is carried out late does not overwrite a newer one', async () => {
    const record = await stored(arena.newUser());
    await unlucky.ping();
    proxy.holdRequests(2);
    expect(await ended(unlucky.replace({ ...record, version: 2, payload: 'late' }, 1))).toBe('failed');
    const newer = { ...record, version: 2, payload: 'newer' };
    expect(await sound.replace(newer, 1)).toBe('replaced');
    proxy.release();
    proxy.heal();
    await unlucky.ping();
    expect(await sound.read(record.id)).toEqual(newer);
  });
});
