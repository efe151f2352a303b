import { SessionDataError } from '../errors/session-errors.js';
import { HEAD_CHARS } from '../records/record-text.js';
import type { SessionRecord } from '../records/session-record.js';

/** UTF-8 takes at most so many bytes for a unit of UTF-16. */
const MOST_BYTES_OF_A_CHARACTER = 3;
/** What the lines of a payload hold. */
const PARTS = ['metadata', 'user', 'metadata', 'flash', 'data'] as const;

type Sized = Pick<SessionRecord, 'payload'>;

/**
 * Refuses a record whose text is larger than `most` bytes of UTF-8, unless it is no larger than the one in whose place it comes: so a
 * session from the time of a higher limit can be made smaller bit by bit.
 *
 * @param before null: nothing
 * @throws SessionDataError 413, with the largest part of the record as its path
 */
export function assertRecordSize(record: Sized, before: Sized | null, most: number): void {
  // Nearly every record is so short that its bytes need no count.
  if (HEAD_CHARS + record.payload.length * MOST_BYTES_OF_A_CHARACTER <= most) return;
  const bytes = bytesOf(record);
  if (bytes <= most || (before !== null && bytes <= bytesOf(before))) return;
  const part = largestPart(record);
  throw new SessionDataError(
    `The session would take ${bytes} bytes, and maxSessionBytes is ${most}; the most of it is its ${part}. Keep less in it, or raise the limit.`,
    part,
    'size',
  );
}

function bytesOf({ payload }: Sized): number {
  return HEAD_CHARS + Buffer.byteLength(payload);
}

function largestPart({ payload }: Sized): string {
  const sizes = payload.split('\n').map((line) => line.length);
  return PARTS[sizes.indexOf(Math.max(...sizes))] ?? 'data';
}
