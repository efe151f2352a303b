import { DamagedRecordError, NewerRecordError } from '../../records/record-errors.js';
import { digits } from '../../records/fixed-width.js';
import { TIME_CHARS } from '../../records/record-text.js';
import type { UserTag } from '../../tokens/session-secret.js';

const MARK = 'sxl1';
const NEWER_MARK = /^sxl(?:[2-9]|[1-9]\d{1,2}) /;
const ENTRY = /^([A-Za-z0-9_-]{43}) (\d{14})$/;
const ENTRY_CHARS = 43 + 1 + TIME_CHARS;

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
  const head = headOf(tag);
  if (!text.startsWith(head)) throw strangeError(text);
  const lines = text.slice(head.length).split('\n');
  if (lines.pop() !== '') throw damagedError();
  return lines.map((line) => {
    const [, member, expiresAt] = ENTRY.exec(line) ?? [];
    if (member === undefined) throw damagedError();
    return { member, expiresAt: Number(expiresAt) };
  });
}

/**
 * Whether a list has a session. Its bytes are searched, and no text is made of them: for a user with 256 sessions (15 KB) 1.2 us in place of 2.7.
 *
 * @throws DamagedRecordError when `list` is not the list of `tag`
 * @throws NewerRecordError when a later version of this module wrote it
 */
export function listHas(tag: UserTag, list: Buffer, member: string): boolean {
  const head = headOf(tag);
  if (list.toString('latin1', 0, head.length) !== head) throw strangeError(list.toString());
  const before = list.indexOf(`\n${member} `, head.length - 1, 'latin1');
  if (before < 0) return false;
  if (!ENTRY.test(list.toString('latin1', before + 1, before + 1 + ENTRY_CHARS))) throw damagedError();
  return true;
}

function strangeError(text: string): Error {
  return NEWER_MARK.test(text) ? new NewerRecordError("The list of a user's sessions") : damagedError();
}

function headOf(tag: UserTag): string {
  return `${MARK} ${tag}\n`;
}

function damagedError(): DamagedRecordError {
  return new DamagedRecordError("the list of the user's sessions is not ours");
}
