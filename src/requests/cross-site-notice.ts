import type { LoggerService } from '@nestjs/common';

import { isFromThirdParty } from '../http/fetch-metadata.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';

/** Warns once that a session cookie goes to a page of another site, where browsers drop it: a login that is forgotten at once. */
export class CrossSiteNotice {
  #wasGiven = false;

  constructor(private readonly logger: Pick<LoggerService, 'warn'>) {}

  check(request: PlatformRequest): void {
    if (this.#wasGiven || !isFromThirdParty(rawRequestOf(request))) return;
    this.#wasGiven = true;
    this.logger.warn(
      "A session cookie was set for a page of another site (Sec-Fetch-Site: cross-site), where browsers drop it: set cookie.sameSite to 'none' and cookie.partitioned to true, or serve page and API from one site (localhost and 127.0.0.1 are two).",
    );
  }
}
