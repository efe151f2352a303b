import { Injectable } from '@nestjs/common';

import { Vary } from '../http/vary.js';
import { SessionCookieOptions } from '../options/session-cookie-options.js';
import { SessionOptions, type TokenSource } from '../options/session-options.js';
import { BearerTransport } from './bearer.transport.js';
import { CookieTransport } from './cookie.transport.js';
import { HeaderTransport } from './header.transport.js';
import type { TokenTransport } from './token-transport.interface.js';

/** The transports that the options name. */
@Injectable()
export class TokenTransports {
  readonly #bySource: ReadonlyMap<TokenSource, TokenTransport>;

  /** The sources in the order in which they are searched. */
  readonly sources: readonly TokenSource[];

  /** Where a new token is sent if neither the request nor the caller decides. */
  readonly preferred: TokenSource;

  /** The request headers that a response depends on: those that may carry a token. */
  readonly vary: Vary;

  /** The same for a response that also depends on the page which has sent the request. */
  readonly varyWithOrigin: Vary;

  /** Sends new tokens to clients that use no cookie; responses have no `Authorization` header. */
  readonly header: HeaderTransport;

  /** Reads, sets and clears cookies, also if the options do not name it as a source. */
  readonly cookie: CookieTransport;

  /** Whether browsers accept the cookie only over TLS. */
  readonly cookieIsSecure: boolean;

  /** Whether browsers accept the cookie in a response to a request from a page of another site. */
  readonly cookieWorksAcrossSites: boolean;

  constructor({
    headerName,
    tokenSourcePriority,
    useBearerToken,
    cookie = new SessionCookieOptions(),
  }: SessionOptions) {
    this.header = new HeaderTransport(headerName);
    this.cookie = new CookieTransport(cookie);
    const all: Record<TokenSource, TokenTransport> = {
      header: this.header,
      bearer: new BearerTransport(),
      cookie: this.cookie,
    };
    this.sources = tokenSourcePriority.filter((source) => source !== 'bearer' || useBearerToken);
    this.#bySource = new Map(this.sources.map((source) => [source, all[source]]));
    this.preferred = this.sources[0] ?? 'header';
    const varyOn = [...this.#bySource.values()].map(({ varyOn: name }) => name);
    this.vary = new Vary(varyOn);
    this.varyWithOrigin = new Vary([...varyOn, 'Sec-Fetch-Site', 'Origin']);
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
