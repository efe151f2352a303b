import type { LoggerService } from '@nestjs/common';

import type { Clock } from '../clock.js';
import type { StoreDownEvent } from '../events/session-event.js';
import type { SessionEvents } from '../events/session-events.js';
import { Outage } from '../outage.js';

/** The purpose of a call to the store. */
export type StoreCall = 'read' | 'list' | 'write';

/**
 * Logs the start and the end of an outage, and emits an event of each; not for each failed request. Reads and writes are tracked apart,
 * because a store may refuse only writes.
 */
export class OutageLog {
  readonly #outages: Readonly<Record<'read' | 'write', Outage>>;

  constructor(
    private readonly logger: Pick<LoggerService, 'log' | 'error'>,
    private readonly events: Pick<SessionEvents, 'emit'>,
    clock: Clock,
  ) {
    this.#outages = { read: new Outage(clock), write: new Outage(clock) };
  }

  failed(call: StoreCall, reason: StoreDownEvent['reason'], message: string): void {
    const kind = kindOf(call);
    if (!this.#outages[kind].failed()) return;
    this.logger.error(`The session store fails (${kind}), requests that need it get 503: ${message}`);
    this.events.emit({ type: 'store-down', calls: kind, reason });
  }

  responded(call: StoreCall): void {
    const kind = kindOf(call);
    if (!this.#outages[kind].succeeded()) return;
    this.logger.log(`The session store works again (${kind}).`);
    this.events.emit({ type: 'store-up', calls: kind });
  }
}

function kindOf(call: StoreCall): 'read' | 'write' {
  return call === 'write' ? 'write' : 'read';
}
