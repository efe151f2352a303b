import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';

import { DamagedRecordError, NewerRecordError } from '../../records/record-errors.js';
import type { SessionRecord } from '../../records/session-record.js';
import { tagOf } from '../../tokens/session-secret.js';
import { overtakenByDeadline } from './arena.js';
import type { Requirement } from './conformance-case.js';

/** What one record does, by itself. */
export const RECORD_REQUIREMENTS: readonly Requirement[] = [
  [
    'read returns a record exactly as create stored it, to another instance too',
    async (arena) => {
      for (const record of [
        await arena.stored(),
        await arena.stored(null),
        await arena.stored(arena.user, { status: 'pending' }),
      ]) {
        deepStrictEqual(await arena.read(record.id), record);
        deepStrictEqual(await arena.one.read(record.id), record);
      }
    },
  ],
  [
    'a payload of any text survives, 100,000 characters included',
    async (arena) => {
      const texts = ['', 'line\nline\r\n', '\0\u0001\u2028', 'äöü 👩‍👩‍👧 漢字', '"\\{}', 'x'.repeat(100_000)];
      for (const payload of texts) {
        const record = await arena.stored(arena.user, { payload });
        strictEqual((await arena.read(record.id))?.payload, payload);
      }
    },
  ],
  [
    'read returns null for a record that is not there',
    async (arena) => {
      strictEqual(await arena.read(arena.record().id), null);
    },
  ],
  [
    'create refuses an id that is taken, and leaves the first record alone',
    async (arena) => {
      const record = await arena.stored();
      strictEqual((await arena.create({ ...record, payload: 'second' })).outcome, 'exists');
      strictEqual((await arena.read(record.id))?.payload, 'payload');
    },
  ],
  [
    'create does nothing once its deadline has passed',
    async (arena) => {
      const record = arena.record();
      strictEqual((await arena.one.create(record, { timeoutMs: -1 })).outcome, 'late');
      strictEqual(await arena.read(record.id), null);
      deepStrictEqual(await arena.listed(), []);
    },
  ],
  [
    'create does nothing that its deadline has overtaken, also where the time has passed since it began',
    async (arena) => {
      for (const user of [arena.newUser(), null]) {
        const record = arena.record(user);
        const { result, found } = await overtakenByDeadline(
          (timeoutMs) => arena.one.create(record, { timeoutMs }),
          () => arena.read(record.id),
        );
        if (result.outcome === 'created') deepStrictEqual(found, record);
        else {
          strictEqual(result.outcome, 'late');
          strictEqual(await arena.read(record.id), null);
          deepStrictEqual(await arena.listed(tagOf(record.id)), []);
        }
      }
    },
  ],
  [
    'replace stores a new version in place of the one that was read',
    async (arena) => {
      const record = await arena.stored();
      const next = { ...record, version: 2, payload: 'next' };
      strictEqual(await arena.one.replace(next, 1), 'replaced');
      deepStrictEqual(await arena.read(record.id), next);
    },
  ],
  [
    'replace does nothing once its deadline has passed, and keeps to a deadline that has not',
    async (arena) => {
      const record = await arena.stored(arena.user, { status: 'pending' });
      const active = { ...record, version: 2, status: 'active' as const };
      strictEqual(await arena.one.replace(active, 1, { timeoutMs: -1 }), 'late');
      deepStrictEqual(await arena.read(record.id), record);
      strictEqual(await arena.one.replace(active, 1, { timeoutMs: 60_000 }), 'replaced');
      deepStrictEqual(await arena.read(record.id), active);
    },
  ],
  [
    'replace does nothing that its deadline has overtaken, also where the time has passed since it began',
    async (arena) => {
      const record = await arena.stored(arena.user, { status: 'pending' });
      const active = { ...record, version: 2, status: 'active' as const };
      const { result, found } = await overtakenByDeadline(
        (timeoutMs) => arena.one.replace(active, 1, { timeoutMs }),
        () => arena.read(record.id),
      );
      if (result === 'replaced') deepStrictEqual(found, active);
      else {
        strictEqual(result, 'late');
        deepStrictEqual(await arena.read(record.id), record);
      }
    },
  ],
  [
    'replace leaves a record alone that has another version by now',
    async (arena) => {
      const record = await arena.stored();
      await arena.one.replace({ ...record, version: 2, payload: 'winner' }, 1);
      strictEqual(await arena.two.replace({ ...record, version: 2, payload: 'loser' }, 1), 'changed');
      strictEqual((await arena.read(record.id))?.payload, 'winner');
    },
  ],
  [
    'replace never creates, and does not bring back what was deleted',
    async (arena) => {
      const record = arena.record();
      strictEqual(await arena.one.replace(record, 1), 'missing');
      strictEqual(await arena.read(record.id), null);
      const deleted = await arena.stored();
      await arena.two.delete(deleted.id);
      strictEqual(await arena.one.replace({ ...deleted, version: 2 }, 1), 'missing');
      strictEqual(await arena.read(deleted.id), null);
      deepStrictEqual(await arena.listed(), []);
    },
  ],
  [
    'replace does not take back times that another writer has moved on',
    async (arena) => {
      const record = await arena.stored();
      const times = { lastAccessed: record.lastAccessed + 1000, expiresAt: record.expiresAt + 1000 };
      await arena.two.touch(record.id, times);
      strictEqual(await arena.one.replace({ ...record, version: 2, payload: 'next' }, 1), 'replaced');
      deepStrictEqual(await arena.read(record.id), { ...record, ...times, version: 2, payload: 'next' });
    },
  ],
  [
    'touch moves the times and leaves version and payload',
    async (arena) => {
      const record = await arena.stored();
      const times = { lastAccessed: record.lastAccessed + 5, expiresAt: record.expiresAt + 5 };
      strictEqual(await arena.one.touch(record.id, times), true);
      deepStrictEqual(await arena.read(record.id), { ...record, ...times });
      strictEqual(await arena.two.replace({ ...record, version: 2 }, 1), 'replaced');
    },
  ],
  [
    'touch never moves a time back',
    async (arena) => {
      const record = await arena.stored();
      const later = { lastAccessed: record.lastAccessed + 10, expiresAt: record.expiresAt + 10 };
      await arena.one.touch(record.id, later);
      await arena.two.touch(record.id, { lastAccessed: record.lastAccessed + 5, expiresAt: record.expiresAt + 5 });
      await arena.two.touch(record.id, { lastAccessed: record.lastAccessed + 5, expiresAt: record.expiresAt + 20 });
      deepStrictEqual(await arena.read(record.id), { ...record, ...later, expiresAt: record.expiresAt + 20 });
    },
  ],
  [
    'touch never creates, and does not revive what has ended or is pending',
    async (arena) => {
      const gone = await arena.stored();
      await arena.two.delete(gone.id);
      strictEqual(await arena.one.touch(gone.id, gone), false);
      strictEqual(await arena.read(gone.id), null);
      for (const status of ['pending', 'invalidated'] as const) {
        const record = await arena.stored();
        await arena.one.replace({ ...record, version: 2, status }, 1);
        strictEqual(await arena.one.touch(record.id, { ...record, expiresAt: record.expiresAt + 5 }), false);
        strictEqual((await arena.read(record.id))?.status, status);
      }
    },
  ],
  [
    'delete removes a record and returns that it did; to delete a missing record is no error',
    async (arena) => {
      const record = await arena.stored();
      strictEqual(await arena.one.delete(record.id), 'deleted');
      strictEqual(await arena.read(record.id), null);
      strictEqual(await arena.two.delete(record.id), 'missing');
    },
  ],
  [
    'delete with a version spares a record that has another one',
    async (arena) => {
      const record = await arena.stored(null);
      await arena.two.replace({ ...record, version: 2 }, 1);
      strictEqual(await arena.one.delete(record.id, { ifVersion: 1 }), 'changed');
      ok(await arena.read(record.id));
      strictEqual(await arena.one.delete(record.id, { ifVersion: 2 }), 'deleted');
      strictEqual(await arena.one.delete(record.id, { ifVersion: 2 }), 'missing');
    },
  ],
  [
    'delete without a version leaves an invalidated session as it is, and takes it for missing',
    async (arena) => {
      for (const user of [arena.user, null]) {
        const record = await arena.stored(user);
        const invalidated = { ...record, version: 2, status: 'invalidated' as const };
        await arena.two.replace(invalidated, 1);
        strictEqual(await arena.one.delete(record.id), 'missing');
        deepStrictEqual(await arena.read(record.id), invalidated);
        strictEqual(await arena.one.delete(record.id, { ifVersion: 2 }), 'deleted');
        strictEqual(await arena.read(record.id), null);
      }
    },
  ],
  [
    'a record is not usable past its expiry, to the millisecond, however long the store keeps it',
    async (arena) => {
      const record = await arena.stored(arena.user, { lifetimeMs: 10_000 });
      arena.clock.advance(9_999);
      deepStrictEqual(await arena.read(record.id), record);
      arena.clock.advance(1);
      strictEqual(await arena.read(record.id), null);
      deepStrictEqual(await arena.listed(), []);
    },
  ],
  [
    'what lies under one keyPrefix is not seen, changed or ended under another one',
    async (arena) => {
      const record = await arena.stored();
      const other = await arena.openWithOtherPrefix();
      // Equally correct: the backend refuses to serve two prefixes.
      if (other === null) return;
      try {
        strictEqual(await other.read(record.id), null);
        deepStrictEqual(await other.listByUser(arena.user), []);
        deepStrictEqual(await other.deleteByUser(arena.user), []);
        strictEqual(await other.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 }), false);
        strictEqual(await other.replace({ ...record, version: 2 }, 1), 'missing');
        strictEqual(await other.delete(record.id), 'missing');
        const limit = { max: 1, onLimit: 'reject' } as const;
        const theirs = { ...record, payload: 'of another application' };
        strictEqual((await arena.create(theirs, { limit }, other)).outcome, 'created');
        deepStrictEqual(await other.read(record.id), theirs);
        if (other === arena.one) return;
        deepStrictEqual(await arena.read(record.id), record);
        deepStrictEqual(await arena.listed(), [record.id]);
      } finally {
        await other.close();
      }
    },
  ],
  [
    'ping resolves while the store responds',
    async (arena) => {
      await arena.one.ping();
    },
  ],
];

