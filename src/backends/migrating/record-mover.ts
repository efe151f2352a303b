import type { SessionRecord } from '../../records/session-record.js';
import { laterTimes } from '../backend-rules.js';
import type { BackendContext, SessionBackend } from '../session-backend.interface.js';

/** The version of a record that is being moved: lower than any other. */
const MOVING = 0;
/** A move is three calls, each of which takes `timeoutMs` at most; its stand-in must not leave before the last one. */
const CALLS_OF_A_MOVE = 3;

/** Whether a record stands in for one that is being moved. */
export function isStandIn({ status, version }: SessionRecord): boolean {
  return status === 'pending' && version === MOVING;
}

/**
 * Moves one record between two stores, which have no common step, in three: a `pending` stand-in at the new place, which opens nothing and
 * which a logout everywhere finds; the record deleted at the old place in the version that was read; the stand-in replaced by the record.
 * Whoever has made the stand-in is the only one to go on, or takes it away again. A crash in between leaves the old record, which can be
 * changed again when the stand-in has expired, or, after the second step, ends one session.
 */
export class RecordMover {
  constructor(
    private readonly next: SessionBackend,
    private readonly old: SessionBackend,
    private readonly context: Pick<BackendContext, 'clock' | 'timeoutMs'>,
  ) {}

  /**
   * Puts `record` at the new place in the stead of `old` at the old one.
   *
   * @returns `not-ours`: somebody else is moving it, or was faster in changing or ending it; nothing was done
   */
  async move(record: SessionRecord, old: SessionRecord): Promise<'moved' | 'ended' | 'not-ours'> {
    const { clock, timeoutMs } = this.context;
    const expiresAt = Math.min(old.expiresAt, clock.now() + CALLS_OF_A_MOVE * timeoutMs);
    const standIn: SessionRecord = { ...old, status: 'pending', version: MOVING, expiresAt };
    const created = await this.next.create(standIn, { deadline: timeoutMs });
    if (created.outcome !== 'created') return 'not-ours';

    const claimed = await this.old.delete(old.id, { ifVersion: old.version });
    if (claimed !== 'deleted') {
      await this.next.delete(old.id, { ifVersion: MOVING });
      return 'not-ours';
    }
    const moved = { ...record, ...laterTimes(old, record) };
    // No stand-in any more: the session was ended between the two steps.
    return (await this.next.replace(moved, MOVING)) === 'replaced' ? 'moved' : 'ended';
  }
}
