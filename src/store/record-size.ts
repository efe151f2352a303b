import { SessionDataError } from '../errors/session-errors.js';
import { HEAD_CHARS } from '../records/record-text.js';
import type { ReadRecord, SessionRecord } from '../records/session-record.js';
import { wholeText } from '../records/stored-text.js';

/** The most bytes of UTF-8 for one unit of UTF-16. */
const MOST_BYTES_OF_A_CHARACTER = 3;
/** The part of the session in each line of a payload. */
const PARTS = ['metadata', 'user', 'metadata', 'flash', 'oneTime', 'data'] as const;

type Sized = Pick<SessionRecord, 'payload'>;

/**
 * Refuses a record whose text is larger than `most` bytes of UTF-8, unless its content is no larger than that of the record that it replaces: so
 * a session from the time of a higher limit can be reduced step by step, and get a new id, which its metadata note.
 *
 * @param before the record that it replaces; `null` if there is none
 * @throws SessionDataError 413, with the largest part of the record as its path
 */
export function assertRecordSize(record: Sized, before: Pick<ReadRecord, 'payload'> | null, most: number): void {
  // Nearly every record is so short that it fits in any case; this avoids counting its bytes.
  if (HEAD_CHARS + record.payload.length * MOST_BYTES_OF_A_CHARACTER <= most) return;
  const bytes = bytesOf(record);
  if (bytes <= most || (before !== null && contentBytesOf(record.payload) <= contentBytesOf(wholeText(before.payload))))
    return;
  const part = largestPart(record);
  throw new SessionDataError(
    `The session would take ${bytes} bytes, and maxSessionBytes is ${most}. Its largest part is ${part}. Store less there, or raise maxSessionBytes.`,
    part,
    'size',
  );
}

function bytesOf({ payload }: Sized): number {
  return HEAD_CHARS + Buffer.byteLength(payload);
}

/** Without the metadata, which the application does not choose. */
function contentBytesOf(payload: string): number {
  const lines = payload.split('\n').filter((_, index) => PARTS[index] !== 'metadata');
  return Buffer.byteLength(lines.join('\n'));
}

function largestPart({ payload }: Sized): string {
  const sizes = payload.split('\n').map((line) => line.length);
  return PARTS[sizes.indexOf(Math.max(...sizes))] ?? 'data';
}
