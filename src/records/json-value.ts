import { SessionDataError, type DataFault } from '../errors/session-errors.js';
import { spellPath } from './value-path.js';

const DEEPEST = 100;
/** How far a value is looked at that is refused anyway. */
const LONGEST_WRONG_VALUE = 10_000;

/**
 * Refuses whatever JSON would change in silence: `undefined`, `NaN`, dates, maps, class instances, cycles, holes, `__proto__`.
 * What passes comes back from the store exactly as it went in, except `-0`, which JSON bodies hold and which becomes 0.
 *
 * @param mostChars the longest JSON text that may come of it; an object that is referred to twice counts twice, as in the text
 * @throws SessionDataError with the path of the first such value
 */
export function assertJsonValue(value: unknown, root: string, mostChars: number): void {
  const fault = faultIn(value, 1, { charsLeft: mostChars });
  if (fault === null) return;
  if (fault.kind === 'size') {
    throw new SessionDataError(
      `A session cannot store ${root}: it takes more than the ${mostChars} bytes of maxSessionBytes. Keep less in it, or raise the limit.`,
      root,
      'size',
    );
  }
  const path = spellPath(root, fault.keys);
  const isCycle = fault.isTooDeep && meetsItself(value, fault.keys);
  const why = isCycle ? 'contains itself' : fault.why;
  throw new SessionDataError(`A session cannot store ${path}: it ${why}.`, path, isCycle ? 'value' : fault.kind);
}

/** The JSON text of a value, to compare; null where the value cannot be stored, or where the text would be longer than `mostChars`. */
export function jsonTextOf(value: unknown, mostChars: number): string | null {
  return faultIn(value, 1, { charsLeft: mostChars }) === null ? JSON.stringify(value) : null;
}

/** The error for a value of the wrong type: the fault of the client if a JSON body can hold such a value, else the application's. */
export function wrongTypeError(value: unknown, message: string, path: string): SessionDataError {
  const fault = faultIn(value, 1, { charsLeft: LONGEST_WRONG_VALUE });
  return new SessionDataError(message, path, fault === null || fault.kind === 'size' ? 'input' : fault.kind);
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
  readonly kind: DataFault;
  readonly isTooDeep?: boolean;
}

/** What the text may still take. Counted low (no escapes, each number one character), as it only has to stop what has no end. */
interface Walk {
  charsLeft: number;
}

const TOO_LARGE: Fault = { keys: [], why: 'is too large', kind: 'size' };

function faultIn(value: unknown, depth: number, walk: Walk): Fault | null {
  if ((walk.charsLeft -= 1) < 0) return TOO_LARGE;
  switch (typeof value) {
    case 'string':
      walk.charsLeft -= value.length;
      return walk.charsLeft < 0 ? TOO_LARGE : null;
    case 'boolean':
      return null;
    case 'number':
      if (Number.isFinite(value)) return null;
      // A body can hold 1e999, which is Infinity to JSON.parse, and nothing that is NaN.
      return fault(`is ${value}, which JSON cannot hold`, Number.isNaN(value) ? 'value' : 'input');
    case 'object':
      if (value === null) return null;
      if (depth > DEEPEST) return { ...fault(`is nested more than ${DEEPEST} levels deep`, 'input'), isTooDeep: true };
      return Array.isArray(value)
        ? faultInArray(value, depth, walk)
        : faultInObject(value as Record<string, unknown>, depth, walk);
    case 'undefined':
      return fault('is undefined; delete the key, or store null');
    default:
      return fault(`is a ${typeof value}, which JSON cannot hold`);
  }
}

function faultInArray(array: readonly unknown[], depth: number, walk: Walk): Fault | null {
  const prototype: unknown = Object.getPrototypeOf(array);
  if (prototype !== Array.prototype) return foreignPrototype(prototype, 'is an instance of a class derived from Array');
  // Before the keys are listed: a hole takes no key, and a million of them no memory.
  if (array.length > walk.charsLeft) return TOO_LARGE;
  // One key an element: an array with a hole has fewer, one with named properties more.
  if (Object.keys(array).length !== array.length) return fault('is an array with holes or named properties');
  for (let index = 0; index < array.length; index++) {
    const within = faultIn(array[index], depth + 1, walk);
    if (within !== null) return at(index, within);
  }
  return null;
}

function faultInObject(object: Record<string, unknown>, depth: number, walk: Walk): Fault | null {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) {
    return foreignPrototype(prototype, `is an instance of ${className(prototype)}; ${remedyFor(object)}`);
  }
  const keys = Object.keys(object);
  if (hasHiddenKeys(object, keys.length)) return fault('has a symbol or a hidden property as a key');
  for (const key of keys) {
    if (key === '__proto__') return fault('has a key named __proto__, which merges turn into an attack', 'input');
    walk.charsLeft -= key.length;
    const within = faultIn(object[key], depth + 1, walk);
    if (within !== null) return at(key, within);
  }
  return null;
}

/** Not by `Reflect.ownKeys`, which takes three times as long. */
function hasHiddenKeys(object: object, visible: number): boolean {
  return Object.getOwnPropertyNames(object).length !== visible || Object.getOwnPropertySymbols(object).length > 0;
}

/** A body with a key `__proto__` that was merged by `Object.assign` has made a plain object the prototype. */
function foreignPrototype(prototype: unknown, why: string): Fault {
  const isPlain =
    prototype === null ||
    Array.isArray(prototype) ||
    (Object.getPrototypeOf(prototype) === Object.prototype && !Object.hasOwn(prototype as object, 'constructor'));
  return isPlain ? fault('was given a prototype, as a key named __proto__ does', 'input') : fault(why);
}

function fault(why: string, kind: DataFault = 'value'): Fault {
  return { keys: [], why, kind };
}

function at(key: string | number, within: Fault): Fault {
  if (within.kind !== 'size') within.keys.unshift(key);
  return within;
}

/** Whether an object stands twice on the way that `keys` go from `value`. */
function meetsItself(value: unknown, keys: readonly (string | number)[]): boolean {
  const met = new Set<unknown>();
  let current = value;
  for (const key of keys) {
    if (met.has(current)) return true;
    met.add(current);
    current = (current as Record<string | number, unknown>)[key];
  }
  return met.has(current);
}

function remedyFor(object: object): string {
  return object instanceof Date
    ? 'store an ISO string, such as that of date.toISOString()'
    : 'store a plain object, such as { ...dto } of a DTO';
}

function className(prototype: unknown): string {
  const { constructor }: { constructor?: unknown } = prototype as object;
  return typeof constructor === 'function' ? constructor.name : 'a class without a name';
}
