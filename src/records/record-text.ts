import type { SessionId, UserTag } from '../tokens/session-secret.js';
import { digits, digitsAt } from './fixed-width.js';
import { ID_AT, isOfNewerSchema, USER_AT } from './payload.js';
import { DamagedRecordError, NewerRecordError } from './record-errors.js';
import type { ReadRecord, SessionRecord, SessionStatus } from './session-record.js';
import { headOf, wholeText, type StoredText } from './stored-text.js';

const MARK = 'sx1 ';
export const VERSION_CHARS = 10;
export const TIME_CHARS = 14;
const VERSION_END = MARK.length + VERSION_CHARS;
export const STATUS_AT = VERSION_END + 1;
export const OWNER_AT = STATUS_AT + 2;
export const LAST_ACCESSED_AT = OWNER_AT + 2;
const LAST_ACCESSED_END = LAST_ACCESSED_AT + TIME_CHARS;
export const EXPIRES_AT_AT = LAST_ACCESSED_END + 1;
const HEAD_END = EXPIRES_AT_AT + TIME_CHARS;
/** The length of a head with its line break: before the payload come so many characters of one byte each. */
export const HEAD_CHARS = HEAD_END + 1;
const NEWER_MARK = /^sx(?:[2-9]|[1-9]\d{1,2}) /;

const STATUS_LETTERS = {
  active: 'a',
  invalidated: 'i',
  pending: 'p',
  alias: 'r',
} as const satisfies Record<SessionStatus, string>;

/**
 * A record as one string, for stores that keep strings:
 *
 *     sx1 <version: 10 digits> <status: a|i|p|r> <u: in a user's index | s: alone> <lastAccessed: 14 digits> <expiresAt: 14 digits> LF <payload>
 *
 * The head has a fixed width, so that a script in the store can compare the version and move the times without a look at the payload.
 * Times are milliseconds since the epoch.
 */
export function encodeRecord(record: SessionRecord): string {
  const { version, lastAccessed, expiresAt, payload } = record;
  const times = `${digits(lastAccessed, TIME_CHARS)} ${digits(expiresAt, TIME_CHARS)}`;
  return `${MARK}${digits(version, VERSION_CHARS)} ${statusAndOwner(record)} ${times}\n${payload}`;
}

/** The two letters in the middle of the head. */
export function statusAndOwner({ status, userTag }: Pick<SessionRecord, 'status' | 'userTag'>): string {
  return `${STATUS_LETTERS[status]} ${userTag === null ? 's' : 'u'}`;
}

/**
 * The record that is stored as `text` under `id`.
 *
 * @throws DamagedRecordError when `text` is not of this form
 * @throws NewerRecordError when a later version of this module wrote it: its mark or the schema of its payload has a higher number
 */
export function decodeRecord(id: SessionId, text: string): SessionRecord;
export function decodeRecord(id: SessionId, text: StoredText): ReadRecord;
export function decodeRecord(id: SessionId, stored: StoredText): ReadRecord {
  const text = headOf(stored, HEAD_CHARS);
  // Without a regular expression, which takes four times as long for it.
  const version = digitsAt(text, MARK.length, VERSION_END);
  const lastAccessed = digitsAt(text, LAST_ACCESSED_AT, LAST_ACCESSED_END);
  const expiresAt = digitsAt(text, EXPIRES_AT_AT, HEAD_END);
  const status = statusOf(text[STATUS_AT]);
  const owner = text[OWNER_AT];
  const isOwner = owner === 'u' || owner === 's';
  if (!isPunctuated(text) || Number.isNaN(version + lastAccessed + expiresAt) || status === null || !isOwner) {
    if (NEWER_MARK.test(text)) throw new NewerRecordError();
    throw new DamagedRecordError('it does not begin like a record');
  }
  const payload = typeof stored === 'string' ? stored.slice(HEAD_CHARS) : stored.subarray(HEAD_CHARS);
  if (isOfNewerSchema(payload)) throw new NewerRecordError();
  const userTag = owner === 'u' ? (id.slice(0, 16) as UserTag) : null;
  return { id, version, status, userTag, lastAccessed, expiresAt, payload };
}

function statusOf(letter: string | undefined): SessionStatus | null {
  switch (letter) {
    case STATUS_LETTERS.active:
      return 'active';
    case STATUS_LETTERS.invalidated:
      return 'invalidated';
    case STATUS_LETTERS.pending:
      return 'pending';
    case STATUS_LETTERS.alias:
      return 'alias';
    default:
      return null;
  }
}

/** Whether `text` has what stands around the values of a head. */
function isPunctuated(text: string): boolean {
  return (
    text.startsWith(MARK) &&
    text[VERSION_END] === ' ' &&
    text[OWNER_AT - 1] === ' ' &&
    text[LAST_ACCESSED_AT - 1] === ' ' &&
    text[LAST_ACCESSED_END] === ' ' &&
    text[HEAD_END] === '\n'
  );
}

/**
 * Whether `text` names `id` where a record of this version has its own id, without reading it. False proves nothing: another version may have
 * it elsewhere.
 */
export function namesItself(text: StoredText, id: SessionId): boolean {
  return headOf(text, HEAD_CHARS + USER_AT).startsWith(id, HEAD_CHARS + ID_AT);
}

/** The same record, to be written. */
export function withText(record: ReadRecord): SessionRecord {
  return { ...record, payload: wholeText(record.payload) };
}

/**
 * The record in a text of a store; null: it is none of ours, and counts as missing.
 *
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function tryDecodeRecord(id: SessionId, text: string): SessionRecord | null {
  try {
    return decodeRecord(id, text);
  } catch (error) {
    if (!(error instanceof DamagedRecordError)) throw error;
    return null;
  }
}
