import type { SessionRecord } from '../../records/session-record.js';
import type { SessionId } from '../../tokens/session-secret.js';
import type { BackendContext, SessionBackend } from '../session-backend.interface.js';

/** The version of a record that is being moved: lower than any other, and the same for all who move it. */
const MOVING = 0;

/**
 * Moves one record between two stores, which have no common step, in three: a `pending` stand-in at the new place, which opens nothing and
 * which a logout everywhere finds; the record deleted at the old place in the version that was read; the stand-in replaced by the record.
 * Whoever deletes is the one to go on. A crash in between leaves the old record, or, after the second step, ends one session.
 */
export class RecordMover {
  #context: BackendContext | undefined;

  constructor(
    private readonly next: SessionBackend,
    private readonly old: SessionBackend,
  ) {}

  open(context: BackendContext): void {
    this.#context = context;
  }

  /** Moves a record as it is, if it is in the old store. */
  async fetch(id: SessionId): Promise<void> {
    const record = await this.old.read(id);
    if (record !== null) await this.move(record, record);
  }

  /** Puts `record` at the new place in the stead of `old` at the old one. */
  async move(record: SessionRecord, old: SessionRecord): Promise<'replaced' | 'changed' | 'missing'> {
    if (this.#context === undefined) throw new Error('RecordMover was used before open()');
    const { clock, timeoutMs } = this.#context;
    const expiresAt = Math.min(old.expiresAt, clock.now() + 2 * timeoutMs);
    const standIn: SessionRecord = { ...old, status: 'pending', version: MOVING, expiresAt };
    const created = await this.next.create(standIn, { deadline: timeoutMs });
    // `exists`: somebody else is moving it, or has left his stand-in behind. It serves us as well.
    if (created.outcome !== 'created' && created.outcome !== 'exists') return 'changed';

    const claimed = await this.old.delete(old.id, { ifVersion: old.version });
    // Moved by another, or ended: the next read tells which.
    if (claimed !== 'deleted') return 'changed';

    const moved = {
      ...record,
      lastAccessed: Math.max(record.lastAccessed, old.lastAccessed),
      expiresAt: Math.max(record.expiresAt, old.expiresAt),
    };
    const placed = await this.next.replace(moved, MOVING);
    // No stand-in any more: the session was ended between the two steps.
    return placed === 'replaced' ? placed : 'missing';
  }
}
