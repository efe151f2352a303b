import { digits } from '../../records/fixed-width.js';
import { encodeRecord, statusAndOwner, TIME_CHARS, VERSION_CHARS } from '../../records/record-text.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf } from '../../tokens/session-secret.js';
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
  const { max = 0, onLimit } = limit ?? {};
  const text = encodeRecord(record);
  const created: Arguments = [text, lifetime(record, now), now, earliest, latest, max, flag(onLimit === 'reject')];
  if (replaces === undefined) return created;
  const { id, version, alias } = replaces;
  created.push(memberOf(id), versionText(version));
  if (alias !== undefined) created.push(encodeRecord(alias), lifetime(alias, now));
  return created;
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
    lifetime(record, now),
    ...(window === null ? [] : [window.earliest, window.latest]),
  ];
}

export function touchArguments(times: SessionTimes, now: number): Arguments {
  return [timeText(times.lastAccessed), timeText(times.expiresAt), lifetime(times, now)];
}

export function versionText(version: number): string {
  return digits(version, VERSION_CHARS);
}

export function timeText(milliseconds: number): string {
  return digits(milliseconds, TIME_CHARS);
}

/** Milliseconds that Redis is to keep the record, by the module's clock; never 0, which Redis refuses. */
function lifetime({ expiresAt }: Pick<SessionTimes, 'expiresAt'>, now: number): number {
  return Math.max(1, Math.ceil(expiresAt - now));
}

/** As the scripts take it. */
export function flag(value: boolean): '1' | '0' {
  return value ? '1' : '0';
}
