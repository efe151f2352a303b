import type { CreateResult, ReplaceResult } from '../backends/session-backend.interface.js';
import type { SessionRecord } from '../records/session-record.js';
import type { SessionId } from '../tokens/session-secret.js';

/**
 * Whether a backend's response is one that its contract allows. A third party's may be wrong, a driver may hand out what was meant for
 * another call, and a response that is taken for a success could mean that a user is logged out who is not.
 */
export type ResponseCheck<T> = (response: unknown) => response is T;

export const isReplacement: ResponseCheck<Exclude<ReplaceResult, 'late'>> = oneOf('replaced', 'changed', 'missing');

/** With a deadline. */
export const isTimedReplacement: ResponseCheck<ReplaceResult> = oneOf('replaced', 'changed', 'missing', 'late');

export const isDeletion: ResponseCheck<'deleted' | 'changed' | 'missing'> = oneOf('deleted', 'changed', 'missing');

export const isBoolean: ResponseCheck<boolean> = (response) => typeof response === 'boolean';

export const isCount: ResponseCheck<number> = (response): response is number => Number.isSafeInteger(response);

/** As far as it is read before its payload, which is checked when it is decoded. */
const isRecord: ResponseCheck<SessionRecord> = (response): response is SessionRecord =>
  isObject(response) &&
  typeof response.id === 'string' &&
  typeof response.version === 'number' &&
  isStatus(response.status) &&
  (response.userTag === null || typeof response.userTag === 'string') &&
  typeof response.lastAccessed === 'number' &&
  typeof response.expiresAt === 'number' &&
  typeof response.payload === 'string';

const isStatus: ResponseCheck<SessionRecord['status']> = oneOf('active', 'pending', 'invalidated');

export const isRecordOrNull: ResponseCheck<SessionRecord | null> = (response): response is SessionRecord | null =>
  response === null || isRecord(response);

export const isRecords: ResponseCheck<SessionRecord[]> = (response): response is SessionRecord[] =>
  Array.isArray(response) && response.every(isRecord);

export const isSessionIds: ResponseCheck<SessionId[]> = (response): response is SessionId[] =>
  Array.isArray(response) && response.every((entry) => typeof entry === 'string');

export const isCreateResult: ResponseCheck<CreateResult> = (response): response is CreateResult =>
  isObject(response) &&
  (response.outcome === 'created' ? isSessionIds(response.evicted) : isFailedCreation(response.outcome));

const isFailedCreation: ResponseCheck<CreateResult['outcome']> = oneOf('exists', 'limit', 'changed', 'missing', 'late');

function isObject(response: unknown): response is Readonly<Record<string, unknown>> {
  return typeof response === 'object' && response !== null;
}

function oneOf<const T extends string>(...words: readonly T[]): ResponseCheck<T> {
  return (response): response is T => words.some((word) => word === response);
}
