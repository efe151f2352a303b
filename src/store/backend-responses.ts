import type { CreateResult, DeleteResult, ReplaceResult } from '../backends/session-backend.interface.js';
import { isObject } from '../is-object.js';
import type { ReadRecord, SessionRecord } from '../records/session-record.js';
import type { SessionId } from '../tokens/session-secret.js';

/**
 * Checks whether the contract allows a backend's response. A backend of a third party may be wrong, or a driver may return the reply to
 * another call. An unchecked response could, for example, report a user as logged out who is not.
 */
export type ResponseCheck<T> = (response: unknown) => response is T;

export const isReplacement: ResponseCheck<Exclude<ReplaceResult, 'late'>> = oneOf('replaced', 'changed', 'missing');

/** For a call with a time limit. */
export const isTimedReplacement: ResponseCheck<ReplaceResult> = oneOf('replaced', 'changed', 'missing', 'late');

export const isDeletion: ResponseCheck<DeleteResult> = oneOf('deleted', 'changed', 'missing', 'alias');

export const isBoolean: ResponseCheck<boolean> = (response) => typeof response === 'boolean';

export const isCount: ResponseCheck<number> = (response): response is number => Number.isSafeInteger(response);

/** Checks all fields but the content of the payload, which is checked when it is decoded. */
const isReadRecord: ResponseCheck<ReadRecord> = (response): response is ReadRecord =>
  isObject(response) &&
  typeof response.id === 'string' &&
  typeof response.version === 'number' &&
  isStatus(response.status) &&
  (response.userTag === null || typeof response.userTag === 'string') &&
  typeof response.lastAccessed === 'number' &&
  typeof response.expiresAt === 'number' &&
  (typeof response.payload === 'string' || Buffer.isBuffer(response.payload));

const isRecord: ResponseCheck<SessionRecord> = (response): response is SessionRecord =>
  isReadRecord(response) && typeof response.payload === 'string';

const isStatus: ResponseCheck<SessionRecord['status']> = oneOf('active', 'pending', 'invalidated', 'alias');

export const isRecordOrNull: ResponseCheck<ReadRecord | null> = (response): response is ReadRecord | null =>
  response === null || isReadRecord(response);

export const isRecords: ResponseCheck<SessionRecord[]> = (response): response is SessionRecord[] =>
  Array.isArray(response) && response.every(isRecord);

/** In the order of so many ids. */
export function isRecordsOrNulls(count: number): ResponseCheck<(ReadRecord | null)[]> {
  return (response): response is (ReadRecord | null)[] =>
    Array.isArray(response) && response.length === count && response.every(isRecordOrNull);
}

export const isSessionIds: ResponseCheck<SessionId[]> = (response): response is SessionId[] =>
  Array.isArray(response) && response.every((entry) => typeof entry === 'string');

export const isCreateResult: ResponseCheck<CreateResult> = (response): response is CreateResult =>
  isObject(response) &&
  (response.outcome === 'created'
    ? isSessionIds(response.evicted)
    : isFailedCreation(response.outcome) && (response.evicted === undefined || isSessionIds(response.evicted)));

const isFailedCreation: ResponseCheck<CreateResult['outcome']> = oneOf('exists', 'limit', 'changed', 'missing', 'late');

function oneOf<const T extends string>(...words: readonly T[]): ResponseCheck<T> {
  const known: readonly unknown[] = words;
  return (response): response is T => known.includes(response);
}
