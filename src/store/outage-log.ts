import type { LoggerService } from '@nestjs/common';

import type { SessionError } from '../errors/session-error.js';

/** Says an outage once, and its end, not once for each of its thousands of requests. A store may refuse writes and still be read. */
export class OutageLog {
  readonly #failing = { read: false, write: false };

  constructor(private readonly logger: Pick<LoggerService, 'log' | 'error'>) {}

  failed(kind: 'read' | 'write', failure: SessionError): void {
    if (this.#failing[kind]) return;
    this.#failing[kind] = true;
    this.logger.error(`The session store fails (${kind}), requests that need it get 503: ${failure.message}`);
  }

  answered(kind: 'read' | 'write'): void {
    if (!this.#failing[kind]) return;
    this.#failing[kind] = false;
    this.logger.log(`The session store works again (${kind}).`);
  }
}
