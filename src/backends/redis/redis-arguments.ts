import { digits } from '../../records/fixed-width.js';
import { encodeRecord, statusAndOwner, TIME_CHARS, VERSION_CHARS } from '../../records/record-text.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { memberOf } from '../../tokens/session-secret.js';
import type { CreateOptions } from '../session-backend.interface.js';
import type { Words } from './redis-scripts.js';
import type { TimeWindow } from './server-clocks.js';

/** @param window the server's time in which it may be done */
export function createArguments(
  record: SessionRecord,
  { limit, replaces }: CreateOptions,
  now: number,
  { earliest, latest }: TimeWindow,
): [words: Words, ...texts: string[]] {
  const { max = 0, onLimit } = limit ?? {};
  const text = encodeRecord(record);
  const created = [lifetime(record, now), now, earliest, latest, max, flag(onLimit === 'reject')];
  if (replaces === undefined) return [created, text];
  const { id, version, alias } = replaces;
  const replacing = [...created, memberOf(id), versionText(version)];
  if (alias === undefined) return [replacing, text];
  return [[...replacing, lifetime(alias, now)], text, encodeRecord(alias)];
}

/** @param window as of `createArguments`; null: at any time */
export function replaceArguments(
  record: SessionRecord,
  ifVersion: number,
  now: number,
  window: TimeWindow | null,
): [words: Words, payload: string] {
  const replaced = [
    versionText(ifVersion),
    versionText(record.version),
    statusAndOwner(record),
    timeText(record.lastAccessed),
    timeText(record.expiresAt),
    lifetime(record, now),
  ];
  return [window === null ? replaced : [...replaced, window.earliest, window.latest], record.payload];
}

export function touchArguments(times: SessionTimes, now: number): Words {
  return [timeText(times.lastAccessed), timeText(times.expiresAt), lifetime(times, now)];
}

export function versionText(version: number): string {
  return digits(version, VERSION_CHARS);
}

function timeText(milliseconds: number): string {
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
