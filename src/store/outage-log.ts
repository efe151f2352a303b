import type { LoggerService } from '@nestjs/common';

/** The purpose of a call to the store. */
export type StoreCall = 'read' | 'list' | 'write';

/** Logs the start and the end of an outage, not each failed request. Reads and writes are tracked apart, because a store may refuse only writes. */
export class OutageLog {
  readonly #failing = { read: false, write: false };

  constructor(private readonly logger: Pick<LoggerService, 'log' | 'error'>) {}

  failed(call: StoreCall, message: string): void {
    const kind = kindOf(call);
    if (this.#failing[kind]) return;
    this.#failing[kind] = true;
    this.logger.error(`The session store fails (${kind}), requests that need it get 503: ${message}`);
  }

  responded(call: StoreCall): void {
    const kind = kindOf(call);
    if (!this.#failing[kind]) return;
    this.#failing[kind] = false;
    this.logger.log(`The session store works again (${kind}).`);
  }
}

function kindOf(call: StoreCall): 'read' | 'write' {
  return call === 'write' ? 'write' : 'read';
}
