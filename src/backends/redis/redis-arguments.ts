import { digits } from '../../records/fixed-width.js';
import { encodeRecord, statusAndOwner, TIME_CHARS, VERSION_CHARS } from '../../records/record-text.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf, type SessionId } from '../../tokens/session-secret.js';
import { isListed } from '../backend-rules.js';
import type { CreateOptions } from '../session-backend.interface.js';
import type { TimeWindow } from './server-clocks.js';

type Arguments = (string | number)[];

/** @param window the server's time in which it may be done */
export function createArguments(
  record: SessionRecord,
  { limit, replaces }: CreateOptions,
  now: number,
  { earliest, latest }: TimeWindow,
): Arguments {
  return [
    encodeRecord(record),
    lifetime(record.expiresAt, now),
    now,
    timeText(record.expiresAt),
    timeText(record.lastAccessed),
    memberOf(record.id),
    flag(isListed(record)),
    earliest,
    latest,
    limit?.max ?? 0,
    flag(limit?.onLimit === 'reject'),
    replaces === undefined ? '' : memberOf(replaces.id),
    replaces === undefined ? '' : versionText(replaces.version),
    ...(replaces?.alias === undefined ? [] : [encodeRecord(replaces.alias), lifetime(replaces.alias.expiresAt, now)]),
  ];
}

/** @param window as of `createArguments`; null: at any time */
export function replaceArguments(
  record: SessionRecord,
  ifVersion: number,
  now: number,
  window: TimeWindow | null,
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
    window?.earliest ?? '',
    window?.latest ?? '',
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

/** As the scripts take it. */
export function flag(value: boolean): '1' | '0' {
  return value ? '1' : '0';
}
