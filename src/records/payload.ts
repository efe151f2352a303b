import type { SessionId } from '../tokens/session-secret.js';
import { checksumFrom } from './checksum.js';
import { filledNumber } from './fixed-width.js';
import type { StoredFlashMessage } from './flash-message.js';
import type { StoredOneTimeValue } from './one-time-value.js';
import type { SessionData } from './session-user.js';
import { headOf, type StoredText } from './stored-text.js';

/** The latest schema that this version knows. */
export const SCHEMA = 1;
/** What every payload begins with, also those of later versions. */
const SCHEMA_NUMBER = /^\{"schema":(\d{1,9})[,}]/;

/** What the first line of a payload is made of. Each number takes a fixed number of characters, filled up with spaces from the left. */
export const BEFORE_ID = `{"schema":${SCHEMA},"id":"`;
export const BEFORE_CHECKSUM = '","crc32":';
const BEFORE_CREATED_AT = ',"createdAt":';
const BEFORE_TTL = ',"ttlMs":';
const BEFORE_ABSOLUTE_END = ',"absoluteExpiresAt":';
const END_OF_LINE = '}\n';
const ID_CHARS = 59;
export const CHECKSUM_CHARS = 10;
export const NUMBER_CHARS = 14;
export const NEVER = 'null'.padStart(NUMBER_CHARS);
/** The second line of an anonymous session. */
export const NO_USER = 'null';

/** Where the parts of a payload stand. */
export const ID_AT = BEFORE_ID.length;
export const BEFORE_CHECKSUM_AT = ID_AT + ID_CHARS;
export const CHECKSUM_AT = BEFORE_CHECKSUM_AT + BEFORE_CHECKSUM.length;
/** The checksum covers everything from here. What comes before it is compared. */
export const COVERED_AT = CHECKSUM_AT + CHECKSUM_CHARS;
export const CREATED_AT_AT = COVERED_AT + BEFORE_CREATED_AT.length;
export const TTL_AT = CREATED_AT_AT + NUMBER_CHARS + BEFORE_TTL.length;
export const ABSOLUTE_END_AT = TTL_AT + NUMBER_CHARS + BEFORE_ABSOLUTE_END.length;
export const USER_AT = ABSOLUTE_END_AT + NUMBER_CHARS + END_OF_LINE.length;

/** An id that a session had before. */
export interface FormerId {
  readonly id: string;
  /** Until when CSRF tokens of it fit, milliseconds since the epoch. */
  readonly until: number;
}

/** The metadata of a session. A new id keeps them; a login makes new ones. */
export interface SessionMetadata {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The idle lifetime of this session, milliseconds. */
  readonly ttlMs: number;
  /** When it ends however much it is used, milliseconds since the epoch; null: never. */
  readonly absoluteExpiresAt: number | null;
  /** The client for which the session was created. */
  readonly ipAddress: string | null;
  readonly userAgent: string | null;
  /** Whether the user asked at the login to be remembered. */
  readonly isRemembered: boolean;
  /** When the user last proved their identity, milliseconds since the epoch; null for an anonymous session. */
  readonly authenticatedAt: number | null;
  /** How they proved it, as the application named it at the login. */
  readonly authMethods: readonly string[];
  /** When it got its id, milliseconds since the epoch. */
  readonly idIssuedAt: number;
  /** The ids before of which CSRF tokens fit, and perhaps some of which they do not any more. */
  readonly formerIds: readonly FormerId[];
  /** The first id of a session that has got another one; null: it has its first id. */
  readonly lineage: string | null;
  /** The id before its latest new id without a grace: no alias that is older leads to it. Null: there was none since its lineage began. */
  readonly deadId: string | null;
}

/** `metadata` with some other values. A spread of those of a stored session would miss its getters. */
export function withMetadata(metadata: SessionMetadata, changed: Partial<SessionMetadata>): SessionMetadata {
  const { createdAt, ttlMs, absoluteExpiresAt, ipAddress, userAgent } = metadata;
  const { isRemembered, authenticatedAt, authMethods, idIssuedAt, formerIds, lineage, deadId } = metadata;
  return {
    createdAt,
    ttlMs,
    absoluteExpiresAt,
    ipAddress,
    userAgent,
    isRemembered,
    authenticatedAt,
    authMethods,
    idIssuedAt,
    formerIds,
    lineage,
    deadId,
    ...changed,
  };
}

