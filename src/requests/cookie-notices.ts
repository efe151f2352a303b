import type { LoggerService } from '@nestjs/common';

import { isFromThirdParty } from '../http/fetch-metadata.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';

const LOCAL_HOST = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i;

/** Warns once of each reason for which browsers drop a session cookie that goes out: a login that is forgotten at once. */
export class CookieNotices {
  #hasWarnedOfPlainHttp = false;
  #hasWarnedOfOtherSite = false;

  constructor(private readonly logger: Pick<LoggerService, 'warn'>) {}

  /** For a `Secure` cookie: whether it goes out over what the framework takes for plain HTTP. */
  checkTls(request: PlatformRequest): void {
    if (this.#hasWarnedOfPlainHttp || request.protocol !== 'http') return;
    const { headers } = rawRequestOf(request);
    const proxied = headers['x-forwarded-proto'] !== undefined || headers.forwarded !== undefined;
    // Browsers take their own machine for safe.
    if (!proxied && LOCAL_HOST.test(headers.host ?? '')) return;
    this.#hasWarnedOfPlainHttp = true;
    this.logger.warn(
      proxied
        ? "A Secure session cookie was set on a request that came through a proxy which the framework does not trust, and so takes for plain HTTP: set 'trust proxy' (Express) or trustProxy (Fastify) to your proxies."
        : 'A Secure session cookie was set over plain HTTP, where browsers drop it (but for localhost): serve TLS, or set cookie.secure to false with a cookie.name without a prefix.',
    );
  }

  /** For a cookie that does not work across sites: whether it goes to a page of another site. */
  checkSite(request: PlatformRequest): void {
    if (this.#hasWarnedOfOtherSite || !isFromThirdParty(rawRequestOf(request))) return;
    this.#hasWarnedOfOtherSite = true;
    this.logger.warn(
      "A session cookie was set for a page of another site (Sec-Fetch-Site: cross-site), where browsers drop it: set cookie.sameSite to 'none' and cookie.partitioned to true, or serve page and API from one site (localhost and 127.0.0.1 are two).",
    );
  }
}
