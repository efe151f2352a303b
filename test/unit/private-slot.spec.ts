import { describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';

import { PrivateSlot } from '../../src/http/private-slot.js';

describe('a private slot', () => {
  it('keeps a value for an object, in place of the one before', () => {
    const slot = new PrivateSlot<number>();
    const [one, other] = [{}, {}];
    expect(slot.get(one)).toBeUndefined();
    slot.set(one, 1);
    slot.set(other, 2);
    slot.set(one, 3);
    expect([slot.get(one), slot.get(other)]).toEqual([3, 2]);
  });

  it('leaves nothing on the object that other code can see', () => {
    const slot = new PrivateSlot<string>();
    const subject = { own: 1 };
    slot.set(subject, 'hidden');
    expect(Reflect.ownKeys(subject)).toEqual(['own']);
    expect(JSON.stringify(subject) + inspect(subject, { showHidden: true })).not.toContain('hidden');
    expect(slot.get({ ...subject })).toBeUndefined();
    expect(slot.get(Object.create(subject) as object)).toBeUndefined();
  });

  it('knows nothing of what another slot keeps for the same object', () => {
    const [one, other] = [new PrivateSlot<number>(), new PrivateSlot<number>()];
    const subject = {};
    one.set(subject, 1);
    expect(other.get(subject)).toBeUndefined();
    other.set(subject, 2);
    expect(one.get(subject)).toBe(1);
  });
});
