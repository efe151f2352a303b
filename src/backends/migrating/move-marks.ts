import { randomInt } from 'node:crypto';

import type { SessionRecord } from '../../records/session-record.js';

/** Versions of marks: far above those of sessions, which count writes, and within the 32 bits that a table may have for them. */
const FIRST_MARK_VERSION = 1_000_000_000;
const LAST_MARK_VERSION = 2_000_000_000;
/** Much longer than any call may take, so that no call meets two moves of one session; and clocks may differ. */
const STAY_MS = 10 * 60_000;
/** A move is four calls, each of which takes `timeoutMs` at most; its placeholder must not leave before the last one. */
const CALLS_OF_A_MOVE = 4;

/** What a mark is made with. */
export interface MarkContext {
  readonly now: number;
  /** The longest that a call of a store may take. */
  readonly timeoutMs: number;
}

/** Whether a record holds the place of one that is being moved there. It opens nothing, and the user's index lists it. */
export function isPlaceholder({ status, version }: SessionRecord): boolean {
  return status === 'pending' && version >= FIRST_MARK_VERSION;
}

/** Whether a record marks where a session has been before it was moved. It opens nothing, and no index lists it. */
export function isTrace({ status, version }: Pick<SessionRecord, 'status' | 'version'>): boolean {
  return status === 'invalidated' && version >= FIRST_MARK_VERSION;
}

/** With the payload that is to come, so that a store which has no room for it says so before anything is taken from the other. */
export function placeholderFor(record: SessionRecord, { now, timeoutMs }: MarkContext): SessionRecord {
  const expiresAt = Math.min(record.expiresAt, now + CALLS_OF_A_MOVE * timeoutMs);
  return { ...record, status: 'pending', version: newMarkVersion(), expiresAt };
}

export function traceOf(record: SessionRecord, { now, timeoutMs }: MarkContext): SessionRecord {
  // As it is left in place of the record, it lasts at least as long; see `SessionBackend.replace`.
  const expiresAt = Math.max(record.expiresAt, now + 2 * CALLS_OF_A_MOVE * timeoutMs);
  return { ...record, status: 'invalidated', version: newMarkVersion(), expiresAt, payload: String(now) };
}

/** Whether a session that left this trace must not move back yet. */
export function isFresh(trace: SessionRecord, now: number): boolean {
  return now - Number(trace.payload) < STAY_MS;
}

/** Each is used once, so that a compare-and-set on a mark never meets that of another move. */
function newMarkVersion(): number {
  return randomInt(FIRST_MARK_VERSION, LAST_MARK_VERSION);
}
