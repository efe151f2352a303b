import { SessionBackendError } from '../errors/session-errors.js';
import { encodePayload, type SessionContent, type SessionMetadata } from './payload.js';
import { DamagedRecordError, NewerRecordError, type DamageReport } from './record-errors.js';
import { decodePayload, type StoredPayload } from './stored-payload.js';
import { isInstant, isVersion, type ReadRecord, type SessionRecord, type SessionTimes } from './session-record.js';
import { wholeText } from './stored-text.js';
import type { SessionId } from '../tokens/session-secret.js';

/** A record and what its payload says. */
export interface StoredSession {
  readonly record: ReadRecord;
  readonly content: StoredPayload;
}

/** What a compare-and-set makes of a stored session; fields that are left out stay. */
export interface SessionRevision {
  readonly content: SessionContent;
  readonly status?: SessionRecord['status'];
  /** Later than the stored one, as all times of a record. */
  readonly lastAccessed?: number;
  readonly expiresAt?: number;
  /** Whether it is stored though the session becomes larger than `maxSessionBytes`. */
  readonly ignoresSizeLimit?: boolean;
}

/**
 * The instant that ends the session: the earliest of the record's expiry, the absolute end, and the idle lifetime after the last stored use. The
 * last one decides only where the idle lifetime was made shorter, because the record's own times never go back.
 */
export function expiryOf(
  { lastAccessed, expiresAt }: SessionTimes,
  { ttlMs, absoluteExpiresAt }: Pick<SessionMetadata, 'ttlMs' | 'absoluteExpiresAt'>,
): number {
  return Math.min(expiresAt, lastAccessed + ttlMs, absoluteExpiresAt ?? Infinity);
}

/**
 * A record with its payload, of which the parts are parsed when they are first read. Whatever passes here can be used and written back.
 *
 * @param report called with a part that turns out not to be ours then
 * @throws DamagedRecordError, or SessionBackendError when a later version of this module wrote it
 */
export function storedSession(record: ReadRecord, id: SessionId, report: DamageReport): StoredSession {
  if (record.id !== id) throw new DamagedRecordError('the store returned another session');
  if (!isVersion(record.version)) throw new DamagedRecordError('its version cannot be counted up');
  if (!isInstant(record.lastAccessed) || !isInstant(record.expiresAt)) {
    throw new DamagedRecordError('its times are none');
  }
  const content = contentOf(record, report);
  if (content.isAnonymous === (record.userTag === null)) return { record, content };
  throw new DamagedRecordError('its user does not fit the index');
}

function contentOf(record: ReadRecord, report: DamageReport): StoredPayload {
  try {
    return decodePayload(record, report);
  } catch (error) {
    throw error instanceof NewerRecordError ? newerRecordError(error) : error;
  }
}

/** A record that this version must neither read nor overwrite: nothing is known about the session. */
export function newerRecordError(error: NewerRecordError): SessionBackendError {
  return new SessionBackendError('BACKEND_RECORD_NEWER', error.message);
}

/** Whether to store `next` in the place of `record` would change its version alone. */
export function changesNothing(next: SessionRecord, record: ReadRecord): boolean {
  return (
    next.payload === wholeText(record.payload) &&
    next.status === record.status &&
    next.lastAccessed === record.lastAccessed &&
    next.expiresAt === record.expiresAt
  );
}

/** The record that takes the place of `record`. */
export function revisedRecord(
  record: ReadRecord,
  { content, status, lastAccessed, expiresAt }: SessionRevision,
): SessionRecord {
  return {
    ...record,
    version: record.version + 1,
    status: status ?? record.status,
    lastAccessed: lastAccessed ?? record.lastAccessed,
    expiresAt: expiresAt ?? record.expiresAt,
    payload: encodePayload(record.id, content),
  };
}
