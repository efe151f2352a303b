import { digits } from '../../records/fixed-width.js';
import { encodeRecord, statusAndOwner, TIME_CHARS, VERSION_CHARS } from '../../records/record-text.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf, type SessionId } from '../../tokens/session-secret.js';
import { isListed } from '../backend-rules.js';
import type { CreateOptions } from '../session-backend.interface.js';

type Arguments = (string | number)[];

/** @param deadline the server's time after which it must not be done, ms since the epoch */
export function createArguments(
  record: SessionRecord,
  { limit, replaces }: CreateOptions,
  now: number,
  deadline: number,
): Arguments {
  return [
    encodeRecord(record),
    lifetime(record.expiresAt, now),
    now,
    Math.floor(record.expiresAt),
    memberOf(record.id),
    flag(isListed(record)),
    deadline,
    limit?.max ?? 0,
    flag(limit?.onLimit === 'reject'),
    replaces === undefined ? '' : memberOf(replaces.id),
    replaces === undefined ? '' : versionText(replaces.version),
  ];
}

/** @param deadline as of `createArguments`; null: none */
export function replaceArguments(
  record: SessionRecord,
  ifVersion: number,
  now: number,
  deadline: number | null,
): Arguments {
  return [
    versionText(ifVersion),
    versionText(record.version),
    statusAndOwner(record),
    timeText(record.lastAccessed),
    timeText(record.expiresAt),
    record.payload,
    lifetime(record.expiresAt, now),
    memberOf(record.id),
    flag(isListed(record)),
    deadline ?? '',
  ];
}

export function touchArguments(id: SessionId, { lastAccessed, expiresAt }: SessionTimes, now: number): Arguments {
  return [timeText(lastAccessed), timeText(expiresAt), lifetime(expiresAt, now), memberOf(id)];
}

export function versionText(version: number): string {
  return digits(version, VERSION_CHARS);
}

export function timeText(milliseconds: number): string {
  return digits(milliseconds, TIME_CHARS);
}

/** Milliseconds that Redis is to keep the record, by the module's clock; never 0, which Redis refuses. */
function lifetime(expiresAt: number, now: number): number {
  return Math.max(1, Math.ceil(expiresAt - now));
}

function flag(value: boolean): '1' | '0' {
  return value ? '1' : '0';
}
