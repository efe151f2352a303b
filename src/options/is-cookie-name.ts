import { COOKIE_NAME, hasHostPrefix, hasSecurePrefix } from './cookie-attributes.js';
import { HasNoFaults } from './has-no-faults.js';

interface CookieAttributes {
  readonly path?: unknown;
  readonly domain?: unknown;
  readonly sameSite?: unknown;
  readonly secure?: unknown;
  readonly partitioned?: unknown;
}

/**
 * The name of a cookie that browsers accept with its attributes. A cookie that they refuse would look like a login that is lost
 * immediately. RFC 6265bis, sections 4.1.3 and 5.7; browsers compare the prefixes without regard to case.
 */
export function IsCookieName(): PropertyDecorator {
  return HasNoFaults('isCookieName', faultsOf);
}

function faultsOf(name: unknown, attributes: CookieAttributes): string[] {
  const { sameSite, secure, partitioned } = attributes;
  const faults: string[] = [];
  if (sameSite === 'none' && secure !== true) faults.push("cookie.sameSite 'none' needs cookie.secure");
  if (partitioned === true && secure !== true) faults.push('cookie.partitioned needs cookie.secure');
  if (typeof name === 'string' && COOKIE_NAME.test(name)) return [...faults, ...faultsOfPrefix(name, attributes)];
  return ['cookie.name is the name of a cookie: letters, digits and hyphens, at most 64', ...faults];
}

function faultsOfPrefix(name: string, { path, domain, secure }: CookieAttributes): string[] {
  const faults: string[] = [];
  if (hasSecurePrefix(name) && secure !== true) {
    faults.push(`a cookie named ${name} needs cookie.secure; without TLS choose a name without this prefix`);
  }
  if (!hasHostPrefix(name)) return faults;
  if (domain !== undefined) {
    faults.push(`a cookie named ${name} can have no cookie.domain; begin its name with __Secure-`);
  }
  if (path !== '/') faults.push(`a cookie named ${name} needs the cookie.path /; begin its name with __Secure-`);
  return faults;
}
