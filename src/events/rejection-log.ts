import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import type { SessionError } from '../errors/session-error.js';
import { LineLimit } from '../line-limit.js';

const PAUSE_MS = 1000;

/**
 * Says in the log why tokens were refused, for whoever wonders about a 401. At most one line a second for each reason: a flood of forged
 * tokens must not become a flood of lines. Nothing that a client sent is in them, nor in the messages of our errors, so none can be forged.
 */
@Injectable()
export class RejectionLog {
  readonly #logger = new Logger('SessionModule');
  readonly #limit: LineLimit;

  constructor(@Inject(SESSION_CLOCK) clock: Clock) {
    this.#limit = new LineLimit(clock, PAUSE_MS);
  }

  note({ code: reason, message }: SessionError): void {
    this.#limit.say(reason, (more) => {
      this.#logger.debug(`A session was refused to a request: ${reason}${more}. ${message}`);
    });
  }
}
