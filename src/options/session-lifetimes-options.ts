import { isPlainObject } from '../is-object.js';
import { HasNoFaults } from './has-no-faults.js';

/** A hundred years. */
export const LONGEST_LIFETIME_S = 3_153_600_000;
const SHORTEST_LIFETIME_S = 0.001;
const CLASSES: ReadonlySet<string> = new Set(['anonymous', 'remembered']);
const FIELDS: ReadonlySet<string> = new Set(['ttl', 'absoluteTimeout']);

/** How long the sessions of one class last. */
export interface LifetimeOptions {
  /** Seconds without use after which a session ends. Default: `sessionTtl`. */
  readonly ttl?: number | undefined;
  /** Seconds after which a session ends, regardless of use; `null` for no limit. Default: the option `absoluteTimeout`. */
  readonly absoluteTimeout?: number | null | undefined;
}

/** The classes of sessions whose lifetimes differ from `sessionTtl` and `absoluteTimeout`. */
export interface SessionLifetimesOptions {
  /** Sessions without a user, such as those of `start()`. */
  readonly anonymous?: LifetimeOptions | undefined;
  /** Sessions of `login(…, { remember: true })`, which is an error if this class is missing. */
  readonly remembered?: LifetimeOptions | undefined;
}

/** {@link SessionLifetimesOptions}. A `ttl` that the general `absoluteTimeout` would cut is refused. */
export function AreLifetimes(): PropertyDecorator {
  return HasNoFaults('areLifetimes', faultsOf);
}

/** @param general the options that are the defaults of every class */
function faultsOf(value: unknown, general: { readonly absoluteTimeout?: unknown }): string[] {
  if (!isPlainObject(value)) return ['lifetimes is an object, such as { remembered: { ttl: 2_592_000 } }'];
  return Object.entries(value).flatMap(([name, given]) => {
    const place = `lifetimes.${name}`;
    if (!CLASSES.has(name)) return [`there is no option named ${JSON.stringify(place)}`];
    return given === undefined ? [] : faultsOfClass(given, place, general.absoluteTimeout);
  });
}

function faultsOfClass(given: unknown, place: string, generalCap: unknown): string[] {
  if (!isPlainObject(given)) return [`${place} is an object with any of ttl and absoluteTimeout`];
  const unknown = Object.keys(given).filter((key) => !FIELDS.has(key));
  const { ttl, absoluteTimeout } = given;
  const faults = unknown.map((key) => `there is no option named ${JSON.stringify(`${place}.${key}`)}`);
  if (ttl !== undefined && !isLifetime(ttl)) faults.push(noLifetime(`${place}.ttl`, ttl));
  if (absoluteTimeout !== undefined && absoluteTimeout !== null && !isLifetime(absoluteTimeout)) {
    faults.push(noLifetime(`${place}.absoluteTimeout`, absoluteTimeout));
  }
  if (absoluteTimeout === undefined && isLifetime(ttl) && isLifetime(generalCap) && ttl > generalCap) {
    faults.push(
      `${place}.ttl is longer than absoluteTimeout, which would end the session before: set ${place}.absoluteTimeout, or null for no limit`,
    );
  }
  return faults;
}

/** Whether a value is a number of seconds that a session can last. */
function isLifetime(value: unknown): value is number {
  return typeof value === 'number' && value >= SHORTEST_LIFETIME_S && value <= LONGEST_LIFETIME_S;
}

function noLifetime(place: string, value: unknown): string {
  const hint = typeof value === 'string' ? '; it is a string, so wrap it in Number()' : '';
  return `${place} must be a number of seconds, from ${SHORTEST_LIFETIME_S} to ${LONGEST_LIFETIME_S}${hint}`;
}
