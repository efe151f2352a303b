import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import type { SessionError } from '../errors/session-error.js';
import type { ClientIdentity } from '../http/client-identity.js';
import { normaliseIp } from '../http/ip-address.js';
import { LineLimit } from '../line-limit.js';
import { SessionEvents } from './session-events.js';

const PAUSE_MS = 1000;

/**
 * Reports why a request has no session: to the listeners of `SessionEvents`, and to the log, for a developer who looks for the cause of a 401. The
 * exact reason is never sent to the client.
 *
 * At most one log line a second for each reason, so that a flood of forged tokens does not flood the log. A line contains nothing that a client
 * has sent.
 */
@Injectable()
export class SessionRejections {
  readonly #logger = new Logger('SessionModule');
  readonly #limit: LineLimit;

  constructor(
    private readonly events: SessionEvents,
    @Inject(SESSION_CLOCK) clock: Clock,
  ) {
    this.#limit = new LineLimit(clock, PAUSE_MS);
  }

  /** @param sessionId `null` if the token is invalid or missing */
  report(error: SessionError, { ipAddress }: ClientIdentity, sessionId: string | null): void {
    this.#limit.say(error.code, (more) => {
      this.#logger.debug(`A session was refused to a request: ${error.code}${more}. ${error.message}`);
    });
    const address = ipAddress ? normaliseIp(ipAddress) : null;
    this.events.emit({ type: 'rejected', reason: error.code, sessionId, ipAddress: address });
  }
}
