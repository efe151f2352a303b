import { parseSetCookie } from 'cookie';

/** A cookie as a browser keeps it. */
export interface KeptCookie {
  readonly name: string;
  readonly value: string;
  readonly host: string;
  readonly path: string;
  /** Whether it was set without `Domain`, and goes to its own host only. */
  readonly isHostOnly: boolean;
  /** The site of the page in the address bar that it is kept for (CHIPS); null: it is not partitioned. */
  readonly partition: string | null;
}

export interface CookieJarOptions {
  /** False: a browser from before CHIPS, to which `Partitioned` is a word without a meaning. Default true. */
  readonly knowsPartitioned?: boolean;
}

/** Where a request goes, and from which page. */
export interface CookieTarget {
  readonly host: string;
  readonly path: string;
  /** The site in the address bar. Default: that of `host`. */
  readonly topLevelSite?: string;
}

/**
 * What a browser keeps of `Set-Cookie`, and what it sends back, over TLS: RFC 6265bis, section 5, prefixes of names included, and cookies
 * that are partitioned apart from those that are not. Without expiry by time.
 */
export class CookieJar {
  readonly #cookies = new Map<string, KeptCookie>();
  readonly #knowsPartitioned: boolean;

  constructor({ knowsPartitioned = true }: CookieJarOptions = {}) {
    this.#knowsPartitioned = knowsPartitioned;
  }

  get cookies(): readonly KeptCookie[] {
    return [...this.#cookies.values()];
  }

  /** Takes the lines of one response in their order. */
  receive(lines: readonly string[], target: CookieTarget): void {
    for (const line of lines) this.#receive(line, target);
  }

  /** The header of a request, for `send`: empty without a cookie. */
  headers({ host, path, topLevelSite = siteOf(host) }: CookieTarget): string[] {
    const [pathname = ''] = path.split('?');
    const pairs = this.cookies
      .filter((cookie) => (cookie.isHostOnly ? cookie.host === host : isWithin(host, cookie.host)))
      .filter((cookie) => coversPath(cookie.path, pathname))
      .filter(({ partition }) => partition === null || partition === topLevelSite)
      .sort((a, b) => b.path.length - a.path.length)
      .map(({ name, value }) => `${name}=${value}`);
    return pairs.length === 0 ? [] : ['Cookie', pairs.join('; ')];
  }

  /** A second browser with the same cookies. */
  copy(): CookieJar {
    const copy = new CookieJar({ knowsPartitioned: this.#knowsPartitioned });
    for (const [key, cookie] of this.#cookies) copy.#cookies.set(key, cookie);
    return copy;
  }

  clear(): void {
    this.#cookies.clear();
  }

  #receive(line: string, { host, path, topLevelSite = siteOf(host) }: CookieTarget): void {
    const set = parseSetCookie(line);
    const isPartitioned = set.partitioned === true && this.#knowsPartitioned;
    if (isPartitioned && set.secure !== true) return;
    if (set.sameSite === 'none' && set.secure !== true) return;
    if (set.domain !== undefined && !isWithin(host, set.domain)) return;
    if (/^__(secure|host)-/i.test(set.name) && set.secure !== true) return;
    if (/^__host-/i.test(set.name) && (set.path !== '/' || set.domain !== undefined)) return;
    const cookie: KeptCookie = {
      name: set.name,
      value: set.value ?? '',
      host: set.domain ?? host,
      path: set.path ?? path.slice(0, Math.max(1, path.lastIndexOf('/'))),
      isHostOnly: set.domain === undefined,
      partition: isPartitioned ? topLevelSite : null,
    };
    const key = JSON.stringify([cookie.name, cookie.host, cookie.isHostOnly, cookie.path, cookie.partition]);
    if (set.maxAge !== undefined && set.maxAge <= 0) this.#cookies.delete(key);
    else this.#cookies.set(key, cookie);
  }
}

/** Without a list of public suffixes: the last two labels. */
function siteOf(host: string): string {
  return host.split('.').slice(-2).join('.');
}

function isWithin(host: string, domain: string): boolean {
  return host === domain || host.endsWith(`.${domain}`);
}

function coversPath(cookiePath: string, path: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`);
}
