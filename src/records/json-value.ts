import { SessionDataError } from '../errors/session-errors.js';

const DEEPEST = 100;

/**
 * Refuses whatever JSON would change in silence: `undefined`, `NaN`, dates, maps, class instances, cycles, holes, `__proto__`.
 * What passes comes back from the store exactly as it went in, except `-0`, which JSON bodies hold and which becomes 0.
 *
 * @throws SessionDataError with the path of the first such value
 */
export function assertJsonValue(value: unknown, root: string): void {
  const fault = faultIn(value, 1);
  if (fault === null) return;
  const path = spell(root, fault.keys);
  throw new SessionDataError(`A session cannot store ${path}: it ${fault.why}.`, path);
}

/**
 * Whether `assertJsonValue` would pass a value that `JSON.parse` has made. The text may hold what this module never writes: more than 100
 * levels, a key `__proto__`, a number that overflows to Infinity.
 */
export function isStorable(parsed: unknown, depth = 1): boolean {
  switch (typeof parsed) {
    case 'number':
      return Number.isFinite(parsed);
    case 'object':
      if (parsed === null) return true;
      if (depth > DEEPEST) return false;
      return Array.isArray(parsed) ? isStorableArray(parsed, depth + 1) : isStorableObject(parsed, depth + 1);
    default:
      return true;
  }
}

function isStorableArray(array: readonly unknown[], depth: number): boolean {
  for (const element of array) {
    if (!isStorable(element, depth)) return false;
  }
  return true;
}

function isStorableObject(object: object, depth: number): boolean {
  for (const key in object) {
    if (key === '__proto__' || !isStorable((object as Record<string, unknown>)[key], depth)) return false;
  }
  return true;
}
/** The way to it is gathered on the way back, so that what passes, which is nearly everything, pays for no path. */
interface Fault {
  readonly keys: (string | number)[];
  readonly why: string;
}

function faultIn(value: unknown, depth: number): Fault | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null;
    case 'number':
      return Number.isFinite(value) ? null : fault(`is ${String(value)}, which JSON cannot hold`);
    case 'object':
      if (value === null) return null;
      if (depth > DEEPEST) return fault(`is nested more than ${DEEPEST} levels deep, or contains itself`);
      return Array.isArray(value) ? faultInArray(value, depth) : faultInObject(value as Record<string, unknown>, depth);
    case 'undefined':
      return fault('is undefined; delete the key, or store null');
    default:
      return fault(`is a ${typeof value}, which JSON cannot hold`);
  }
}

function faultInArray(array: readonly unknown[], depth: number): Fault | null {
  if (Object.getPrototypeOf(array) !== Array.prototype) return fault('is an instance of a class derived from Array');
  // One key an element: an array with a hole has fewer, one with named properties more.
  if (Object.keys(array).length !== array.length) return fault('is an array with holes or named properties');
  for (let index = 0; index < array.length; index++) {
    const within = faultIn(array[index], depth + 1);
    if (within !== null) return at(index, within);
  }
  return null;
}

function faultInObject(object: Record<string, unknown>, depth: number): Fault | null {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) {
    return fault(`is an instance of ${className(prototype)}; store plain objects, such as an ISO string for a date`);
  }
  const keys = Object.keys(object);
  if (Reflect.ownKeys(object).length !== keys.length) return fault('has a symbol or a hidden property as a key');
  for (const key of keys) {
    if (key === '__proto__') return fault('has a key named __proto__, which merges turn into an attack');
    const within = faultIn(object[key], depth + 1);
    if (within !== null) return at(key, within);
  }
  return null;
}

function fault(why: string): Fault {
  return { keys: [], why };
}

function at(key: string | number, within: Fault): Fault {
  within.keys.unshift(key);
  return within;
}

function spell(root: string, keys: readonly (string | number)[]): string {
  return keys.reduce<string>(
    (path, key) =>
      typeof key === 'string' && /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`,
    root,
  );
}

function className(prototype: unknown): string {
  const { constructor }: { constructor?: unknown } = prototype as object;
  return typeof constructor === 'function' ? constructor.name : 'a class without a name';
}
