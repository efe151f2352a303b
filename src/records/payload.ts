import type { StoredFlashMessage } from './flash-message.js';
import type { SessionData, SessionUser } from './session-user.js';
import type { SessionId } from '../tokens/session-secret.js';
import { isStorable } from './json-value.js';
import { DamagedRecordError, NewerRecordError } from './record-errors.js';
import { isInstant, type SessionRecord } from './session-record.js';
import { isObject, isStoredUser } from './stored-user.js';

/** The latest schema that this version knows. */
export const SCHEMA = 1;
const NO_USER = 'null';
const NO_DATA = '{}';
const NO_FLASH = '[]';
/** A hundred years: what the options allow. */
const LONGEST_TTL_MS = 3_153_600_000_000;
/** What a decoder puts in the place of bytes that are not UTF-8. A text of ours holds it as an escape only. */
const REPLACEMENT = '\ufffd';

/** The facts of a session that never change after its creation. */
export interface SessionFacts {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The idle lifetime of this session, milliseconds. */
  readonly ttlMs: number;
  /** When it ends however much it is used, milliseconds since the epoch; null: never. */
  readonly absoluteExpiresAt: number | null;
  readonly ipAddress: string | null;
  readonly userAgent: string | null;
}

/** What a payload says. */
export interface SessionContent {
  readonly facts: SessionFacts;
  readonly user: SessionUser | null;
  readonly data: SessionData;
  readonly flash: readonly StoredFlashMessage[];
}

/** A content together with the texts that it was read from, against which a change is told. */
export interface DecodedPayload extends SessionContent {
  readonly userText: string;
  readonly dataText: string;
}

/**
 * Four lines of JSON, none of which can contain a line break of its own:
 *
 * 1. `{"schema":1,"id":"…","createdAt":…,"ttlMs":…,"absoluteExpiresAt":…|null,"ipAddress":…|null,"userAgent":…|null}`
 * 2. the user, or `null`
 * 3. the data, an object
 * 4. the flash messages, an array of `{"id","message","category","timestamp"}`
 *
 * Lines are compared as text to see what a request changed, so that reading never pays for telling changes.
 */
export function encodePayload(id: SessionId, { facts, user, data, flash }: SessionContent): string {
  const { createdAt, ttlMs, absoluteExpiresAt, ipAddress, userAgent } = facts;
  const head = { schema: SCHEMA, id, createdAt, ttlMs, absoluteExpiresAt, ipAddress, userAgent };
  const payload = [head, user, data, flash].map((part) => JSON.stringify(part)).join('\n');
  return payload.includes(REPLACEMENT) ? payload.replaceAll(REPLACEMENT, '\\ufffd') : payload;
}

/**
 * Reads a record's payload. What comes out of here can be used, and can be written back: the rules are those for new values.
 *
 * @throws DamagedRecordError when it is not ours, not whole, or belongs to another id
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function decodePayload({ id, payload }: Pick<SessionRecord, 'id' | 'payload'>): DecodedPayload {
  const [headText = '', userText, dataText, flashText, ...rest] = payload.split('\n');
  const head = parse(headText);
  if (!isObject(head) || !isSchema(head.schema)) throw new DamagedRecordError('it has no schema number');
  if (head.schema > SCHEMA) throw new NewerRecordError();
  if (head.id !== id) throw new DamagedRecordError('it belongs to another session');
  if (userText === undefined || dataText === undefined || flashText === undefined || rest.length > 0) {
    throw new DamagedRecordError('it does not have four lines');
  }
  if (payload.includes(REPLACEMENT)) throw new DamagedRecordError('it holds bytes that are not UTF-8');

  const user = userText === NO_USER ? null : parse(userText);
  const data = parse(dataText);
  const flash = flashText === NO_FLASH ? [] : parse(flashText);
  if (!isFacts(head)) throw new DamagedRecordError('its first line is not ours');
  if (user !== null && !isStoredUser(user)) throw new DamagedRecordError('its user is not ours');
  if (!isObject(data)) throw new DamagedRecordError('its data is not an object');
  if (dataText !== NO_DATA && !isStorable(data)) throw new DamagedRecordError('its data holds what cannot be stored');
  if (!isFlash(flash)) throw new DamagedRecordError('its flash messages are not ours');
  return { facts: head, user, data, flash, userText, dataText };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new DamagedRecordError('it is not JSON');
  }
}

function isSchema(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isFacts(head: Record<string, unknown>): head is Record<string, unknown> & SessionFacts {
  return (
    isInstant(head.createdAt) &&
    typeof head.ttlMs === 'number' &&
    head.ttlMs > 0 &&
    head.ttlMs <= LONGEST_TTL_MS &&
    (head.absoluteExpiresAt === null || isInstant(head.absoluteExpiresAt)) &&
    (head.ipAddress === null || typeof head.ipAddress === 'string') &&
    (head.userAgent === null || typeof head.userAgent === 'string')
  );
}

function isFlash(value: unknown): value is StoredFlashMessage[] {
  return (
    Array.isArray(value) &&
    value.every(
      (entry) =>
        isObject(entry) &&
        typeof entry.id === 'string' &&
        typeof entry.message === 'string' &&
        typeof entry.category === 'string' &&
        isInstant(entry.timestamp),
    ) &&
    isStorable(value)
  );
}
