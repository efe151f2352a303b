import { parseCookie, stringifySetCookie, type SetCookie } from 'cookie';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { SessionCookieOptions } from '../options/session-cookie-options.js';
import { NOTHING, type TokenReading, type TokenTransport } from './token-transport.interface.js';

/** Browsers keep no cookie for longer (RFC 6265bis, section 5.5). */
const LONGEST_MAX_AGE_S = 400 * 24 * 3600;

/** The token in a cookie that scripts cannot read. It is as good for a browser as the session lives, no longer. */
export class CookieTransport implements TokenTransport {
  readonly varyOn = 'Cookie';
  readonly #prefix: string;
  readonly #attributes: Omit<SetCookie, 'value' | 'maxAge' | 'expires'>;

  constructor({ name, path, domain, sameSite, secure, partitioned }: SessionCookieOptions) {
    this.#prefix = `${name}=`;
    this.#attributes = {
      name,
      path,
      sameSite,
      secure,
      partitioned,
      httpOnly: true,
      ...(domain === undefined ? {} : { domain }),
    };
  }

  /**
   * A browser that sends two cookies of our name has one from somebody who may set cookies for our host too, and does not say which
   * (RFC 6265bis, section 8.6): neither counts, unless they are the same.
   */
  read({ headers: { cookie: header } }: IncomingMessage): TokenReading {
    if (header?.includes(this.#prefix) !== true) return NOTHING;
    const values = new Set(this.#valuesOf(header));
    const [token = ''] = values;
    if (values.size > 1) return { found: 'fault', code: 'TOKEN_AMBIGUOUS' };
    return token === '' ? NOTHING : { found: 'token', token };
  }

  write(response: ServerResponse, token: string, lifetimeMs: number): void {
    // Rounded up: a session of half a second is none of zero, which would clear the cookie. What counts is the session's own end.
    const maxAge = Math.min(Math.max(Math.ceil(lifetimeMs / 1000), 0), LONGEST_MAX_AGE_S);
    this.#set(response, { ...this.#attributes, value: token, maxAge });
  }

  clear(response: ServerResponse): void {
    this.#set(response, { ...this.#attributes, value: '', maxAge: 0, expires: new Date(0) });
  }

  /** The library tells of the first cookie of a name only, so it is given those of our name one by one. */
  #valuesOf(header: string): string[] {
    return header
      .split(';')
      .filter((pair) => pair.includes(this.#prefix))
      .flatMap((pair) => parseCookie(pair, { decode: asItIs })[this.#attributes.name] ?? []);
  }

  /** A response sets a cookie of one name once (RFC 6265bis, section 4.1.1). */
  #set(response: ServerResponse, cookie: SetCookie): void {
    const others = [response.getHeader('Set-Cookie') ?? []].flat().map(String);
    const kept = others.filter((line) => !line.startsWith(this.#prefix));
    response.setHeader('Set-Cookie', [...kept, stringifySetCookie(cookie, { encode: asItIs })]);
  }
}

/** Tokens are made of characters that a cookie holds as they are. */
function asItIs(value: string): string {
  return value;
}
