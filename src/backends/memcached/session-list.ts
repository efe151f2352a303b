import { DamagedRecordError, NewerRecordError } from '../../records/record-errors.js';
import { digits } from '../../records/fixed-width.js';
import { TIME_CHARS } from '../../records/record-text.js';
import type { UserTag } from '../../tokens/session-secret.js';

const MARK = 'sxl1';
const NEWER_MARK = /^sxl(?:[2-9]|[1-9]\d{1,2}) /;
const ENTRY = /^([A-Za-z0-9_-]{43}) (\d{14})$/;

/** A session in a user's list. */
export interface ListEntry {
  /** The part of its id that is not the tag. */
  readonly member: string;
  /** Not before the record's own, ms since the epoch. */
  readonly expiresAt: number;
}

/** A list as one string: `sxl1 <tag> LF`, then for each session `<member> <expiresAt: 14 digits> LF`. It names whose it is. */
export function encodeList(tag: UserTag, entries: readonly ListEntry[]): string {
  const lines = entries.map(({ member, expiresAt }) => `${member} ${digits(expiresAt, TIME_CHARS)}\n`);
  return `${MARK} ${tag}\n${lines.join('')}`;
}

/**
 * @throws DamagedRecordError when `text` is not the list of `tag`
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function decodeList(tag: UserTag, text: string): ListEntry[] {
  assertList(tag, text);
  const lines = text.slice(headOf(tag).length).split('\n');
  if (lines.pop() !== '') throw damaged();
  return lines.map((line) => {
    const [, member, expiresAt] = ENTRY.exec(line) ?? [];
    if (member === undefined) throw damaged();
    return { member, expiresAt: Number(expiresAt) };
  });
}

/**
 * The entry of one session, without a look at the others; undefined: the list does not have it.
 *
 * @throws DamagedRecordError when `text` is not the list of `tag`
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function findEntry(tag: UserTag, text: string, member: string): ListEntry | undefined {
  assertList(tag, text);
  const start = text.indexOf(`\n${member} `) + 1;
  if (start === 0) return undefined;
  const [line = ''] = text.slice(start, start + member.length + 1 + TIME_CHARS).split('\n');
  const [, , expiresAt] = ENTRY.exec(line) ?? [];
  if (expiresAt === undefined) throw damaged();
  return { member, expiresAt: Number(expiresAt) };
}

function assertList(tag: UserTag, text: string): void {
  if (text.startsWith(headOf(tag))) return;
  if (NEWER_MARK.test(text)) throw new NewerRecordError("The list of a user's sessions");
  throw damaged();
}

function headOf(tag: UserTag): string {
  return `${MARK} ${tag}\n`;
}

function damaged(): DamagedRecordError {
  return new DamagedRecordError("the list of the user's sessions is not ours");
}
