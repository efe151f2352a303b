import type { SessionId, UserTag } from '../tokens/session-secret.js';
import { SCHEMA } from './payload.js';
import { DamagedRecordError, NewerRecordError } from './record-errors.js';
import type { SessionRecord, SessionStatus } from './session-record.js';

const MARK = 'sx1';
export const VERSION_CHARS = 10;
export const TIME_CHARS = 14;
/** The head, and the number with which a payload of this module begins. */
const HEAD = /^sx1 (\d{10}) ([aip]) ([us]) (\d{14}) (\d{14})\n(?:\{"schema":(\d{1,9})[,}])?/;
/** The length of a head with its line break: before the payload come so many characters of one byte each. */
export const HEAD_CHARS = 49;
/** What `encodePayload` begins with. */
const ID_OFFSET = HEAD_CHARS + `{"schema":${SCHEMA},"id":"`.length;
const NEWER_MARK = /^sx(?:[2-9]|[1-9]\d{1,2}) /;

const STATUS_LETTERS = { active: 'a', invalidated: 'i', pending: 'p' } as const satisfies Record<SessionStatus, string>;

/**
 * A record as one string, for stores that keep strings:
 *
 *     sx1 <version: 10 digits> <status: a|i|p> <u: in a user's index | s: alone> <lastAccessed: 14 digits> <expiresAt: 14 digits> LF <payload>
 *
 * The head has a fixed width, so that a script in the store can compare the version and move the times without a look at the payload.
 * Times are milliseconds since the epoch.
 */
export function encodeRecord(record: SessionRecord): string {
  const { version, lastAccessed, expiresAt, payload } = record;
  const head = [
    MARK,
    digits(version, VERSION_CHARS),
    statusAndOwner(record),
    digits(lastAccessed, TIME_CHARS),
    digits(expiresAt, TIME_CHARS),
  ];
  return `${head.join(' ')}\n${payload}`;
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
export function decodeRecord(id: SessionId, text: string): SessionRecord {
  const [, version, letter, owner, lastAccessed, expiresAt, schema] = HEAD.exec(text) ?? [];
  if (letter === undefined) {
    if (NEWER_MARK.test(text)) throw new NewerRecordError();
    throw new DamagedRecordError('it does not begin like a record');
  }
  if (schema !== undefined && Number(schema) > SCHEMA) throw new NewerRecordError();
  return {
    id,
    version: Number(version),
    status: letter === 'a' ? 'active' : letter === 'i' ? 'invalidated' : 'pending',
    userTag: owner === 'u' ? (id.slice(0, 16) as UserTag) : null,
    lastAccessed: Number(lastAccessed),
    expiresAt: Number(expiresAt),
    payload: text.slice(HEAD_CHARS),
  };
}

/**
 * Whether `text` names `id` where a record of this version has its own id, without reading it. False proves nothing: another version may have
 * it elsewhere.
 */
export function namesItself(text: string, id: SessionId): boolean {
  return text.startsWith(id, ID_OFFSET);
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

/** A number as so many digits; the forms that the head is made of. A clock may count parts of a millisecond: they are left out. */
export function digits(value: number, count: number): string {
  return String(Math.floor(value)).padStart(count, '0');
}
