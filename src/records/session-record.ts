import type { SessionId, UserTag } from '../tokens/session-secret.js';

/**
 * - `active`: usable until it expires.
 * - `pending`: a login is under way; it is in the user's index already, so that logging out everywhere reaches it, and opens nothing.
 * - `invalidated`: ended, and kept until it expires to say so. Not in the index.
 */
export type SessionStatus = 'active' | 'pending' | 'invalidated';

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
  /** Everything else; see {@link encodePayload}. */
  readonly payload: string;
}

/** The times that a touch may move, each forward only. */
export type SessionTimes = Pick<SessionRecord, 'lastAccessed' | 'expiresAt'>;
