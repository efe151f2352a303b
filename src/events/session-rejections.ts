import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import type { SessionError } from '../errors/session-error.js';
import type { SessionStaleError } from '../errors/session-errors.js';
import { identityOf, type ClientIdentity } from '../http/client-identity.js';
import { LineLimit } from '../line-limit.js';
import { SessionEvents } from './session-events.js';
import type { SessionStaleEvent } from './session-event.js';

const PAUSE_MS = 1000;

/** A session whose proof of identity does not suffice. */
type StaleSession = Pick<SessionStaleEvent, 'sessionId' | 'userId' | 'authenticatedAt' | 'authMethods'>;

/**
 * Reports why a request has no session, or none that suffices: to the listeners of `SessionEvents`, and to the log, for a developer who looks for the cause of a 401. The
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
  report(error: SessionError, client: ClientIdentity, sessionId: string | null): void {
    this.#log(error);
    this.events.emit({ type: 'rejected', reason: error.code, sessionId, ipAddress: identityOf(client).ipAddress });
  }

  /** The request has a session, and its proof of identity does not suffice. */
  stale(error: SessionStaleError, client: ClientIdentity, session: StaleSession): void {
    this.#log(error);
    const { within, methods } = error.required;
    this.events.emit({ type: 'stale', reason: error.code, within, methods, ...session, ...identityOf(client) });
  }

  #log({ code, message }: SessionError): void {
    this.#limit.log(code, (more) => {
      this.#logger.debug(`A session was refused to a request: ${code}${more}. ${message}`);
    });
  }
}
