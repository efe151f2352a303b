import { SessionDataError } from '../errors/session-errors.js';

const DEEPEST = 100;

/**
 * Refuses whatever JSON would change in silence: `undefined`, `NaN`, `-0`, dates, maps, class instances, cycles, holes, `__proto__`.
 * What passes comes back from the store exactly as it went in.
 *
 * @throws SessionDataError with the path of the first such value
 */
export function assertJsonValue(value: unknown, path: string, depth = 0): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return;
      throw refusal(path, `is ${Object.is(value, -0) ? '-0' : String(value)}, which JSON cannot hold`);
    case 'object':
      if (value === null) return;
      if (depth >= DEEPEST) throw refusal(path, `is nested more than ${DEEPEST} levels deep, or contains itself`);
      if (Array.isArray(value)) assertJsonArray(value, path, depth);
      else assertJsonObject(value, path, depth);
      return;
    case 'undefined':
      throw refusal(path, 'is undefined; delete the key, or store null');
    default:
      throw refusal(path, `is a ${typeof value}, which JSON cannot hold`);
  }
}

function assertJsonArray(array: readonly unknown[], path: string, depth: number): void {
  if (Object.getPrototypeOf(array) !== Array.prototype)
    throw refusal(path, 'is an instance of a class derived from Array');
  // One key an element: an array with a hole has fewer, one with named properties more.
  if (Object.keys(array).length !== array.length) throw refusal(path, 'is an array with holes or named properties');
  array.forEach((element, index) => {
    assertJsonValue(element, `${path}[${index}]`, depth + 1);
  });
}

function assertJsonObject(object: object, path: string, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) {
    throw refusal(
      path,
      `is an instance of ${object.constructor.name}; store plain objects, such as an ISO string for a date`,
    );
  }
  const keys = Object.keys(object);
  if (Reflect.ownKeys(object).length !== keys.length) throw refusal(path, 'has a symbol or a hidden property as a key');
  for (const key of keys) {
    if (key === '__proto__') throw refusal(path, 'has a key named __proto__, which merges turn into an attack');
    assertJsonValue((object as Record<string, unknown>)[key], memberPath(path, key), depth + 1);
  }
}

function memberPath(path: string, key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

function refusal(path: string, why: string): SessionDataError {
  return new SessionDataError(`A session cannot store ${path}: it ${why}.`, path);
}
