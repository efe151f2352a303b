import { beforeEach, describe, expect, it } from '@jest/globals';
import type { SessionRecord } from 'nestjs-sessionx';
import type { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { setTimeout as sleep } from 'node:timers/promises';

import { MemcachedError } from '../../src/backends/memcached/memcached-error.js';
import type { FaultProxy } from '../support/fault-proxy.js';
import { ProxiedMemcached, type MemcachedArena } from './memcached-arena.js';

const TIMEOUT_MS = 100;
const MOST_STEPS = 12;
/** Of a creation in the place of a signed-in session: the record, the list, both once more, and the alias. */
const REQUESTS_UNTIL_ALIAS = 5;

/** A new id with a grace takes several requests. Here a process stops between them, or another one comes in between. */
describe('an alias in Memcached', () => {
  const memcached = ProxiedMemcached.forEachTest(TIMEOUT_MS);
  let proxy: FaultProxy;
  let arena: MemcachedArena;
  let unlucky: MemcachedBackend;
  let sound: MemcachedBackend;
  /** By the proxy, with time enough. */
  let patient: MemcachedBackend;

  beforeEach(async () => {
    ({ proxy, arena, backend: unlucky, sound } = memcached);
    patient = await arena.open({ servers: proxy.address });
    await patient.ping();
    await unlucky.ping();
  });

  /** A stored session, and what a new id makes of it. */
  async function prepared(user: SessionRecord['userTag'] = arena.newUser()) {
    const old = arena.record(user);
    expect((await sound.create(old, { timeoutMs: 1000 })).outcome).toBe('created');
    const fresh = arena.sibling(old);
    const alias: SessionRecord = {
      ...old,
      version: 2,
      status: 'alias',
      userTag: null,
      lastAccessed: arena.clock.now(),
      payload: fresh.id,
    };
    return { user, old, fresh, alias, replaces: { id: old.id, version: 1, alias } };
  }

  /** Later than any creation takes, so that no reader waits for it. */
  function afterAnyCreation(): void {
    arena.clock.advance(10_000);
  }

  it.each(['signed-in', 'anonymous'])(
    '%s: a process that dies at any step leaves the old session, or the new one by its alias, or none; never two',
    async (kind) => {
      for (let steps = 0; ; steps++) {
        expect(steps).toBeLessThan(MOST_STEPS);
        await unlucky.ping();
        const { user, old, fresh, alias, replaces } = await prepared(kind === 'anonymous' ? null : arena.newUser());
        proxy.loseRequests(steps);
        const outcome = await unlucky.create(fresh, { timeoutMs: TIMEOUT_MS, replaces }).then(
          () => 'done',
          (error: unknown) => {
            if (error instanceof MemcachedError) return 'failed';
            throw error;
          },
        );
        proxy.heal();
        afterAnyCreation();
        const found = await sound.read(old.id);
        const alive = await sound.read(fresh.id);
        expect([old, alias]).toContainEqual(found);
        // Anonymous: a record whose creation has failed stays for some seconds; no client has its token.
        if (user !== null && found?.status === 'active') expect(alive).toBeNull();
        if (user !== null) {
          const expected = found?.status === 'active' ? [old] : alive === null ? [] : [fresh];
          expect(await sound.listByUser(user)).toEqual(expected);
        }
        if (outcome === 'done') {
          expect([found, alive]).toEqual([alias, fresh]);
          expect(steps).toBeGreaterThan(kind === 'anonymous' ? 3 : 5);
          return;
        }
      }
    },
  );

  it('a connection that breaks at any step, once, ends no session: it lasts by its old id or by the new one', async () => {
    const attempts: { readonly made: Awaited<ReturnType<typeof prepared>>; readonly isDone: boolean }[] = [];
    for (const lost of ['request', 'response'] as const) {
      for (const kind of ['signed-in', 'anonymous']) {
        for (let steps = 0; steps < MOST_STEPS; steps++) {
          await patient.ping();
          const made = await prepared(kind === 'anonymous' ? null : arena.newUser());
          if (lost === 'request') proxy.loseRequests(steps, 'once');
          else proxy.loseResponses(steps, 'rst', 'once');
          const isDone = await patient.create(made.fresh, { timeoutMs: 500, replaces: made.replaces }).then(
            ({ outcome }) => outcome === 'created',
            () => false,
          );
          proxy.heal();
          attempts.push({ made, isDone });
        }
      }
    }
    // Memcached counts in seconds: what it keeps for `timeoutMs` alone has left by then.
    await sleep(2100);
    for (const { made, isDone } of attempts) {
      const { old, fresh, alias } = made;
      const byOldId = await sound.read(old.id);
      const byNewId = await sound.read(fresh.id);
      if (isDone) expect([byOldId, byNewId]).toEqual([alias, fresh]);
      else if (byOldId?.status === 'alias') expect(byNewId).toEqual(fresh);
      else expect(byOldId).toEqual(old);
    }
    expect(attempts.filter(({ isDone }) => !isDone).length).toBeLessThan(attempts.length / 2);
  });

  it('a reader between the two steps waits for the second one, and then finds the new session', async () => {
    const { old, fresh, alias, replaces } = await prepared();
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS);
    const creation = patient.create(fresh, { timeoutMs: 1500, replaces });
    await proxy.untilHeld();
    let isRead = false;
    const reading = sound.read(old.id).then((record) => {
      isRead = true;
      return record;
    });
    await sleep(50);
    expect(isRead).toBe(false);
    proxy.heal();
    proxy.release();
    expect(await reading).toEqual(alias);
    expect(await sound.read(fresh.id)).toEqual(fresh);
    expect((await creation).outcome).toBe('created');
  });

  it('a reader does not wait for a process that has died', async () => {
    const { old, fresh, alias, replaces } = await prepared();
    proxy.loseRequests(REQUESTS_UNTIL_ALIAS);
    await expect(unlucky.create(fresh, { timeoutMs: TIMEOUT_MS, replaces })).rejects.toThrow(MemcachedError);
    proxy.heal();
    // By this one's time budget.
    const startedAt = performance.now();
    await unlucky.ping();
    expect(await unlucky.read(old.id)).toEqual(alias);
    expect(performance.now() - startedAt).toBeGreaterThan(TIMEOUT_MS - 10);
    afterAnyCreation();
    const again = performance.now();
    expect(await sound.read(old.id)).toEqual(alias);
    expect(performance.now() - again).toBeLessThan(1000);
    expect(await sound.read(fresh.id)).toBeNull();
  });

  it('a deletion between the two steps reports the alias, whose session it finds afterwards', async () => {
    const { old, fresh, replaces } = await prepared();
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS);
    const creation = patient.create(fresh, { timeoutMs: 1500, replaces });
    await proxy.untilHeld();
    expect(await sound.delete(old.id)).toBe('alias');
    const reading = sound.read(old.id);
    proxy.heal();
    proxy.release();
    await reading;
    expect(await sound.delete(fresh.id)).toBe('deleted');
    await creation.catch(() => undefined);
    expect(await sound.read(fresh.id)).toBeNull();
  });

  it('a log-out everywhere between the two steps leaves neither, and reports the session by its old id', async () => {
    const { user, old, fresh, replaces } = await prepared();
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS);
    const creation = patient.create(fresh, { timeoutMs: 1500, replaces });
    await proxy.untilHeld();
    expect(await sound.deleteByUser(user!)).toEqual([old.id]);
    proxy.heal();
    proxy.release();
    expect((await creation).outcome).toBe('missing');
    expect((await sound.read(old.id))?.status).not.toBe('active');
    expect(await sound.read(fresh.id)).toBeNull();
    expect(await sound.listByUser(user!)).toEqual([]);
  });

  it('a new id that comes too late for its second step is taken back', async () => {
    const { user, old, fresh, replaces } = await prepared();
    const timeoutMs = 100;
    const startedAt = performance.now();
    proxy.holdRequests(REQUESTS_UNTIL_ALIAS - 1);
    const creation = patient.create(fresh, { timeoutMs, replaces });
    await proxy.untilHeld();
    await sleep(Math.max(0, startedAt + timeoutMs + 5 - performance.now()));
    proxy.heal();
    proxy.release();
    expect((await creation).outcome).toBe('late');
    expect(await sound.read(old.id)).toEqual(old);
    expect(await sound.read(fresh.id)).toBeNull();
    expect(await sound.listByUser(user!)).toEqual([old]);
  });

  it('a reader whose record was read before the alias and whose list after it looks once more', async () => {
    const { old, fresh, alias, replaces } = await prepared();
    // Of its two requests the first passes, that for the list waits.
    proxy.holdRequests(1);
    const reading = patient.read(old.id);
    await proxy.untilHeld();
    expect((await sound.create(fresh, { timeoutMs: 1500, replaces })).outcome).toBe('created');
    proxy.heal();
    proxy.release();
    expect(await reading).toEqual(alias);
  });
});
