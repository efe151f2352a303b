import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';

import { jsonTextOf } from '../../src/records/json-value.js';
import { ObjectPicture } from '../../src/sessions/object-picture.js';

type Container = Record<PropertyKey, unknown>;

const LIMIT = 1_000_000;

/** What a handler may put somewhere, most of which cannot be stored. */
const values: readonly unknown[] = [
  ...[0, -0, 1, NaN, Infinity, '', 'a', 'b', true, false, null, undefined, 1n, Symbol('s'), () => 1],
  ...[[], {}, [1], { a: 1 }, [[]], new Date(0), new Map(), Object.create(null), Object.create({ a: 1 }), Array(2)],
];

/** Changes of an object or array, good ones and bad ones. `key` is one that it has, or may have. */
const changes: Record<string, (container: Container, key: string, value: unknown) => void> = {
  nothing: () => undefined,
  set: (container, key, value) => {
    container[key] = value;
  },
  add: (container, _key, value) => {
    container.added = value;
  },
  'set a symbol': (container, _key, value) => {
    container[Symbol('s')] = value;
  },
  delete: (container, key) => {
    Reflect.deleteProperty(container, key);
  },
  'delete and set again': (container, key) => {
    const value = container[key];
    Reflect.deleteProperty(container, key);
    container[key] = value;
  },
  'replace by an equal one': (container, key) => {
    container[key] = structuredClone(container[key]);
  },
  hide: (container, key) => {
    Reflect.defineProperty(container, key, { enumerable: false });
  },
  'add what is hidden': (container, _key, value) => {
    Reflect.defineProperty(container, 'hidden', { value });
  },
  'add a hidden toJSON': (container) => {
    Reflect.defineProperty(container, 'toJSON', { value: () => 'other' });
  },
  'add toJSON': (container) => {
    container.toJSON = () => 'other';
  },
  'make an accessor': (container, key, value) => {
    Reflect.defineProperty(container, key, { get: () => value, enumerable: true, configurable: true });
  },
  'add __proto__': (container, _key, value) => {
    Reflect.defineProperty(container, '__proto__', { value, enumerable: true, configurable: true });
  },
  'give a prototype': (container) => {
    Object.setPrototypeOf(container, { a: 1 });
  },
  'give no prototype': (container) => {
    Object.setPrototypeOf(container, null);
  },
  freeze: (container) => {
    Object.freeze(container);
  },
  push: (container, _key, value) => {
    if (Array.isArray(container)) container.push(value);
  },
  reverse: (container) => {
    if (Array.isArray(container)) container.reverse();
  },
  shorten: (container) => {
    if (Array.isArray(container)) container.pop();
  },
  'contain itself': (container, key) => {
    container[key] = container;
  },
};

function containersIn(value: unknown, found: Container[] = []): Container[] {
  if (typeof value !== 'object' || value === null) return found;
  found.push(value as Container);
  for (const part of Object.values(value)) containersIn(part, found);
  return found;
}

const keys = fc.constantFrom('a', 'b', 'c', '0', '1', '10', 'length', 'toString', 'constructor');
const leaves = fc.oneof(fc.constantFrom(0, -0, 1, 1.5, '', 'a', 'b', true, false, null), fc.string());
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    leaves,
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(keys, tie('json'), { maxKeys: 4 }),
  ),
}));
const objects = fc.dictionary(keys, json);
const change = fc.record({
  name: fc.constantFrom(...Object.keys(changes)),
  container: fc.nat(20),
  key: fc.oneof(keys, fc.nat(4)),
  value: fc.constantFrom(...values),
});

describe('the picture of an object', () => {
  it('is the same as long as nobody changes the object', () => {
    fc.assert(
      fc.property(objects, (object) => {
        const parsed = JSON.parse(JSON.stringify(object)) as object;
        expect(new ObjectPicture(parsed).isUnchanged()).toBe(true);
      }),
    );
  });

  it('never hides a change of the JSON text, nor a value that cannot be stored', () => {
    let unchanged = 0;
    fc.assert(
      fc.property(objects, fc.array(change, { minLength: 1, maxLength: 3 }), (object, made) => {
        const text = JSON.stringify(object);
        const parsed = JSON.parse(text) as object;
        const picture = new ObjectPicture(parsed);
        const containers = containersIn(parsed);
        for (const { name, container, key, value } of made) {
          const changed = containers[container % containers.length]!;
          // Of its own keys by number, else any.
          const own = typeof key === 'number' ? (Object.keys(changed)[key] ?? 'a') : key;
          tried(() => changes[name]!(changed, own, value));
        }
        if (!picture.isUnchanged()) return;
        unchanged++;
        expect(jsonTextOf(parsed, LIMIT)).toBe(text);
      }),
      { numRuns: 20_000 },
    );
    expect(unchanged).toBeGreaterThan(100);
  });

  it.each(['', 'below'])('differs where a value has moved to another key %s', (below) => {
    const part: Container = { first: 1, second: 2 };
    const picture = new ObjectPicture(below === '' ? part : { below: part });
    delete part.first;
    delete part.second;
    Object.assign(part, { second: 1, first: 2 });
    expect(picture.isUnchanged()).toBe(false);
  });

  it.each(Object.keys(changes).filter((name) => !['nothing', 'freeze'].includes(name)))(
    'differs after a change of an object deep within, or has the same text: %s',
    (name) => {
      const text = '{"a":[{"a":{"b":[1,2]},"c":"x"}],"b":null}';
      const count = containersIn(JSON.parse(text)).length;
      for (let index = 0; index < count; index++) {
        for (const key of ['a', 'b', '0']) {
          for (const value of values) {
            const parsed = JSON.parse(text) as object;
            const picture = new ObjectPicture(parsed);
            tried(() => changes[name]!(containersIn(parsed)[index]!, key, value));
            if (picture.isUnchanged()) expect(jsonTextOf(parsed, LIMIT)).toBe(text);
          }
        }
      }
    },
  );
});

/** A change that JavaScript refuses, of what is frozen for example, is none. */
function tried(make: () => void): void {
  try {
    make();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError || error instanceof DOMException)) throw error;
  }
}
