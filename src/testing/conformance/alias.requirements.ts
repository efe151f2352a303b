import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';

import type { SessionRecord } from '../../records/session-record.js';
import { atOnce, ids, type Arena } from './arena.js';
import type { Requirement } from './conformance-case.js';

const ROUNDS = 20;
const READERS = 10;

/** What a new id with a grace leaves under the old one. For backends with `keepsAliases`. */
export const ALIAS_REQUIREMENTS: readonly Requirement[] = [
  [
    'the backend says that it keeps aliases (keepsAliases); for one that does not, pass { aliases: false }',
    (arena) => {
      strictEqual(arena.one.keepsAliases, true);
      strictEqual(arena.two.keepsAliases, true);
      return Promise.resolve();
    },
  ],
  [
    'an alias takes the place of the session that is replaced, as the new one enters',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const { old, fresh, alias } = await renamed(arena, user);
        deepStrictEqual(await arena.read(old.id), alias);
        deepStrictEqual(await arena.read(fresh.id), fresh);
        if (user !== null) deepStrictEqual(await arena.listed(user), [fresh.id]);
        // And once more, so that one leads to the other.
        const next = arena.sibling(fresh);
        const replaces = { id: fresh.id, version: 1, alias: arena.alias(fresh, next) };
        strictEqual((await arena.create(next, { replaces }, arena.two)).outcome, 'created');
        deepStrictEqual(await arena.read(old.id), alias);
        deepStrictEqual(await arena.read(fresh.id), replaces.alias);
        if (user !== null) deepStrictEqual(await arena.listed(user), [next.id]);
      }
    },
  ],
  [
    'no alias is left where nothing is replaced',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const old = await arena.stored(user);
        const other = arena.sibling(old);
        strictEqual((await arena.create(other)).outcome, 'created');
        const fresh = arena.sibling(old);
        const alias = arena.alias(old, fresh);
        const replaces = { id: old.id, version: 1, alias };
        const limit = { max: 1, onLimit: 'reject' } as const;
        if (user !== null) strictEqual((await arena.create(other, { replaces })).outcome, 'exists');
        strictEqual((await arena.one.create(fresh, { replaces, timeoutMs: -1 })).outcome, 'late');
        strictEqual((await arena.create(fresh, { replaces: { ...replaces, version: 2 } })).outcome, 'changed');
        if (user !== null) strictEqual((await arena.create(fresh, { replaces, limit })).outcome, 'limit');
        deepStrictEqual(await arena.read(old.id), old);
        await arena.two.delete(old.id);
        strictEqual((await arena.create(fresh, { replaces })).outcome, 'missing');
        strictEqual(await arena.read(old.id), null);
        strictEqual(await arena.read(fresh.id), null);
      }
    },
  ],
  [
    'an alias is left alone by a touch, a write of the session that it replaced, and a deletion, which reports it',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const { old, fresh, alias } = await renamed(arena, user);
        strictEqual(await arena.two.touch(old.id, { ...old, expiresAt: old.expiresAt + 5 }), false);
        strictEqual(await arena.two.replace({ ...old, version: 2 }, 1), 'changed');
        strictEqual(await arena.two.delete(old.id, { ifVersion: 1 }), 'changed');
        strictEqual(await arena.two.delete(old.id), 'alias');
        strictEqual(
          (await arena.create(arena.sibling(old), { replaces: { id: old.id, version: 1 } })).outcome,
          'changed',
        );
        strictEqual((await arena.create(old)).outcome, 'exists');
        deepStrictEqual(await arena.read(old.id), alias);
        deepStrictEqual(await arena.read(fresh.id), fresh);
      }
    },
  ],
  [
    'an alias is kept until its expiry, whatever becomes of the session',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const { old, fresh, alias } = await renamed(arena, user, 10_000);
        strictEqual(await arena.two.delete(fresh.id), 'deleted');
        arena.clock.advance(9_999);
        deepStrictEqual(await arena.read(old.id), alias);
        arena.clock.advance(1);
        strictEqual(await arena.read(old.id), null);
      }
    },
  ],
  [
    'an alias is in no index, counts for no limit, and is not among those that deleteByUser ends',
    async (arena) => {
      const { old, fresh } = await renamed(arena, arena.user);
      const other = arena.record();
      strictEqual((await arena.create(other, { limit: { max: 2, onLimit: 'reject' } })).outcome, 'created');
      deepStrictEqual(await arena.listed(), ids([fresh, other]));
      const ended = await arena.one.deleteByUser(arena.user, { except: old.id });
      deepStrictEqual([...ended].sort(), ids([fresh, other]));
      strictEqual(await arena.read(fresh.id), null);
    },
  ],
  [
    'a reader around a new id finds the old session, or an alias of one that it can read',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = round % 2 === 0 ? arena.newUser() : null;
        const old = await arena.stored(user);
        const fresh = arena.sibling(old);
        const replaces = { id: old.id, version: 1, alias: arena.alias(old, fresh) };
        const readers = atOnce(READERS, (index) => assertReadable(arena, old, fresh, index));
        const creating = arena.create(fresh, { replaces });
        const later = atOnce(READERS, (index) => assertReadable(arena, old, fresh, index));
        await Promise.all([readers, later]);
        strictEqual((await creating).outcome, 'created');
      }
    },
  ],
  [
    'of two sessions that leave an alias of one at once, one is made, and the alias is of that one',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = round % 2 === 0 ? arena.newUser() : null;
        const old = await arena.stored(user);
        const successors = [arena.sibling(old), arena.sibling(old)];
        const results = await Promise.all(
          successors.map((successor, index) => {
            const replaces = { id: old.id, version: 1, alias: arena.alias(old, successor) };
            return arena.create(successor, { replaces }, arena.turn(index));
          }),
        );
        strictEqual(results.filter(({ outcome }) => outcome === 'created').length, 1);
        const living = await Promise.all(successors.map(({ id }) => arena.read(id)));
        const alive = living.filter((record) => record !== null);
        deepStrictEqual([(await arena.read(old.id))?.payload], ids(alive));
        if (user !== null) deepStrictEqual(await arena.listed(user), ids(alive));
      }
    },
  ],
  [
    'a deletion at the same time as a new id ends the session, or reports the alias',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const old = await arena.stored(round % 2 === 0 ? arena.newUser() : null);
        const fresh = arena.sibling(old);
        const replaces = { id: old.id, version: 1, alias: arena.alias(old, fresh) };
        const [deleted, created] = await Promise.all([
          afterReads(arena, round, old.id, () => arena.two.delete(old.id)),
          arena.create(fresh, { replaces }, arena.one),
        ]);
        strictEqual(deleted, created.outcome === 'created' ? 'alias' : 'deleted');
        strictEqual((await arena.read(fresh.id)) !== null, created.outcome === 'created');
      }
    },
  ],
  [
    'a new id that races with a logout everywhere does not bring the session through it',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = arena.newUser();
        const old = await arena.stored(user);
        const fresh = arena.sibling(old);
        const replaces = { id: old.id, version: 1, alias: arena.alias(old, fresh) };
        const [, created] = await Promise.all([
          afterReads(arena, round, old.id, () => arena.two.deleteByUser(user)),
          arena.create(fresh, { replaces }),
        ]);
        const alive = await arena.read(fresh.id);
        deepStrictEqual(await arena.listed(user), alive === null ? [] : [fresh.id]);
        // It found the old session or the new one, one of which was there all the time.
        strictEqual(alive, null);
        ok(['created', 'missing'].includes(created.outcome));
      }
    },
  ],
];

/** A session that has got a new id. */
async function renamed(arena: Arena, user: SessionRecord['userTag'], lifetimeMs?: number) {
  const old = await arena.stored(user, lifetimeMs === undefined ? {} : { lifetimeMs });
  const fresh = arena.sibling(old);
  const alias = arena.alias(old, fresh);
  strictEqual((await arena.create(fresh, { replaces: { id: old.id, version: 1, alias } })).outcome, 'created');
  return { old, fresh, alias };
}

/** Makes a call after so many reads, up to 3, so that it comes to the store at another moment in each round. */
async function afterReads<T>(arena: Arena, round: number, id: SessionRecord['id'], call: () => Promise<T>): Promise<T> {
  for (let reads = 0; reads < round % 4; reads++) await arena.two.read(id);
  return call();
}

async function assertReadable(arena: Arena, old: SessionRecord, fresh: SessionRecord, reader: number): Promise<void> {
  const backend = arena.turn(reader);
  const found = await backend.read(old.id);
  ok(found, 'a reader found nothing under the old id');
  if (found.status === 'alias') ok(await backend.read(fresh.id), 'a reader found an alias that leads to nothing');
  else deepStrictEqual(found, old);
}
