import { crc32 } from 'node:zlib';

import type { StoredText } from './stored-text.js';

/** Node copies a text into a buffer of three times its length first. In pieces, 64 KB cost a busy server about half as much. */
const CHARS_AT_ONCE = 8192;

/** The CRC-32 of `text` from the position `from` on, in UTF-8. */
export function checksumFrom(text: StoredText, from: number): number {
  if (typeof text !== 'string') return crc32(text.subarray(from));
  let checksum = 0;
  for (let at = from; at < text.length;) {
    let end = Math.min(at + CHARS_AT_ONCE, text.length);
    // A character of two units stays whole: half of one has no bytes in UTF-8.
    if (isSecondHalf(text.charCodeAt(end))) end++;
    checksum = crc32(text.slice(at, end), checksum);
    at = end;
  }
  return checksum;
}

function isSecondHalf(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
