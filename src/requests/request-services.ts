import { Inject, Injectable, Logger } from '@nestjs/common';

import { SessionBinding } from '../sessions/session-binding.js';
import { SESSION_CLOCK, type Clock } from '../clock.js';
import { CsrfProtection } from '../csrf/csrf-protection.js';
import { SessionEvents } from '../events/session-events.js';
import { SessionIssuer } from '../sessions/session-issuer.js';
import { SessionLoader } from '../sessions/session-loader.js';
import { SessionLogin } from '../sessions/session-login.js';
import { SessionRenewal } from '../sessions/session-renewal.js';
import { SessionWriter } from '../sessions/session-writer.js';
import { SessionStore } from '../store/session-store.js';
import { BoundedSerializer } from '../tokens/bounded-serializer.js';
import { TokenVerifier } from '../tokens/token-verifier.js';
import { TokenTransports } from '../transports/token-transports.js';
import { CrossSiteNotice } from './cross-site-notice.js';
import { AddressNotice } from './address-notice.js';
import { PlainHttpNotice } from './plain-http-notice.js';
import { RequestLog } from './request-log.js';

/** What every {@link RequestSession} works with, gathered once. */
@Injectable()
export class RequestServices {
  readonly logger = new Logger('SessionModule');
  readonly plainHttp = new PlainHttpNotice(this.logger);
  readonly crossSite = new CrossSiteNotice(this.logger);
  readonly addresses: AddressNotice;
  readonly log: RequestLog;
  readonly verifier: TokenVerifier;

  constructor(
    serializer: BoundedSerializer,
    @Inject(SESSION_CLOCK) readonly clock: Clock,
    readonly csrf: CsrfProtection,
    readonly transports: TokenTransports,
    readonly store: SessionStore,
    readonly loader: SessionLoader,
    readonly issuer: SessionIssuer,
    readonly logins: SessionLogin,
    readonly renewal: SessionRenewal,
    readonly writer: SessionWriter,
    readonly events: SessionEvents,
    binding: SessionBinding,
  ) {
    this.addresses = new AddressNotice(this.logger, binding.bindsAddress);
    this.log = new RequestLog(this.logger, clock);
    this.verifier = new TokenVerifier(serializer);
  }
}