/** The metadata in the third line of a payload, which a request does not need to be let in. */
export type LoginMetadata = Pick<
  SessionMetadata,
  | 'ipAddress'
  | 'userAgent'
  | 'isRemembered'
  | 'authenticatedAt'
  | 'authMethods'
  | 'idIssuedAt'
  | 'formerIds'
  | 'lineage'
  | 'deadId'
>;

/** What a payload says. */
export interface SessionContent {
  readonly metadata: SessionMetadata;
  /** The user in JSON, or {@link NO_USER}: as a text, so that no code can change it between its check and its storage. */
  readonly userText: string;
  readonly data: SessionData;
  readonly flash: readonly StoredFlashMessage[];
  readonly oneTime: readonly StoredOneTimeValue[];
}

/**
 * Six lines of JSON, each written without a line break of its own:
 *
 * 1. `{"schema":1,"id":"…","crc32":…,"createdAt":…,"ttlMs":…,"absoluteExpiresAt":…}`, numbers filled up with spaces from the left: `crc32` to
 *    10 characters, the others, or `null` for a session without absolute end, to 14
 * 2. the user, or `null`
 * 3. the client and the login: `{"ipAddress":…|null,"userAgent":…|null}`, with `"remembered":true`, `"authenticatedAt":…`,
 *    `"authMethods":[…]`, `"idIssuedAt":…` and `"formerIds":[{"id","until"}]` where they differ from `false`, from `createdAt` and from `[]`, and
 *    `"lineage"` and `"deadId"` where the session has got another id, and one without a grace
 * 4. the flash messages, an array of `{"id","message","category","timestamp"}`
 * 5. the one-time values, an array of `{"name","value","expiresAt"}`
 * 6. the data, an object
 *
 * `crc32` is the CRC-32 of all that follows it, in UTF-8. As the first line has a fixed width, a session is loaded without parsing JSON, and
 * each part is parsed when it is first read; the data stands last, so that nothing searches it for its end.
 */
export function encodePayload(id: SessionId, { metadata, userText, data, flash, oneTime }: SessionContent): string {
  const { createdAt, ttlMs, absoluteExpiresAt } = metadata;
  const times =
    BEFORE_CREATED_AT +
    filledNumber(createdAt, NUMBER_CHARS) +
    BEFORE_TTL +
    filledNumber(ttlMs, NUMBER_CHARS) +
    BEFORE_ABSOLUTE_END +
    (absoluteExpiresAt === null ? NEVER : filledNumber(absoluteExpiresAt, NUMBER_CHARS));
  const lines = `${userText}\n${loginLine(metadata)}\n${listText(flash)}\n${listText(oneTime)}\n${JSON.stringify(data)}`;
  const covered = times + END_OF_LINE + lines;
  return BEFORE_ID + id + BEFORE_CHECKSUM + filledNumber(checksumFrom(covered, 0), CHECKSUM_CHARS) + covered;
}

/** Nearly every session has none. */
function listText(list: readonly unknown[]): string {
  return list.length === 0 ? '[]' : JSON.stringify(list);
}

/** The third line, without what is the default. As a text: of an object, which each write would make, JSON takes twice as long. */
function loginLine(metadata: SessionMetadata): string {
  const { createdAt, ipAddress, userAgent, isRemembered, authenticatedAt } = metadata;
  const { authMethods, idIssuedAt, formerIds, lineage, deadId } = metadata;
  let line = `{"ipAddress":${JSON.stringify(ipAddress)},"userAgent":${JSON.stringify(userAgent)}`;
  if (isRemembered) line += ',"remembered":true';
  if (authenticatedAt !== null && authenticatedAt !== createdAt) line += `,"authenticatedAt":${authenticatedAt}`;
  if (authMethods.length > 0) line += `,"authMethods":${JSON.stringify(authMethods)}`;
  if (idIssuedAt !== createdAt) line += `,"idIssuedAt":${idIssuedAt}`;
  if (formerIds.length > 0) line += `,"formerIds":${JSON.stringify(formerIds)}`;
  if (lineage !== null) line += `,"lineage":${JSON.stringify(lineage)}`;
  if (deadId !== null) line += `,"deadId":${JSON.stringify(deadId)}`;
  return `${line}}`;
}

/** Whether a later version of this module wrote `payload`. */
export function isOfNewerSchema(payload: StoredText): boolean {
  const head = headOf(payload, USER_AT);
  if (head.startsWith(BEFORE_ID)) return false;
  const [, schema] = SCHEMA_NUMBER.exec(head) ?? [];
  return Number(schema) > SCHEMA;
}
