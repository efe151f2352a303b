import { describe, expect, it } from '@jest/globals';
import { crc32 } from 'node:zlib';

import { checksumFrom } from '../../src/records/checksum.js';

describe('the checksum of a text', () => {
  it.each(['', 'a', 'é', '😀', 'a😀', '\ufffd'])('is the CRC-32 of its UTF-8, however long it is: %p', (part) => {
    for (const count of [0, 1, 2_000, 4_095, 4_096, 4_097, 8_191, 8_192, 8_193, 20_000]) {
      const text = part.repeat(count);
      expect(checksumFrom(text, 0)).toBe(crc32(Buffer.from(text)));
      expect(checksumFrom(`before ${text}`, 'before '.length)).toBe(crc32(Buffer.from(text)));
    }
  });
});
