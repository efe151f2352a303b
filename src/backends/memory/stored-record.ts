import type { SessionRecord, SessionStatus } from '../../records/session-record.js';
import { ownCopy } from '../../tokens/own-copy.js';
import { tagOf, type SessionId } from '../../tokens/session-secret.js';

/** A record as it is kept: changed in place, and linked into the order of creation, which spares an object for each link. */
export interface StoredRecord {
  /** The one copy of the id: key of the table too. */
  readonly id: SessionId;
  /** Fixed, as the user's tag is: an id begins with it. */
  readonly anonymous: boolean;
  version: number;
  status: SessionStatus;
  lastAccessed: number;
  expiresAt: number;
  payload: string;
  /** Its neighbours in `CreationOrder`. */
  older: StoredRecord | null;
  newer: StoredRecord | null;
  /** Where it lies in `ExpiryBuckets`. */
  bucket: number;
}

export function storedRecord(record: SessionRecord): StoredRecord {
  const { id, userTag, version, status, lastAccessed, expiresAt, payload } = record;
  return {
    id: ownCopy(id),
    anonymous: userTag === null,
    version,
    status,
    lastAccessed,
    expiresAt,
    payload: ownCopy(payload),
    older: null,
    newer: null,
    bucket: 0,
  };
}

/** A record to hand out, which later changes do not reach. */
export function sessionRecord(stored: StoredRecord): SessionRecord {
  const { id, anonymous, version, status, lastAccessed, expiresAt, payload } = stored;
  return { id, version, status, userTag: anonymous ? null : tagOf(id), lastAccessed, expiresAt, payload };
}
