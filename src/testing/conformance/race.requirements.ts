import { deepStrictEqual, strictEqual } from 'node:assert/strict';

import { atOnce, ids } from './arena.js';
import type { Requirement } from './conformance-case.js';

const ROUNDS = 20;

/** What happens when two instances write at once. All calls of a round are started before the first one is awaited. */
export const RACE_REQUIREMENTS: readonly Requirement[] = [
  [
    'of 20 compare-and-sets of one version, one wins',
    async (arena) => {
      const record = await arena.stored();
      const outcomes = await atOnce(20, (index) =>
        arena.turn(index).replace({ ...record, version: 2, payload: String(index) }, 1),
      );
      const winners = outcomes.flatMap((outcome, index) => (outcome === 'replaced' ? [String(index)] : []));
      strictEqual(winners.length, 1);
      strictEqual((await arena.read(record.id))?.payload, winners[0]);
    },
  ],
  [
    'no update is lost: 40 increments by two instances are 40',
    async (arena) => {
      const record = await arena.stored(arena.user, { payload: '0' });
      await atOnce(40, (index) => arena.increment(record.id, arena.turn(index)));
      strictEqual((await arena.read(record.id))?.payload, '40');
    },
  ],
  [
    'a touch does not make a compare-and-set fail, nor undo it',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const record = await arena.stored();
        const times = { lastAccessed: record.lastAccessed + 9, expiresAt: record.expiresAt + 9 };
        const [outcome] = await Promise.all([
          arena.one.replace({ ...record, version: 2, payload: 'next' }, 1),
          arena.two.touch(record.id, times),
        ]);
        strictEqual(outcome, 'replaced');
        deepStrictEqual(await arena.read(record.id), { ...record, ...times, version: 2, payload: 'next' });
      }
    },
  ],
  [
    'a deletion that races with writes wins: nothing is there afterwards',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const record = await arena.stored();
        await Promise.all([
          arena.one.replace({ ...record, version: 2 }, 1),
          arena.two.delete(record.id),
          arena.one.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 }),
          arena.two.replace({ ...record, version: 2 }, 1),
        ]);
        strictEqual(await arena.read(record.id), null);
        deepStrictEqual(await arena.listed(), []);
      }
    },
  ],
  [
    'of two sessions that replace one at once, one is made',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = arena.newUser();
        const old = await arena.stored(user);
        const successors = [arena.sibling(old), arena.sibling(old)];
        const replaces = { id: old.id, version: 1 };
        const results = await Promise.all(
          successors.map((successor, index) => arena.create(successor, { replaces }, arena.turn(index))),
        );
        strictEqual(results.filter(({ outcome }) => outcome === 'created').length, 1);
        const living = await Promise.all(successors.map(({ id }) => arena.read(id)));
        const alive = living.filter((record) => record !== null);
        strictEqual(alive.length, 1);
        deepStrictEqual(await arena.listed(user), ids(alive));
      }
    },
  ],
  [
    'a session that is created while its user is logged out everywhere is ended or listed, never alive and unlisted',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = arena.newUser();
        const records = Array.from({ length: 6 }, () => arena.record(user));
        const [first = arena.record(user), ...rest] = records;
        await arena.create(first);
        const ending = arena.two.deleteByUser(user);
        await Promise.all(rest.map((record, index) => arena.create(record, {}, arena.turn(index))));
        const ended = await ending;
        const living = await Promise.all(records.map(({ id }) => arena.read(id)));
        const alive = ids(living.filter((record) => record !== null));
        deepStrictEqual(await arena.listed(user), alive);
        deepStrictEqual([...alive, ...ended].sort(), ids(records));
      }
    },
  ],
  [
    'of two deletions of one version, one returns that it deleted',
    async (arena) => {
      for (let round = 0; round < ROUNDS; round++) {
        const record = await arena.stored(null);
        const outcomes = await atOnce(4, (index) => arena.turn(index).delete(record.id, { ifVersion: 1 }));
        strictEqual(outcomes.filter((outcome) => outcome === 'deleted').length, 1);
      }
    },
  ],
];
