import { SessionDataError } from '../errors/session-errors.js';

const DEEPEST = 100;

/**
 * Refuses whatever JSON would change in silence: `undefined`, `NaN`, `-0`, dates, maps, class instances, cycles, holes, `__proto__`.
 * What passes comes back from the store exactly as it went in.
 *
 * @throws SessionDataError with the path of the first such value
 */
export function assertJsonValue(value: unknown, root: string): void {
  assertValue(value, [root]);
}

/** The way to a value. It is spelled out only for a refusal: every read of a session's user or data is followed by a walk. */
type Path = (string | number)[];

function assertValue(value: unknown, path: Path): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return;
      throw refusal(path, `is ${Object.is(value, -0) ? '-0' : String(value)}, which JSON cannot hold`);
    case 'object':
      if (value === null) return;
      if (path.length > DEEPEST) throw refusal(path, `is nested more than ${DEEPEST} levels deep, or contains itself`);
      if (Array.isArray(value)) assertArray(value, path);
      else assertObject(value as Record<string, unknown>, path);
      return;
    case 'undefined':
      throw refusal(path, 'is undefined; delete the key, or store null');
    default:
      throw refusal(path, `is a ${typeof value}, which JSON cannot hold`);
  }
}

function assertArray(array: readonly unknown[], path: Path): void {
  if (Object.getPrototypeOf(array) !== Array.prototype)
    throw refusal(path, 'is an instance of a class derived from Array');
  // One key an element: an array with a hole has fewer, one with named properties more.
  if (Object.keys(array).length !== array.length) throw refusal(path, 'is an array with holes or named properties');
  for (let index = 0; index < array.length; index++) assertMember(array[index], path, index);
}

function assertObject(object: Record<string, unknown>, path: Path): void {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) {
    throw refusal(
      path,
      `is an instance of ${className(prototype)}; store plain objects, such as an ISO string for a date`,
    );
  }
  const keys = Object.keys(object);
  if (Reflect.ownKeys(object).length !== keys.length) throw refusal(path, 'has a symbol or a hidden property as a key');
  for (const key of keys) {
    if (key === '__proto__') throw refusal(path, 'has a key named __proto__, which merges turn into an attack');
    assertMember(object[key], path, key);
  }
}

function assertMember(value: unknown, path: Path, key: string | number): void {
  path.push(key);
  assertValue(value, path);
  path.pop();
}

function spell([root, ...keys]: Path): string {
  return keys.reduce<string>(
    (path, key) =>
      typeof key === 'string' && /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`,
    String(root),
  );
}

function refusal(at: Path, why: string): SessionDataError {
  const path = spell(at);
  return new SessionDataError(`A session cannot store ${path}: it ${why}.`, path);
}

function className(prototype: unknown): string {
  const { constructor }: { constructor?: unknown } = prototype as object;
  return typeof constructor === 'function' ? constructor.name : 'a class without a name';
}
