import { Inject, Injectable } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { CsrfProtection } from '../csrf/csrf-protection.js';
import { SessionRejections } from '../events/session-rejections.js';
import { SessionOptions } from '../options/session-options.js';
import { SessionEndings } from '../sessions/session-endings.js';
import { SessionLoader } from '../sessions/session-loader.js';
import { SessionSuccessors } from '../sessions/session-successors.js';
import { SessionWriter } from '../sessions/session-writer.js';
import { SessionStore } from '../store/session-store.js';
import type { MessageSessionServices } from './message-session.js';
import { RequestLog } from './request-log.js';
import { RequestRenewal } from './request-renewal.js';
import { SessionResponseWriter } from './session-response-writer.js';
import { TokenFinder } from './token-finder.js';

/** What the sessions of requests and messages are made with. Each of their parts names what it needs of it. */
@Injectable()
export class RequestServices implements MessageSessionServices {
  readonly sharedForMs: number;

  constructor(
    readonly finder: TokenFinder,
    readonly loader: SessionLoader,
    readonly store: SessionStore,
    readonly requestRenewal: RequestRenewal,
    readonly csrf: CsrfProtection,
    readonly writer: SessionWriter,
    readonly endings: SessionEndings,
    readonly responseWriter: SessionResponseWriter,
    readonly rejections: SessionRejections,
    readonly successors: SessionSuccessors,
    readonly log: RequestLog,
    { revalidateEvery }: SessionOptions,
    @Inject(SESSION_CLOCK) readonly clock: Clock,
  ) {
    this.sharedForMs = revalidateEvery * 1000;
  }
}
