import { describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';

import { PrivateSlot } from '../../src/http/private-slot.js';

describe('a side table', () => {
  it('keeps a value for an object, in place of the one before', () => {
    const table = new PrivateSlot<number>();
    const [one, other] = [{}, {}];
    expect(table.get(one)).toBeUndefined();
    table.set(one, 1);
    table.set(other, 2);
    table.set(one, 3);
    expect([table.get(one), table.get(other)]).toEqual([3, 2]);
  });

  it('leaves nothing on the object that anybody can see', () => {
    const table = new PrivateSlot<string>();
    const subject = { own: 1 };
    table.set(subject, 'hidden');
    expect(Reflect.ownKeys(subject)).toEqual(['own']);
    expect(JSON.stringify(subject) + inspect(subject, { showHidden: true })).not.toContain('hidden');
    expect(table.get({ ...subject })).toBeUndefined();
    expect(table.get(Object.create(subject) as object)).toBeUndefined();
  });

  it('knows nothing of what another table keeps for the same object', () => {
    const [one, other] = [new PrivateSlot<number>(), new PrivateSlot<number>()];
    const subject = {};
    one.set(subject, 1);
    expect(other.get(subject)).toBeUndefined();
    other.set(subject, 2);
    expect(one.get(subject)).toBe(1);
  });
});
