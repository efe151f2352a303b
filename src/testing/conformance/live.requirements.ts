import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { SessionId } from '../../tokens/session-secret.js';
import type { Arena } from './arena.js';
import type { Requirement } from './conformance-case.js';

/** For a notice to come. */
const NOTICE_LIMIT_MS = 2_000;
const POLL_MS = 5;

/** What the optional members do. A backend that leaves them out passes. */
export const LIVE_REQUIREMENTS: readonly Requirement[] = [
  [
    'readMany, if there is one, returns what read returns for each id, in their order',
    async (arena) => {
      const first = await arena.stored();
      const second = await arena.stored(null);
      const ended = await arena.stored();
      await arena.two.delete(ended.id);
      const ids = [second.id, arena.record().id, first.id, ended.id];
      deepStrictEqual((await arena.one.readMany?.(ids)) ?? [second, null, first, null], [second, null, first, null]);
      deepStrictEqual((await arena.one.readMany?.([])) ?? [], []);
    },
  ],
  [
    'onEnded, if there is one, notifies of what another instance ends or replaces, whatever the call',
    async (arena) => {
      const noticed = new Set<SessionId>();
      const subscription = await arena.one.onEnded?.((ids) => {
        for (const id of ids) noticed.add(id);
      });
      if (subscription === undefined) return;
      const ended = await endInEveryWay(arena);
      const endsAt = performance.now() + NOTICE_LIMIT_MS;
      while (!ended.every((id) => noticed.has(id)) && performance.now() < endsAt) await sleep(POLL_MS);
      deepStrictEqual(
        ended.filter((id) => !noticed.has(id)),
        [],
      );
      await subscription.close();
    },
  ],
  [
    'onEnded does not notify of what ends after it was closed',
    async (arena) => {
      const noticed: SessionId[] = [];
      const control: SessionId[] = [];
      const subscription = await arena.one.onEnded?.((ids) => noticed.push(...ids));
      const other = await arena.one.onEnded?.((ids) => control.push(...ids));
      if (subscription === undefined || other === undefined) return;
      await subscription.close();
      const { id } = await arena.stored();
      await arena.two.delete(id);
      const endsAt = performance.now() + NOTICE_LIMIT_MS;
      while (!control.includes(id) && performance.now() < endsAt) await sleep(POLL_MS);
      ok(control.includes(id), 'another subscription ended with it');
      deepStrictEqual(noticed, []);
      await other.close();
    },
  ],
  [
    'what onEnded gets does no harm to the calls that end sessions',
    async (arena) => {
      const subscription = await arena.one.onEnded?.(() => undefined);
      const record = await arena.stored();
      strictEqual(await arena.one.delete(record.id), 'deleted');
      const other = await arena.stored();
      deepStrictEqual(await arena.one.deleteByUser(arena.user), [other.id]);
      await subscription?.close();
      await subscription?.close();
    },
  ],
];

/** @returns the ids that ended */
async function endInEveryWay(arena: Arena): Promise<SessionId[]> {
  const { two } = arena;
  const deleted = await arena.stored();
  await two.delete(deleted.id);
  const anonymous = await arena.stored(null);
  await two.delete(anonymous.id, { ifVersion: 1 });
  const invalidated = await arena.stored();
  await two.replace({ ...invalidated, version: 2, status: 'invalidated' }, 1);
  const replaced = await arena.stored();
  await arena.create(arena.sibling(replaced), { replaces: replaced }, two);
  const user = arena.newUser();
  const evicted = await arena.stored(user);
  arena.clock.advance(1);
  const last = arena.record(user);
  await arena.create(last, { limit: { max: 1, onLimit: 'evict-oldest' } }, two);
  await two.deleteByUser(user);
  return [deleted, anonymous, invalidated, replaced, evicted, last].map(({ id }) => id);
}
