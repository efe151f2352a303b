import type { LoggerService } from '@nestjs/common';

import { forgetOldest } from '../forget-oldest.js';
import type { DamagedRecordError, DamageReport } from '../records/record-errors.js';
import { ownCopy } from '../tokens/own-copy.js';
import type { SessionId } from '../tokens/session-secret.js';

/** The number of damaged records that are remembered, about 100 KB. */
const REMEMBERED_RECORDS = 1_000;

/** Warns once for each damaged record, not at each read: its client may send the token many times. */
export class DamageLog implements DamageReport {
  /** Ordered by last read, the oldest first. */
  readonly #known = new Set<SessionId>();

  constructor(private readonly logger: Pick<LoggerService, 'warn'>) {}

  note(id: SessionId, { message }: DamagedRecordError): void {
    if (this.#known.delete(id)) {
      this.#known.add(id);
      return;
    }
    if (this.#known.size >= REMEMBERED_RECORDS) forgetOldest(this.#known);
    this.#known.add(ownCopy(id));
    this.logger.warn(`Session ${id} counts as absent: ${message} It stays in the store until it expires.`);
  }
}
