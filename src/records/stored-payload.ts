import { SessionNotFoundError } from '../errors/session-errors.js';
import { isPlainObject } from '../is-object.js';
import { LONGEST_LIFETIME_S } from '../options/session-lifetimes-options.js';
import { checksumFrom } from './checksum.js';
import { filledNumberAt } from './fixed-width.js';
import type { StoredFlashMessage } from './flash-message.js';
import { isStorable } from './json-value.js';
import type { StoredOneTimeValue } from './one-time-value.js';
import {
  ABSOLUTE_END_AT,
  BEFORE_CHECKSUM,
  BEFORE_CHECKSUM_AT,
  BEFORE_ID,
  CHECKSUM_AT,
  CHECKSUM_CHARS,
  COVERED_AT,
  CREATED_AT_AT,
  ID_AT,
  isOfNewerSchema,
  NEVER,
  NO_USER,
  NUMBER_CHARS,
  TTL_AT,
  USER_AT,
  type FormerId,
  type SessionContent,
  type SessionMetadata,
  type LoginMetadata,
} from './payload.js';
import { DamagedRecordError, NewerRecordError, type DamageReport } from './record-errors.js';
import { isInstant, type ReadRecord } from './session-record.js';
import type { SessionData, SessionUser } from './session-user.js';
import { headOf, textBetween, type StoredText } from './stored-text.js';
import { isStoredUser, isStringArray } from './stored-user.js';

/** What a payload is read from. */
type PayloadOfRecord = Pick<ReadRecord, 'id' | 'payload'>;

/**
 * Reads a record's payload. What passes here is what was written, byte for byte, unless the checksum was computed for other JSON.
 *
 * @param report called with JSON that turns out not to be ours when it is read. Default: nothing, for a payload that was just encoded
 * @throws DamagedRecordError when it is not ours, not whole, or belongs to another id
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function decodePayload(record: PayloadOfRecord, report?: DamageReport): StoredPayload {
  const { id, payload } = record;
  if (isOfNewerSchema(payload)) throw new NewerRecordError();
  const head = headOf(payload, USER_AT);
  if (!head.startsWith(BEFORE_ID)) throw new DamagedRecordError('it has no schema number of ours');
  if (!head.startsWith(id, ID_AT)) throw new DamagedRecordError('it belongs to another session');
  if (!head.startsWith(BEFORE_CHECKSUM, BEFORE_CHECKSUM_AT)) throw new DamagedRecordError('it has no checksum');
  // Bytes that are not UTF-8 fail here too: the decoder has put other characters in their place.
  if (checksumFrom(payload, COVERED_AT) !== filledNumberAt(head, CHECKSUM_AT, CHECKSUM_CHARS)) {
    throw new DamagedRecordError('its checksum is wrong, so it was changed or cut off');
  }
  return new StoredPayload(record, report);
}

/** The same for a payload that was encoded a moment ago with these `metadata`, which needs no check. */
export function encodedPayload(record: PayloadOfRecord, metadata: SessionMetadata): StoredPayload {
  return new StoredPayload(record, undefined, metadata);
}

/**
 * What a payload says, each part parsed and checked when it is first read, and kept from then on. What comes out of here can be written back:
 * the rules are those for new values.
 *
 * A part that is not ours shows only then. Its reader gets a SessionNotFoundError, as if the session had not been found.
 */
export class StoredPayload implements SessionContent {
  readonly metadata: SessionMetadata;
  readonly #record: PayloadOfRecord;
  readonly #report: DamageReport | undefined;
  /** Where the lines end. */
  readonly #userEnd: number;
  readonly #loginEnd: number;
  readonly #flashEnd: number;
  readonly #oneTimeEnd: number;
  #user: SessionUser | null | undefined;
  #login: LoginMetadata | undefined;
  #flash: readonly StoredFlashMessage[] | undefined;
  #oneTime: readonly StoredOneTimeValue[] | undefined;
  #data: SessionData | undefined;
  #dataText: string | undefined;

