import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { laterTimes } from '../backend-rules.js';
import type { BackendContext, SessionBackend } from '../session-backend.interface.js';
import { placeholderFor, traceOf, type MarkContext } from './move-marks.js';

/**
 * Moves one record between two stores, which have no common step, in three steps:
 *
 * 1. A placeholder at the new place, which a logout everywhere finds. Only the process that has made it goes on, or takes it away again.
 * 2. At the old place a trace, in place of the record in the version that was read.
 * 3. The record, in place of the placeholder.
 *
 * A crash after the first step leaves the old record as it is, after the second it ends one session.
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
   * @param leftover a mark of an earlier move at the new place
   * @returns `not-ours`: another process moves it, or was faster in changing or ending it; nothing was done
   */
  async move(
    record: SessionRecord,
    old: SessionRecord,
    leftover: SessionRecord | null,
  ): Promise<'moved' | 'ended' | 'not-ours'> {
    const { clock, timeoutMs } = this.context;
    const marks: MarkContext = { now: clock.now(), timeoutMs };
    const startedAt = performance.now();
    if (leftover !== null) await this.next.delete(leftover.id, { ifVersion: leftover.version });
    const trace = traceOf(old, marks);
    const placeholder = placeholderFor({ ...record, ...laterTimes(old, record) }, marks);
    const created = await this.next.create(placeholder, { timeoutMs });
    if (created.outcome !== 'created') return 'not-ours';

    // The placeholder must outlive the next steps.
    const isInTime = performance.now() - startedAt <= timeoutMs;
    if (!isInTime || !(await this.#takeOut(old, trace))) {
      await this.next.delete(old.id, { ifVersion: placeholder.version });
      return 'not-ours';
    }
    const moved = { ...record, ...laterTimes(record, await this.#lastTimes(old, trace)) };
    // No placeholder any more: the session was ended between the two steps.
    return (await this.next.replace(moved, placeholder.version)) === 'replaced' ? 'moved' : 'ended';
  }

  /** Whether it was this move that has taken the record out of the old store. */
  async #takeOut(old: SessionRecord, trace: SessionRecord): Promise<boolean> {
    try {
      return (await this.old.replace(trace, old.version)) === 'replaced';
    } catch (error) {
      // A store that is full, as one may be from which sessions move away, refuses to write and still deletes.
      const outcome = await this.old.delete(old.id, { ifVersion: old.version });
      if (outcome === 'deleted') return true;
      const left = await this.old.read(old.id);
      if (left?.version === trace.version) return true;
      if (outcome === 'changed') return false;
      throw error;
    }
  }

  /** A touch of the old record, which does not change its version, may have come after it was read; the trace has kept its times. */
  async #lastTimes(old: SessionRecord, trace: SessionRecord): Promise<SessionTimes> {
    // What is known already is better than a session that is lost between the stores.
    const left = await this.old.read(old.id).catch(() => null);
    if (left?.version !== trace.version) return old;
    const wasRenewed = left.expiresAt > trace.expiresAt;
    return { lastAccessed: left.lastAccessed, expiresAt: wasRenewed ? left.expiresAt : old.expiresAt };
  }
}
