import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock/clock.js';
import type { SessionError, SessionErrorCode } from '../errors/session-error.js';

const PAUSE_MS = 1000;

/**
 * Says in the log why tokens were refused, for whoever wonders about a 401. At most one line a second for each reason: a flood of forged
 * tokens must not become a flood of lines. Nothing that a client sent is in them, nor in the messages of our errors, so none can be forged.
 */
@Injectable()
export class RejectionLog {
  readonly #logger = new Logger('SessionModule');
  readonly #byReason = new Map<SessionErrorCode, { readonly saidAt: number; unsaid: number }>();

  constructor(@Inject(SESSION_CLOCK) private readonly clock: Clock) {}

  note({ code: reason, message }: SessionError): void {
    const now = this.clock.now();
    const last = this.#byReason.get(reason);
    // Also a clock that was set back must not silence it.
    if (last !== undefined && Math.abs(now - last.saidAt) < PAUSE_MS) {
      last.unsaid++;
      return;
    }
    const more =
      last !== undefined && last.unsaid > 0 ? `, and ${last.unsaid} times more since this was last said` : '';
    this.#byReason.set(reason, { saidAt: now, unsaid: 0 });
    this.#logger.debug(`A session was refused to a request: ${reason}${more}. ${message}`);
  }
}
