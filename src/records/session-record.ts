import type { SessionId, UserTag } from '../tokens/session-secret.js';
import type { StoredText } from './stored-text.js';

/**
 * - `active`: usable until it expires.
 * - `pending`: a login is under way; it is in the user's index already, so that logging out everywhere reaches it, and opens nothing.
 * - `invalidated`: ended, and kept until it expires to say so. Not in the index.
 * - `alias`: what a new id with a grace leaves under the old one. It leads to the session, has no user tag, and is in no index.
 */
export type SessionStatus = 'active' | 'pending' | 'invalidated' | 'alias';

/** A session as a backend stores it: what the backend has to look at, and a payload that it need not understand. */
export interface SessionRecord {
  readonly id: SessionId;
  /** Changes at each write of the record's data: 1, then one more each time. Touches leave it. */
  readonly version: number;
  readonly status: SessionStatus;
  /** The tag of the user whose index lists the session; null for an anonymous session, which no index lists. */
  readonly userTag: UserTag | null;
  /** Milliseconds since the epoch. */
  readonly lastAccessed: number;
  /** Milliseconds since the epoch. At this instant the session is over; a backend may drop the record from then on. */
  readonly expiresAt: number;
  /** Everything else; see `encodePayload`. */
  readonly payload: string;
}

/** A session as a backend reads it. The payload may be in UTF-8 still, as it came: a request pays for a text only of what it looks at. */
export interface ReadRecord extends Omit<SessionRecord, 'payload'> {
  readonly payload: StoredText;
}

/** The times that a touch may move, each forward only. */
export type SessionTimes = Pick<SessionRecord, 'lastAccessed' | 'expiresAt'>;

/** The last instant that a record's head can hold: 14 digits of milliseconds, in the year 5138. */
export const LAST_INSTANT = 99_999_999_999_999;
/** The last version that a write can still count up, in 10 digits. */
const LAST_VERSION = 9_999_999_998;

/** Whether a value is a time since the epoch, in milliseconds, that a record can hold. */
export function isInstant(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LAST_INSTANT;
}

/** Whether a value is a version from which a record can be written anew. */
export function isVersion(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= LAST_VERSION;
}
