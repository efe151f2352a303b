import { COOKIE_DOMAIN, COOKIE_NAME, COOKIE_PATH, hasHostPrefix } from './cookie-attributes.js';
import { HasNoFaults } from './has-no-faults.js';
import { notBoolean } from './is-true-or-false.js';

/** A cookie that an earlier configuration has set. Missing fields have their present value. */
export interface FormerCookie {
  /** A name that differs from the present one is cleared, and never read. */
  readonly name?: string | undefined;
  /** Default: both the present domain and no domain. */
  readonly domain?: string | undefined;
  /** Default: the present path. */
  readonly path?: string | undefined;
  /** Default: both values. */
  readonly partitioned?: boolean | undefined;
}

/** Each one is cleared by two to four header lines, and proxies limit response headers to a few kilobytes. */
const MOST_FORMER_COOKIES = 8;
const ATTRIBUTES: ReadonlySet<string> = new Set(['name', 'domain', 'path', 'partitioned']);

/** A list of {@link FormerCookie}. An entry that no browser can hold is refused. */
export function AreFormerCookies(): PropertyDecorator {
  return HasNoFaults('areFormerCookies', faultsOf);
}

/** @param present the cookie as it is set now, whose name is that of an entry without one */
function faultsOf(value: unknown, present: { readonly name?: unknown }): string[] {
  if (!Array.isArray(value) || value.length > MOST_FORMER_COOKIES) {
    return [`cookie.former is a list of at most ${MOST_FORMER_COOKIES} cookies, such as [{ name: "sid" }]`];
  }
  return value.flatMap((entry: unknown, index) => faultsOfEntry(entry, present.name, `cookie.former[${index}]`));
}

function faultsOfEntry(entry: unknown, presentName: unknown, place: string): string[] {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    return [`${place} is an object with any of name, domain, path and partitioned`];
  }
  const faults = Object.keys(entry)
    .filter((key) => !ATTRIBUTES.has(key))
    .map((key) => `there is no option named ${JSON.stringify(`${place}.${key}`)}`);
  const { name, domain, path, partitioned } = entry as Record<string, unknown>;
  if (name !== undefined && !matches(COOKIE_NAME, name)) faults.push(`${place}.name is the name of a cookie`);
  if (domain !== undefined && !matches(COOKIE_DOMAIN, domain)) faults.push(`${place}.domain is the name of a domain`);
  if (path !== undefined && !matches(COOKIE_PATH, path))
    faults.push(`${place}.path begins with / and has no spaces, semicolons, ? and #`);
  if (partitioned !== undefined && typeof partitioned !== 'boolean') {
    faults.push(notBoolean(`${place}.partitioned`, partitioned));
  }
  const formerName = name ?? presentName;
  if (typeof formerName !== 'string' || !hasHostPrefix(formerName)) return faults;
  if (domain !== undefined || (path !== undefined && path !== '/')) {
    faults.push(`${place} cannot be in any browser: a cookie named ${formerName} has no domain and the path /`);
  }
  return faults;
}

function matches(pattern: RegExp, value: unknown): boolean {
  return typeof value === 'string' && pattern.test(value);
}