/** For backends whose records can be reached from outside. */
export const DAMAGE_REQUIREMENT: Requirement = [
  'read throws DamagedRecordError for a value that is no record, and no write takes it for one',
  async (arena) => {
    const record = await arena.stored();
    await arena.subject.damage?.({ backend: arena.one, keyPrefix: arena.keyPrefix, id: record.id });
    await rejects(arena.two.read(record.id), DamagedRecordError);
    strictEqual(await arena.one.replace({ ...record, version: 2 }, 1), 'missing');
    strictEqual(await arena.one.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 }), false);
  },
];

/** For backends into which a record can be written as a later version of the backend would. */
export const NEWER_REQUIREMENT: Requirement = [
  'every call throws NewerRecordError for a record of a newer form, which stays as it is, and listed',
  async (arena) => {
    const [newer, other] = [await arena.stored(), await arena.stored()];
    const makeNewer = ({ id }: SessionRecord) =>
      arena.subject.writeNewer?.({ backend: arena.one, keyPrefix: arena.keyPrefix, id });
    await makeNewer(newer);
    // A login under this limit would evict both.
    const limit = { max: 1, onLimit: 'evict-oldest' } as const;
    const calls: (() => Promise<unknown>)[] = [
      () => arena.two.read(newer.id),
      () => arena.one.replace({ ...newer, version: 2 }, 1),
      () => arena.two.touch(newer.id, { ...newer, expiresAt: newer.expiresAt + 1 }),
      () => arena.one.delete(newer.id),
      () => arena.two.delete(newer.id, { ifVersion: 1 }),
      () => arena.create(arena.sibling(newer), { replaces: { id: newer.id, version: 1 } }),
      () => arena.create(arena.record(), { limit }),
      () => arena.two.deleteByUser(arena.user),
      () => arena.one.deleteByUser(arena.user, { except: other.id }),
      () => arena.two.listByUser(arena.user),
      () => arena.two.read(newer.id),
    ];
    for (const call of calls) await rejects(call(), NewerRecordError);
    strictEqual((await arena.create(newer)).outcome, 'exists');
    deepStrictEqual(await arena.read(other.id), other);
    strictEqual(await arena.one.delete(other.id), 'deleted');
    await rejects(arena.two.listByUser(arena.user), NewerRecordError);

    const anonymous = await arena.stored(null);
    await makeNewer(anonymous);
    await rejects(arena.one.replace({ ...anonymous, version: 2 }, 1), NewerRecordError);
    await rejects(arena.two.delete(anonymous.id), NewerRecordError);
    const replaces = { id: anonymous.id, version: 1 };
    const successor = arena.sibling(anonymous);
    await rejects(arena.create(successor, { replaces }), NewerRecordError);
    strictEqual(await arena.read(successor.id), null);
    await rejects(arena.two.read(anonymous.id), NewerRecordError);
  },
];
