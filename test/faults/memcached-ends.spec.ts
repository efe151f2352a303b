import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { SessionRecord } from 'nestjs-sessionx';
import type { MemcachedBackend } from 'nestjs-sessionx/memcached';

import type { SessionId } from '../../src/tokens/session-secret.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { ProxiedMemcached, type MemcachedArena } from './memcached-arena.js';

/** More requests than any operation here makes. */
const MOST_STEPS = 16;

/** One session, and those that have taken its place: of all of them one lives, or one has ended. */
interface Life {
  readonly user: NonNullable<SessionRecord['userTag']>;
  readonly first: SessionRecord;
  readonly ids: Set<SessionId>;
}

/** Ends the session, or gives it a new id. Returns how many ends of it were reported. */
type Operation = (backend: MemcachedBackend, life: Life) => Promise<number>;

/** A backend, and the proxy that can hold its requests. */
interface Way {
  readonly proxy: FaultProxy;
  readonly backend: MemcachedBackend;
}

/** Two operations on one session. Each is several requests: one stops at any of them, then the other; the first goes on, then the second. */
describe('the end of a session in Memcached', () => {
  const memcached = ProxiedMemcached.forEachTest(2000);
  let arena: MemcachedArena;
  let sound: MemcachedBackend;
  let secondProxy: FaultProxy;
  let ways: readonly [Way, Way];

  beforeEach(async () => {
    ({ arena, sound } = memcached);
    secondProxy = await FaultProxy.to(memcached.server.port);
    const [first, second] = [memcached.proxy, secondProxy];
    ways = [
      { proxy: first, backend: await arena.open({ servers: first.address }) },
      { proxy: second, backend: await arena.open({ servers: second.address }) },
    ];
  });

  afterEach(() => secondProxy.stop());

  const operations: Readonly<Record<string, Operation>> = {
    'a log-out everywhere': async (backend, { user, ids }) =>
      (await backend.deleteByUser(user)).filter((id) => ids.has(id)).length,
    'a deletion': async (backend, { first }) => ((await backend.delete(first.id)) === 'deleted' ? 1 : 0),
    'a deletion of its version': async (backend, { first }) =>
      (await backend.delete(first.id, { ifVersion: 1 })) === 'deleted' ? 1 : 0,
    'an invalidation': async (backend, { first }) =>
      (await backend.replace({ ...first, version: 2, status: 'invalidated' }, 1)) === 'replaced' ? 1 : 0,
    'a new id': (backend, life) => newId(backend, life, false),
    'a new id with a grace': (backend, life) => newId(backend, life, true),
    'a login at the limit': async (backend, { user, ids }) => {
      const limit = { max: 1, onLimit: 'evict-oldest' } as const;
      // Everything else is used later.
      const result = await backend.create(arena.record(user), { timeoutMs: 1500, limit });
      return result.outcome === 'created' ? result.evicted.filter((id) => ids.has(id)).length : 0;
    },
  };

  async function newId(backend: MemcachedBackend, { first, ids }: Life, hasGrace: boolean): Promise<number> {
    const fresh = arena.sibling(first);
    ids.add(fresh.id);
    const replaces = { id: first.id, version: 1, ...(hasGrace ? { alias: aliasOf(first, fresh) } : {}) };
    await backend.create(fresh, { timeoutMs: 1500, replaces });
    return 0;
  }

  function aliasOf(old: SessionRecord, fresh: SessionRecord): SessionRecord {
    return { ...old, version: 2, status: 'alias', userTag: null, lastAccessed: arena.clock.now(), payload: fresh.id };
  }

  async function newLife(): Promise<Life> {
    const user = arena.newUser();
    const first = arena.record(user);
    expect((await sound.create(first, { timeoutMs: 1000 })).outcome).toBe('created');
    return { user, first, ids: new Set([first.id]) };
  }

  async function countAlive({ user, ids }: Life): Promise<number> {
    return (await sound.listByUser(user)).filter(({ id }) => ids.has(id)).length;
  }

  const names = Object.keys(operations);
  const pairs = names.flatMap((one) => names.map((other) => [one, other]));

  /** Runs an operation until `steps` requests have passed. Returns whether it got through, and what ends it. */
  async function runUntil(steps: number, way: Way, operation: Operation, life: Life) {
    await way.backend.ping();
    way.proxy.holdRequests(steps);
    const running = operation(way.backend, life);
    const isThrough = await Promise.race([running.then(() => true), way.proxy.untilHeld().then(() => false)]);
    const finish = (): Promise<number> => {
      way.proxy.heal();
      way.proxy.release();
      return running;
    };
    return { isThrough, finish };
  }

  it.each(pairs)(
    '%s and %s, in whatever order their steps come: reported once, unless one lives',
    async (one, other) => {
      for (let steps = 0, isThrough = false; !isThrough; steps++) {
        for (let otherSteps = 0, isOtherThrough = false; !isOtherThrough; otherSteps++) {
          expect(Math.max(steps, otherSteps)).toBeLessThan(MOST_STEPS);
          const life = await newLife();
          const first = await runUntil(steps, ways[0], operations[one]!, life);
          const second = await runUntil(otherSteps, ways[1], operations[other]!, life);
          ({ isThrough } = first);
          isOtherThrough = second.isThrough;
          const ends = (await first.finish()) + (await second.finish()) + (await countAlive(life));
          expect({ steps, otherSteps, ends }).toEqual({ steps, otherSteps, ends: 1 });
        }
      }
    },
  );
});
