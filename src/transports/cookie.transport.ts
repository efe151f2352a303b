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
/** Tokens have only characters that need no encoding in a cookie. */
const AS_IT_IS = { decode: (value: string) => value, encode: (value: string) => value };

/** The token in a cookie that scripts cannot read. The browser removes it when it is closed, or when the session ends. */
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
   * If a browser sends two cookies of our name, one was set with other attributes, or by another host that may set cookies for ours. The
   * request does not say which (RFC 6265bis, section 8.6).
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

  /**
   * @param lifetimeMs how long the browser keeps it; `null`: until it is closed
   * @param otherForms whether to also clear the cookies that other configurations may have set
   */
  write(response: ServerResponse, token: string, lifetimeMs: number | null, otherForms: boolean): void {
    const end = lifetimeMs === null ? {} : { maxAge: maxAgeOf(lifetimeMs) };
    const line = stringifySetCookie({ ...this.#attributes, value: token, ...end }, AS_IT_IS);
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

  /** Clears the cookies of `formerNames`, except one that the application itself sets. */
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

  /** The values of our name that are not empty. The library reads only the first cookie of a name, so it gets them one by one. */
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
   * The name is ours, so a cookie that the application has set under it is removed. The line for the present form comes last, because for a
   * browser that does not know `Partitioned` all lines are about one cookie.
   */
  #setOurs(response: ServerResponse, otherForms: boolean, line: string): void {
    const kept = linesOf(response).filter((other) => !other.startsWith(this.#prefix));
    response.setHeader('Set-Cookie', [...kept, ...(otherForms ? this.#otherForms.ofOurName : []), line]);
  }
}

/** Rounded up, because zero would clear the cookie. The end of the session itself decides. */
function maxAgeOf(lifetimeMs: number): number {
  return Math.min(Math.max(Math.ceil(lifetimeMs / 1000), 0), LONGEST_MAX_AGE_S);
}

function linesOf(response: ServerResponse): string[] {
  return [response.getHeader('Set-Cookie') ?? []].flat().map(String);
}
