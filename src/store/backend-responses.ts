import type { CreateResult, ReplaceResult } from '../backends/session-backend.interface.js';
import type { SessionRecord } from '../records/session-record.js';
import type { SessionId } from '../tokens/session-secret.js';

/**
 * Whether a backend's answer is one that its contract allows. A third party's may be wrong, a driver may hand out what was meant for
 * another call, and an answer that is taken for a success could say that somebody is logged out who is not.
 */
export type ResponseCheck<T> = (answer: unknown) => answer is T;

export const isReplacement: ResponseCheck<Exclude<ReplaceResult, 'late'>> = oneOf('replaced', 'changed', 'missing');

/** With a deadline. */
export const isTimedReplacement: ResponseCheck<ReplaceResult> = oneOf('replaced', 'changed', 'missing', 'late');

export const isDeletion: ResponseCheck<'deleted' | 'changed' | 'missing'> = oneOf('deleted', 'changed', 'missing');

export const isBoolean: ResponseCheck<boolean> = (answer) => typeof answer === 'boolean';

export const isCount: ResponseCheck<number> = (answer): answer is number => Number.isSafeInteger(answer);

/** As far as it is read before its payload, which is checked when it is decoded. */
const isRecord: ResponseCheck<SessionRecord> = (answer): answer is SessionRecord =>
  isObject(answer) &&
  typeof answer.id === 'string' &&
  typeof answer.version === 'number' &&
  isStatus(answer.status) &&
  (answer.userTag === null || typeof answer.userTag === 'string') &&
  typeof answer.lastAccessed === 'number' &&
  typeof answer.expiresAt === 'number' &&
  typeof answer.payload === 'string';

const isStatus: ResponseCheck<SessionRecord['status']> = oneOf('active', 'pending', 'invalidated');

export const isRecordOrNull: ResponseCheck<SessionRecord | null> = (answer): answer is SessionRecord | null =>
  answer === null || isRecord(answer);

export const isRecords: ResponseCheck<SessionRecord[]> = (answer): answer is SessionRecord[] =>
  Array.isArray(answer) && answer.every(isRecord);

export const isSessionIds: ResponseCheck<SessionId[]> = (answer): answer is SessionId[] =>
  Array.isArray(answer) && answer.every((entry) => typeof entry === 'string');

export const isCreateResult: ResponseCheck<CreateResult> = (answer): answer is CreateResult =>
  isObject(answer) && (answer.outcome === 'created' ? isSessionIds(answer.evicted) : isFailedCreation(answer.outcome));

const isFailedCreation: ResponseCheck<CreateResult['outcome']> = oneOf('exists', 'limit', 'changed', 'missing', 'late');

function isObject(answer: unknown): answer is Readonly<Record<string, unknown>> {
  return typeof answer === 'object' && answer !== null;
}

function oneOf<const T extends string>(...words: readonly T[]): ResponseCheck<T> {
  return (answer): answer is T => words.some((word) => word === answer);
}
