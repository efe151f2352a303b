import { parseCookie, stringifySetCookie, type SetCookie } from 'cookie';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { SessionCookieOptions } from '../options/session-cookie-options.js';
import { otherFormsOf, type OtherForms } from './cookie-forms.js';
import { NOTHING, type TokenReading, type TokenTransport } from './token-transport.interface.js';

/** Browsers keep no cookie for longer (RFC 6265bis, section 5.5). */
const LONGEST_MAX_AGE_S = 400 * 24 * 3600;
const NO_NAMES: readonly string[] = [];
const SPACE = 0x20;
const SEMICOLON = 0x3b;
/** Without white space and quotes, about which parsers of cookies differ. */
const PLAIN_VALUE = /^[^\s"]+$/;
/** Tokens are made of characters that a cookie holds as they are. */
const AS_IT_IS = { decode: (value: string) => value, encode: (value: string) => value };

/** The token in a cookie that scripts cannot read. It is as good for a browser as the session lives, no longer. */
export class CookieTransport implements TokenTransport {
  readonly varyOn = 'Cookie';
  readonly #prefix: string;
  readonly #attributes: Omit<SetCookie, 'value' | 'maxAge' | 'expires'>;
  readonly #clearingLine: string;
  readonly #otherForms: OtherForms;

  constructor(options: SessionCookieOptions) {
    const { name, path, domain, sameSite, secure, partitioned } = options;
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
    this.#clearingLine = stringifySetCookie({ ...this.#attributes, value: '', maxAge: 0, expires: new Date(0) });
    this.#otherForms = otherFormsOf(options);
  }

  /**
   * A browser that sends two cookies of our name has one that was set with other attributes, or by somebody else who may set cookies for
   * our host, and does not say which (RFC 6265bis, section 8.6).
   */
  read({ headers: { cookie: header } }: IncomingMessage): TokenReading {
    if (header === undefined) return NOTHING;
    const at = header.indexOf(this.#prefix);
    if (at === -1) return NOTHING;
    const plain = this.#plainValueAt(at, header);
    if (plain !== null) return { found: 'token', token: plain };
    const values = this.#valuesOf(header);
    const [token] = values;
    if (token === undefined) return NOTHING;
    return values.length === 1 ? { found: 'token', token } : { found: 'several', tokens: [...new Set(values)] };
  }

  /** @param otherForms whether to clear the cookie as other configurations have set it, too */
  write(response: ServerResponse, token: string, lifetimeMs: number, otherForms = false): void {
    // Rounded up: a session of half a second is none of zero, which would clear the cookie. What counts is the session's own end.
    const maxAge = Math.min(Math.max(Math.ceil(lifetimeMs / 1000), 0), LONGEST_MAX_AGE_S);
    const line = stringifySetCookie({ ...this.#attributes, value: token, maxAge }, AS_IT_IS);
    this.#setOurs(response, otherForms, line);
  }

  /** Clears the cookie. @param otherForms as in `write()` */
  clear(response: ServerResponse, otherForms: boolean): void {
    this.#setOurs(response, otherForms, this.#clearingLine);
  }

  /** The former names of the cookie that a request carries. */
  formerNamesIn({ headers: { cookie: header } }: IncomingMessage): readonly string[] {
    const { byFormerName } = this.#otherForms;
    if (byFormerName.size === 0 || header === undefined) return NO_NAMES;
    const sent = new Set(header.split(';').map((pair) => pair.split('=', 1)[0]?.trim()));
    return [...byFormerName.keys()].filter((name) => sent.has(name));
  }

  /** Clears the cookies of `formerNames`, but for one that the application sets itself. */
  clearFormerNames(response: ServerResponse, formerNames: readonly string[]): void {
    const lines = linesOf(response);
    const cleared = formerNames.filter((name) => !lines.some((line) => line.startsWith(`${name}=`)));
    const added = cleared.flatMap((name) => this.#otherForms.byFormerName.get(name) ?? []);
    if (added.length > 0) response.setHeader('Set-Cookie', [...lines, ...added]);
  }

  /**
   * The value of our cookie in the spelling of browsers, in which nearly every request has it: `a=b; name=value; c=d`, the name only once.
   *
   * @param at where the name stands first
   * @returns `null` if another spelling is possible, which the library has to read
   */
  #plainValueAt(at: number, header: string): string | null {
    const isAtPair = at === 0 || (header.charCodeAt(at - 1) === SPACE && header.charCodeAt(at - 2) === SEMICOLON);
    const start = at + this.#prefix.length;
    if (!isAtPair || header.includes(this.#prefix, start)) return null;
    const semicolon = header.indexOf(';', start);
    const value = header.slice(start, semicolon === -1 ? undefined : semicolon);
    return PLAIN_VALUE.test(value) ? value : null;
  }

  /** The values of our name that are not empty. The library reads the first cookie of a name only, so it is given ours one by one. */
  #valuesOf(header: string): string[] {
    const values: string[] = [];
    for (const pair of header.split(';')) {
      if (!pair.includes(this.#prefix)) continue;
      const value = parseCookie(pair, AS_IT_IS)[this.#attributes.name];
      if (value !== undefined && value !== '') values.push(value);
    }
    return values;
  }

  /**
   * The name is ours: what the application has set under it goes. The line for the present form is the last, as a browser that does not know
   * `Partitioned` takes all of them for one cookie.
   */
  #setOurs(response: ServerResponse, otherForms: boolean, line: string): void {
    const kept = linesOf(response).filter((other) => !other.startsWith(this.#prefix));
    response.setHeader('Set-Cookie', [...kept, ...(otherForms ? this.#otherForms.ofOurName : []), line]);
  }
}

function linesOf(response: ServerResponse): string[] {
  return [response.getHeader('Set-Cookie') ?? []].flat().map(String);
}
