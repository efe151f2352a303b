import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';

import type { CreateResult } from '../../backends/session-backend.interface.js';
import { tagOf, type SessionId } from '../../tokens/session-secret.js';
import { atOnce, ids } from './arena.js';
import type { Requirement } from './conformance-case.js';

/** What the sessions of one user do together: the index and the limit. */
export const USER_REQUIREMENTS: readonly Requirement[] = [
  [
    "listByUser lists a user's active and pending sessions, whole, and no other user's",
    async (arena) => {
      const mine = [await arena.stored(), await arena.stored(), await arena.stored(arena.user, { status: 'pending' })];
      await arena.stored(arena.newUser());
      await arena.stored(null);
      const listed = await arena.two.listByUser(arena.user);
      deepStrictEqual(
        new Map(listed.map((record) => [record.id, record])),
        new Map(mine.map((record) => [record.id, record])),
      );
    },
  ],
  [
    'a session that is deleted or invalidated leaves the index; an invalidated one can still be read',
    async (arena) => {
      const [deleted, invalidated, kept] = [await arena.stored(), await arena.stored(), await arena.stored()];
      await arena.one.delete(deleted.id);
      await arena.one.replace({ ...invalidated, version: 2, status: 'invalidated' }, 1);
      deepStrictEqual(await arena.listed(), [kept.id]);
      strictEqual((await arena.read(invalidated.id))?.status, 'invalidated');
    },
  ],
  [
    'an anonymous session is in no index',
    async (arena) => {
      const record = await arena.stored(null);
      const tag = tagOf(record.id);
      await arena.one.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 });
      deepStrictEqual(await arena.listed(tag), []);
      deepStrictEqual(await arena.one.deleteByUser(tag), []);
      ok(await arena.read(record.id));
    },
  ],
  [
    'deleteByUser ends all sessions of the user and returns the active ones, and spares the others',
    async (arena) => {
      const expired = await arena.stored(arena.user, { lifetimeMs: 1000 });
      const active = [await arena.stored(), await arena.stored()];
      const pending = await arena.stored(arena.user, { status: 'pending' });
      const others = await arena.stored(arena.newUser());
      arena.clock.advance(1000);
      deepStrictEqual((await arena.one.deleteByUser(arena.user)).sort(), ids(active));
      for (const { id } of [...active, pending, expired]) strictEqual(await arena.read(id), null);
      deepStrictEqual(await arena.listed(), []);
      ok(await arena.read(others.id));
      deepStrictEqual(await arena.one.deleteByUser(arena.user), []);
    },
  ],
  [
    'a session that a late renewal keeps alive is listed, also when the index was tidied meanwhile',
    async (arena) => {
      const record = await arena.stored(arena.user, { lifetimeMs: 1000 });
      arena.clock.advance(1000);
      const other = await arena.stored();
      await arena.listed();
      await arena.one.touch(record.id, { lastAccessed: arena.clock.now(), expiresAt: arena.clock.now() + 10_000 });
      const alive = await arena.read(record.id);
      deepStrictEqual(await arena.listed(), ids(alive === null ? [other] : [other, record]));
      await arena.one.deleteByUser(arena.user);
      strictEqual(await arena.read(record.id), null);
    },
  ],
  [
    'deleteByUser spares the session that is to be kept',
    async (arena) => {
      const [kept, ended] = [await arena.stored(), await arena.stored()];
      deepStrictEqual(await arena.one.deleteByUser(arena.user, { except: kept.id }), [ended.id]);
      deepStrictEqual(await arena.listed(), [kept.id]);
      ok(await arena.read(kept.id));
    },
  ],
  [
    'a session that is renewed stays listed until its new expiry',
    async (arena) => {
      const record = await arena.stored(arena.user, { lifetimeMs: 10_000 });
      await arena.one.touch(record.id, { lastAccessed: record.lastAccessed, expiresAt: record.expiresAt + 10_000 });
      arena.clock.advance(15_000);
      deepStrictEqual(await arena.listed(), [record.id]);
      deepStrictEqual(await arena.one.deleteByUser(arena.user), [record.id]);
    },
  ],
  [
    'a pending session that is activated lives until its new expiry, and is listed',
    async (arena) => {
      const pending = await arena.stored(arena.user, { status: 'pending', lifetimeMs: 2_000 });
      const active = { ...pending, version: 2, status: 'active' as const, expiresAt: pending.expiresAt + 60_000 };
      strictEqual(await arena.two.replace(active, 1), 'replaced');
      arena.clock.advance(30_000);
      deepStrictEqual(await arena.read(pending.id), active);
      deepStrictEqual(await arena.listed(), [pending.id]);
    },
  ],
  [
    'a session that replaces another enters as that one ceases',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const old = await arena.stored(user);
        const fresh = arena.sibling(old);
        const result = await arena.create(fresh, { replaces: { id: old.id, version: 1 } });
        strictEqual(result.outcome, 'created');
        strictEqual(await arena.read(old.id), null);
        deepStrictEqual(await arena.read(fresh.id), fresh);
        if (user !== null) deepStrictEqual(await arena.listed(user), [fresh.id]);
      }
    },
  ],
  [
    'a session does not replace one that has changed or is gone; then nothing is stored',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const old = await arena.stored(user);
        await arena.two.replace({ ...old, version: 2 }, 1);
        const fresh = arena.sibling(old);
        strictEqual((await arena.create(fresh, { replaces: { id: old.id, version: 1 } })).outcome, 'changed');
        ok(await arena.read(old.id));
        await arena.two.delete(old.id);
        strictEqual((await arena.create(fresh, { replaces: { id: old.id, version: 2 } })).outcome, 'missing');
        strictEqual(await arena.read(fresh.id), null);
        if (user !== null) deepStrictEqual(await arena.listed(user), []);
      }
    },
  ],
  [
    'a limit evicts the least recently used sessions, however long they would still live, and names them',
    async (arena) => {
      const lifetimes = [3_000_000, 1_000_000, 2_000_000];
      const [idle, used, middle] = await Promise.all(
        lifetimes.map((lifetimeMs) => arena.stored(arena.user, { lifetimeMs })),
      );
      for (const session of [middle, used]) {
        arena.clock.advance(1000);
        if (session) await arena.two.touch(session.id, { ...session, lastAccessed: arena.clock.now() });
      }
      // By a clock that is late: that it was used since stays true.
      if (used) await arena.one.touch(used.id, { ...used, expiresAt: used.expiresAt + 1 });
      arena.clock.advance(1000);
      const record = arena.record();
      const limit = { max: 2, onLimit: 'evict-oldest' } as const;
      const result = await arena.create(record, { limit });
      deepStrictEqual(evictedBy(result), [idle?.id, middle?.id].sort());
      deepStrictEqual(await arena.listed(), [used?.id, record.id].sort());
      strictEqual(await arena.read(idle?.id ?? record.id), null);
    },
  ],
  [
    'of sessions that were last used at the same time, a limit evicts those with the lowest ids',
    async (arena) => {
      const [first = '', second = '', ...kept] = ids(Array.from({ length: 12 }, () => arena.record()));
      // Neither the order of creation nor that of expiry begins or ends with those that have to go.
      const created = [...kept.slice(0, 5), second, first, ...kept.slice(5)];
      for (const [index, id] of created.entries()) {
        const record = { ...arena.record(arena.user, { lifetimeMs: 1_000_000 - index * 1000 }), id: id as SessionId };
        strictEqual((await arena.create(record)).outcome, 'created');
      }
      const record = arena.record();
      const result = await arena.create(record, { limit: { max: 11, onLimit: 'evict-oldest' } });
      deepStrictEqual(evictedBy(result), [first, second]);
      deepStrictEqual(await arena.listed(), [...kept, record.id].sort());
    },
  ],
  [
    'a limit that rejects stores nothing and ends nothing',
    async (arena) => {
      const [first, second] = [await arena.stored(), await arena.stored()];
      const record = arena.record();
      const limit = { max: 2, onLimit: 'reject' } as const;
      strictEqual((await arena.create(record, { limit })).outcome, 'limit');
      strictEqual(await arena.read(record.id), null);
      deepStrictEqual(await arena.listed(), ids([first, second]));
    },
  ],
  [
    'a limit evicts no pending session, and counts it where it rejects',
    async (arena) => {
      const pending = await arena.stored(arena.user, { status: 'pending' });
      const active = await arena.stored();
      const record = arena.record();
      const result = await arena.create(record, { limit: { max: 1, onLimit: 'evict-oldest' } });
      deepStrictEqual(evictedBy(result), [active.id]);
      deepStrictEqual(await arena.listed(), ids([pending, record]));
      const refused = await arena.create(arena.record(), { limit: { max: 2, onLimit: 'reject' } });
      strictEqual(refused.outcome, 'limit');
      deepStrictEqual(await arena.listed(), ids([pending, record]));
      const other = arena.newUser();
      await arena.stored(other, { status: 'pending' });
      const alone = await arena.create(arena.record(other), { limit: { max: 1, onLimit: 'reject' } });
      strictEqual(alone.outcome, 'limit');
    },
  ],
  [
    'a limit does not count expired sessions, nor the one that is replaced',
    async (arena) => {
      const limit = { max: 2, onLimit: 'reject' } as const;
      await arena.stored(arena.user, { lifetimeMs: 1000 });
      const old = await arena.stored();
      arena.clock.advance(1000);
      strictEqual((await arena.create(arena.record(), { limit })).outcome, 'created');
      const replaces = { id: old.id, version: 1 };
      strictEqual((await arena.create(arena.sibling(old), { limit, replaces })).outcome, 'created');
      strictEqual((await arena.create(arena.record(), { limit })).outcome, 'limit');
    },
  ],
  [
    '20 sessions created at once under a limit of 3 leave 3',
    async (arena) => {
      for (const onLimit of ['evict-oldest', 'reject'] as const) {
        const user = arena.newUser();
        const records = Array.from({ length: 20 }, () => arena.record(user));
        const limit = { max: 3, onLimit };
        await atOnce(20, (index) => arena.create(records[index] ?? arena.record(user), { limit }, arena.turn(index)));
        const living = await atOnce(20, async (index) => arena.read(records[index]?.id ?? arena.record().id));
        const alive = living.filter((record) => record !== null);
        strictEqual(alive.length, 3);
        deepStrictEqual(await arena.listed(user), ids(alive));
      }
    },
  ],
];

function evictedBy(result: CreateResult): string[] {
  return result.outcome === 'created' ? [...result.evicted].sort() : [];
}
