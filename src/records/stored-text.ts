/** A text as a store hands it out: itself, or the bytes of it in UTF-8. */
export type StoredText = string | Buffer;

/** Below this size to find the lines of a text is cheaper than to find them in bytes, and a text does not keep alive what came with the bytes. */
const LARGE_BYTES = 16_384;

/** `bytes` as they are if they are many, so that only the parts that are read become texts; else their text. */
export function storedText(bytes: Buffer): StoredText {
  return bytes.length < LARGE_BYTES ? bytes.toString() : bytes;
}

/** The whole text. */
export function wholeText(stored: StoredText): string {
  return typeof stored === 'string' ? stored : stored.toString();
}

/** At least the first so many characters, each of which is one byte. */
export function headOf(stored: StoredText, chars: number): string {
  return typeof stored === 'string' ? stored : stored.toString('latin1', 0, chars);
}

/** What stands between two positions: of characters in a text, and of bytes in bytes. */
export function textBetween(stored: StoredText, from: number, to: number = stored.length): string {
  return typeof stored === 'string' ? stored.slice(from, to) : stored.toString('utf8', from, to);
}
