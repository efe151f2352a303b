import type { LoggerService } from '@nestjs/common';

import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';

const LOCAL_HOST = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i;

/** Says once that a `Secure` cookie goes out over what the framework takes for plain HTTP: a login that browsers forget at once. */
export class PlainHttpNotice {
  #wasGiven = false;

  constructor(private readonly logger: Pick<LoggerService, 'warn'>) {}

  check(request: PlatformRequest): void {
    if (this.#wasGiven || request.protocol !== 'http') return;
    const { headers } = rawRequestOf(request);
    const proxied = headers['x-forwarded-proto'] !== undefined || headers.forwarded !== undefined;
    // Browsers take their own machine for safe.
    if (!proxied && LOCAL_HOST.test(headers.host ?? '')) return;
    this.#wasGiven = true;
    this.logger.warn(
      proxied
        ? "A Secure session cookie was set on a request that came through a proxy which the framework does not trust, and so takes for plain HTTP: set 'trust proxy' (Express) or trustProxy (Fastify) to your proxies."
        : 'A Secure session cookie was set over plain HTTP, where browsers drop it (but for localhost): serve TLS, or set cookie.secure to false with a cookie.name without a prefix.',
    );
  }
}
