import { crc32 } from 'node:zlib';

const CHECKSUM_CHARS = 10;

/** The text of a record with the checksum that fits what follows it. */
export function resealed(text: string): string {
  const before = '"crc32":';
  const from = text.indexOf(before) + before.length;
  const covered = text.slice(from + CHECKSUM_CHARS);
  return text.slice(0, from) + String(crc32(covered)).padStart(CHECKSUM_CHARS) + covered;
}
