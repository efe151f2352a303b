import { expect, it } from '@jest/globals';
import fc from 'fast-check';

import { SplitMap } from '../../src/backends/memory/split-map.js';

it('is the same as a Map, whatever the keys are', () => {
  const key = fc.oneof(fc.string({ maxLength: 4, unit: 'binary' }), fc.constantFrom('', 'a', 'ab', 'abc', 'abd'));
  const step = fc.record({ key, kind: fc.constantFrom('set', 'delete'), value: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [split, plain] = [new SplitMap<string, number>(2), new Map<string, number>()];
      for (const { key: changed, kind, value } of steps) {
        for (const map of [split, plain]) {
          if (kind === 'set') map.set(changed, value);
          else map.delete(changed);
        }
      }
      for (const { key: known } of steps) expect(split.get(known)).toBe(plain.get(known));
    }),
  );
});
