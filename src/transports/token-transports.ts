import { Injectable } from '@nestjs/common';

import { SessionCookieOptions } from '../options/session-cookie-options.js';
import { SessionOptions, type TokenSource } from '../options/session-options.js';
import { BearerTransport } from './bearer.transport.js';
import { CookieTransport } from './cookie.transport.js';
import { HeaderTransport } from './header.transport.js';
import type { TokenTransport } from './token-transport.interface.js';

/** The transports that the options name, in the order of look-up. */
@Injectable()
export class TokenTransports {
  readonly #bySource: ReadonlyMap<TokenSource, TokenTransport>;

  /** The sources in the order of look-up. */
  readonly sources: readonly TokenSource[];

  /** The way of a new token when nothing else decides. */
  readonly preferred: TokenSource;

  /** The request headers that decide about a response, for `Vary`. */
  readonly varyOn: readonly string[];

  /** The same as a header's value. */
  readonly vary: string;

  /** What sets, reads and clears cookies, whether the options name it as a source or not. */
  readonly cookie: CookieTransport;

  /** Whether browsers take the cookie over TLS only. */
  readonly cookieIsSecure: boolean;

  /** Whether browsers take the cookie from a server that a page of another site talks to. */
  readonly cookieWorksAcrossSites: boolean;

  constructor({
    headerName,
    tokenSourcePriority,
    useBearerToken,
    cookie = new SessionCookieOptions(),
  }: SessionOptions) {
    const header = new HeaderTransport(headerName);
    this.cookie = new CookieTransport(cookie);
    const all: Record<TokenSource, TokenTransport> = {
      header,
      bearer: new BearerTransport(header),
      cookie: this.cookie,
    };
    this.sources = tokenSourcePriority.filter((source) => source !== 'bearer' || useBearerToken);
    this.#bySource = new Map(this.sources.map((source) => [source, all[source]]));
    this.preferred = this.sources[0] ?? 'header';
    this.varyOn = [...this.#bySource.values()].map(({ varyOn }) => varyOn);
    this.vary = this.varyOn.join(', ');
    this.cookieIsSecure = cookie.secure;
    this.cookieWorksAcrossSites = cookie.sameSite === 'none' && cookie.partitioned;
  }

  /** Whether the options name `source`. */
  has(source: TokenSource): boolean {
    return this.#bySource.has(source);
  }

  of(source: TokenSource): TokenTransport {
    const transport = this.#bySource.get(source);
    if (transport === undefined) throw new Error(`tokenSourcePriority does not name '${source}'.`);
    return transport;
  }
}
