import { jsonTextOf } from '../records/json-value.js';

/** A top-level key in which an object differs from its earlier version. */
export interface KeyChange {
  readonly key: string;
  readonly value: unknown;
  readonly removed: boolean;
}

/** The keys in which two objects, given as JSON, differ. The values are copies, so the holder cannot change them. */
export function changedKeys(beforeText: string, afterText: string): KeyChange[] {
  const before = entriesOf(beforeText);
  const after = entriesOf(afterText);
  const changed = [...after]
    .filter(([key, value]) => !before.has(key) || !sameJson(before.get(key), value))
    .map(([key, value]): KeyChange => ({ key, value, removed: false }));
  const removed = [...before.keys()]
    .filter((key) => !after.has(key))
    .map((key): KeyChange => ({ key, value: undefined, removed: true }));
  return [...changed, ...removed];
}

/**
 * Gives `object` the content of `next`, in place, so that references to it stay valid. Changes that the holder made after `beforeText` was
 * computed are kept; nested values that are equal in `next` keep their identity.
 *
 * @returns `object`, or a new object where it cannot be changed in place (it was frozen)
 */
export function mergeInto<T extends object>(object: T, beforeText: string, next: T): T {
  const before = entriesOf(beforeText);
  const wanted = new Map<string, unknown>(Object.entries(next));
  for (const key of before.keys()) if (!Object.hasOwn(object, key)) wanted.delete(key);
  for (const [key, value] of Object.entries(object) as [string, unknown][]) {
    const isOfHolder = !before.has(key) || !sameJson(before.get(key), value);
    if (isOfHolder || (wanted.has(key) && sameJson(wanted.get(key), value))) wanted.set(key, value);
  }
  return assign(object, Object.keys(object), wanted);
}

/** Gives `object` the content of `next`, in place, and discards changes of its holder. @returns as `mergeInto()` */
export function replaceIn<T extends object>(object: T, next: T): T {
  return assign(object, Reflect.ownKeys(object), new Map<string, unknown>(Object.entries(next)));
}

function assign<T extends object>(
  object: T,
  present: readonly PropertyKey[],
  wanted: ReadonlyMap<PropertyKey, unknown>,
): T {
  let succeeded = true;
  for (const key of present) if (!wanted.has(key)) succeeded &&= Reflect.deleteProperty(object, key);
  for (const [key, value] of wanted) {
    // Not by assignment, which a key named __proto__ would turn into the prototype.
    succeeded &&= Reflect.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return succeeded ? object : (Object.fromEntries(wanted) as T);
}

function entriesOf(text: string): Map<string, unknown> {
  return new Map(Object.entries(JSON.parse(text) as object));
}

/** @param stored parsed from JSON text; `other` may be any value, because the holder may have set it */
function sameJson(stored: unknown, other: unknown): boolean {
  const text = JSON.stringify(stored);
  return jsonTextOf(other, text.length) === text;
}
