import { describe, expect, it } from '@jest/globals';
import type { SessionId, SessionRecord, UserTag } from 'nestjs-sessionx';

import { RecordTable } from '../../src/backends/memory/record-table.js';

const MINUTE = 60_000;
const NOW = 1_800_000_000_000;

/** @param name a letter: what distinguishes it from others under its tag */
function record(tag: string, name: string, expiresAt = NOW + MINUTE): SessionRecord {
  const userTag = tag.padEnd(16, '-') as UserTag;
  const id = (userTag + name.repeat(43)) as SessionId;
  return { id, version: 1, status: 'active', userTag, lastAccessed: NOW, expiresAt, payload: name };
}

describe('the table of the memory backend', () => {
  function tableOf(...records: SessionRecord[]) {
    const table = new RecordTable();
    for (const each of records) table.add(each);
    const stored = (each: SessionRecord) => table.get(each.id)!;
    const named = () => [...new Set(records.map(({ userTag }) => userTag!))].flatMap((tag) => table.listed(tag));
    return { table, stored, payloads: () => named().map(({ payload }) => payload) };
  }

  it('finds records by their ids, and by their tags, whether there is one or many', () => {
    const records = [record('ann', 'a'), record('bob', 'b'), record('ann', 'c'), record('ann', 'd')];
    const { table, stored, payloads } = tableOf(...records);
    expect(records.map((each) => stored(each).handOut())).toEqual(records);
    expect([payloads(), table.size]).toEqual([['a', 'c', 'd', 'b'], 4]);
    expect(table.get(record('bob', 'x').id)).toBeUndefined();
    expect(table.get(record('ann', 'x').id)).toBeUndefined();
    expect(table.get(record('eve', 'a').id)).toBeUndefined();
  });

  it('has each record once to remove, also when another one took its tag', () => {
    const [first, second, third] = [record('ann', 'a'), record('ann', 'b'), record('ann', 'c')];
    const { table, stored, payloads } = tableOf(first, second);
    const gone = stored(first);
    table.remove(gone);
    table.remove(gone);
    expect([payloads(), table.size]).toEqual([['b'], 1]);
    table.add(third);
    table.remove(gone);
    expect([payloads(), table.size]).toEqual([['b', 'c'], 2]);
    for (const each of [second, third]) table.remove(stored(each));
    expect([payloads(), table.size]).toEqual([[], 0]);
    table.add(first);
    table.remove(gone);
    expect([payloads(), table.size]).toEqual([['a'], 1]);
  });

  it('lists what signs a user in, however much else is under the tag', () => {
    const [session, other] = [record('ann', 'a'), record('ann', 'b')];
    const alias: SessionRecord = { ...record('ann', 'c'), status: 'alias', userTag: null };
    const { table, stored } = tableOf(session, other, alias);
    table.update(stored(other), { ...other, status: 'invalidated', version: 2 });
    expect([table.listed(session.userTag!).length, table.countListed(session.userTag!), table.size]).toEqual([1, 1, 3]);
    expect([stored(other).version, stored(alias).status]).toEqual([2, 'alias']);
    for (const left of ['c', 'b', undefined]) {
      const oldest = table.oldestExpendable();
      expect(oldest?.payload).toBe(left);
      if (oldest !== null) table.remove(oldest);
    }
    expect([table.size, table.get(other.id)]).toEqual([1, undefined]);
  });

  it('knows the oldest that may leave, also when another one was removed twice', () => {
    const records = ['a', 'b', 'c'].map((name) => ({ ...record(name, name), userTag: null }));
    const { table, stored } = tableOf(...records);
    const gone = stored(records[1]!);
    table.remove(gone);
    table.remove(gone);
    expect(table.oldestExpendable()?.payload).toBe('a');
    table.remove(stored(records[0]!));
    expect(table.oldestExpendable()?.payload).toBe('c');
  });

  it('looks at a record when its last expiry has come, and not at the one before', () => {
    const early = record('ann', 'a');
    const { table, stored } = tableOf(early, record('bob', 'b', NOW + 3 * MINUTE));
    const due = (minutes: number) => [...table.due(NOW + minutes * MINUTE)].map(({ payload }) => payload);
    expect([due(0), due(1)]).toEqual([[], ['a']]);
    table.setTimes(stored(early), { lastAccessed: NOW + 1, expiresAt: NOW + 5 * MINUTE });
    expect([due(1), due(3), due(5)]).toEqual([[], ['b'], ['b', 'a']]);
    table.update(stored(early), { ...early, expiresAt: NOW + 9 * MINUTE });
    expect([due(5), due(9)]).toEqual([['b'], ['b', 'a']]);
    table.remove(stored(early));
    expect(due(9)).toEqual(['b']);
  });
});