  /** @throws DamagedRecordError when the times are none, or a line is missing */
  constructor(record: PayloadOfRecord, report: DamageReport | undefined, metadata?: SessionMetadata) {
    const { payload } = record;
    this.#record = record;
    this.#report = report;
    this.metadata = metadata ?? new StoredMetadata(headOf(payload, USER_AT), this);
    this.#userEnd = endOfLine(payload, USER_AT);
    this.#loginEnd = endOfLine(payload, this.#userEnd + 1);
    this.#flashEnd = endOfLine(payload, this.#loginEnd + 1);
    this.#oneTimeEnd = endOfLine(payload, this.#flashEnd + 1);
  }

  /** Whether no user is signed in. */
  get isAnonymous(): boolean {
    return this.userText === NO_USER;
  }

  get userText(): string {
    return textBetween(this.#record.payload, USER_AT, this.#userEnd);
  }

  get dataText(): string {
    return (this.#dataText ??= textBetween(this.#record.payload, this.#oneTimeEnd + 1));
  }

  get user(): SessionUser | null {
    if (this.#user === undefined) {
      this.#user = this.isAnonymous ? null : this.#read(this.userText, isStoredUser, 'its user is not ours');
    }
    return this.#user;
  }

  /** The client and the login, as `metadata` names them. @throws SessionNotFoundError, which leaves the session out of a list */
  readLogin(): LoginMetadata {
    return (this.#login ??= this.#parseLogin());
  }

  #parseLogin(): LoginMetadata {
    const text = textBetween(this.#record.payload, this.#userEnd + 1, this.#loginEnd);
    const line = this.#read(text, isLoginLine, 'its client is not ours');
    const { ipAddress, userAgent, remembered: isRemembered = false, authMethods = [], formerIds = [] } = line;
    const authenticatedAt = this.isAnonymous ? null : (line.authenticatedAt ?? this.metadata.createdAt);
    const { idIssuedAt = this.metadata.createdAt, lineage = null, deadId = null } = line;
    return { ipAddress, userAgent, isRemembered, authenticatedAt, authMethods, idIssuedAt, formerIds, lineage, deadId };
  }

  get flash(): readonly StoredFlashMessage[] {
    const text = textBetween(this.#record.payload, this.#loginEnd + 1, this.#flashEnd);
    return (this.#flash ??= this.#read(text, isFlash, 'its flash messages are not ours'));
  }

  get oneTime(): readonly StoredOneTimeValue[] {
    const text = textBetween(this.#record.payload, this.#flashEnd + 1, this.#oneTimeEnd);
    return (this.#oneTime ??= this.#read(text, isOneTime, 'its one-time values are not ours'));
  }

  get data(): SessionData {
    return (this.#data ??= this.#read(this.dataText, isData, 'its data is not an object of what can be stored'));
  }

  /** The same payload with none of its parts read, for a caller that must not get objects which another one has changed. */
  unread(): StoredPayload {
    return new StoredPayload(this.#record, this.#report);
  }

  #read<Part>(text: string, isOurs: (parsed: unknown) => parsed is Part, otherwise: string): Part {
    try {
      const parsed = parse(text);
      if (isOurs(parsed)) return parsed;
      throw new DamagedRecordError(otherwise);
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) throw error;
      this.#report?.note(this.#record.id, error);
      throw new SessionNotFoundError();
    }
  }
}

/** The times are read at once, as each load looks at them, the client and the login at first use. */
class StoredMetadata implements SessionMetadata {
  readonly createdAt: number;
  readonly ttlMs: number;
  readonly absoluteExpiresAt: number | null;
  readonly #payload: Pick<StoredPayload, 'readLogin'>;

  /** @throws DamagedRecordError when the times are none */
  constructor(text: string, payload: Pick<StoredPayload, 'readLogin'>) {
    this.#payload = payload;
    this.createdAt = filledNumberAt(text, CREATED_AT_AT, NUMBER_CHARS);
    this.ttlMs = filledNumberAt(text, TTL_AT, NUMBER_CHARS);
    const endsNever = text.startsWith(NEVER, ABSOLUTE_END_AT);
    this.absoluteExpiresAt = endsNever ? null : filledNumberAt(text, ABSOLUTE_END_AT, NUMBER_CHARS);
    if (!isInstant(this.createdAt) || !(endsNever || isInstant(this.absoluteExpiresAt)) || !isTtl(this.ttlMs)) {
      throw new DamagedRecordError('its times are none');
    }
  }

  get ipAddress(): string | null {
    return this.#payload.readLogin().ipAddress;
  }

  get userAgent(): string | null {
    return this.#payload.readLogin().userAgent;
  }

  get isRemembered(): boolean {
    return this.#payload.readLogin().isRemembered;
  }

  get authenticatedAt(): number | null {
    return this.#payload.readLogin().authenticatedAt;
  }

  get authMethods(): readonly string[] {
    return this.#payload.readLogin().authMethods;
  }

  get idIssuedAt(): number {
    return this.#payload.readLogin().idIssuedAt;
  }

  get formerIds(): readonly FormerId[] {
    return this.#payload.readLogin().formerIds;
  }

  get lineage(): string | null {
    return this.#payload.readLogin().lineage;
  }

  get deadId(): string | null {
    return this.#payload.readLogin().deadId;
  }
}

function endOfLine(payload: StoredText, from: number): number {
  const end = payload.indexOf('\n', from);
  if (end < 0) throw new DamagedRecordError('it does not have six lines');
  return end;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new DamagedRecordError('it is not JSON');
  }
}

function isTtl(ttlMs: number): boolean {
  return ttlMs > 0 && ttlMs <= LONGEST_LIFETIME_S * 1000;
}

interface LoginLine extends Pick<LoginMetadata, 'ipAddress' | 'userAgent'> {
  readonly remembered?: boolean;
  readonly authenticatedAt?: number;
  readonly authMethods?: readonly string[];
  readonly idIssuedAt?: number;
  readonly formerIds?: readonly FormerId[];
  readonly lineage?: string;
  readonly deadId?: string;
}

function isLoginLine(parsed: unknown): parsed is LoginLine {
  return (
    isPlainObject(parsed) &&
    isTextOrNull(parsed.ipAddress) &&
    isTextOrNull(parsed.userAgent) &&
    (parsed.remembered === undefined || typeof parsed.remembered === 'boolean') &&
    (parsed.authenticatedAt === undefined || isInstant(parsed.authenticatedAt)) &&
    (parsed.authMethods === undefined || isStringArray(parsed.authMethods)) &&
    (parsed.idIssuedAt === undefined || isInstant(parsed.idIssuedAt)) &&
    (parsed.formerIds === undefined || isFormerIds(parsed.formerIds)) &&
    (parsed.lineage === undefined || typeof parsed.lineage === 'string') &&
    (parsed.deadId === undefined || typeof parsed.deadId === 'string')
  );
}

function isFormerIds(value: unknown): boolean {
  return Array.isArray(value) && value.every(isFormerId);
}

function isFormerId(entry: unknown): boolean {
  return isPlainObject(entry) && typeof entry.id === 'string' && isInstant(entry.until);
}

function isOneTime(parsed: unknown): parsed is StoredOneTimeValue[] {
  return Array.isArray(parsed) && parsed.every(isOneTimeValue) && isStorable(parsed);
}

function isOneTimeValue(entry: unknown): boolean {
  return isPlainObject(entry) && typeof entry.name === 'string' && 'value' in entry && isInstant(entry.expiresAt);
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function isData(parsed: unknown): parsed is SessionData {
  return isPlainObject(parsed) && isStorable(parsed);
}

function isFlash(parsed: unknown): parsed is StoredFlashMessage[] {
  return Array.isArray(parsed) && parsed.every(isFlashMessage) && isStorable(parsed);
}

function isFlashMessage(entry: unknown): boolean {
  return (
    isPlainObject(entry) &&
    typeof entry.id === 'string' &&
    typeof entry.message === 'string' &&
    typeof entry.category === 'string' &&
    isInstant(entry.timestamp)
  );
}
