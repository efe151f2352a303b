import { ValidateBy } from 'class-validator';

import { COOKIE_NAME, hasHostPrefix, hasSecurePrefix } from './cookie-attributes.js';

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
  return ValidateBy({
    name: 'isCookieName',
    validator: {
      validate: (name: unknown, args) => faultOf(name, args?.object ?? {}) === null,
      defaultMessage: (args) => faultOf(args?.value, args?.object ?? {}) ?? '',
    },
  });
}

function faultOf(name: unknown, attributes: CookieAttributes): string | null {
  if (typeof name !== 'string' || !COOKIE_NAME.test(name)) {
    return 'cookie.name is the name of a cookie: letters, digits and hyphens, at most 64';
  }
  const { path, domain, sameSite, secure, partitioned } = attributes;
  if (sameSite === 'none' && secure !== true) return "cookie.sameSite 'none' needs cookie.secure";
  if (partitioned === true && secure !== true) return 'cookie.partitioned needs cookie.secure';
  if (hasSecurePrefix(name) && secure !== true) {
    return `a cookie named ${name} needs cookie.secure; without TLS choose a name without this prefix`;
  }
  if (!hasHostPrefix(name)) return null;
  if (domain !== undefined) return `a cookie named ${name} can have no cookie.domain; begin its name with __Secure-`;
  if (path !== '/') return `a cookie named ${name} needs the cookie.path /; begin its name with __Secure-`;
  return null;
}
