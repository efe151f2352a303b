import { describe, expect, it } from '@jest/globals';

import { CsrfTokens } from '../../src/csrf/csrf-tokens.js';
import { validateOptions } from '../../src/options/validate-options.js';
import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, newSecret, sessionIdOf } from '../../src/tokens/session-secret.js';
import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';

const KEY = 'a test key that nobody else has, 0123456789';
const random = new RandomPool();
const secret = newSecret(anonymousTag(random), random);
const id = sessionIdOf(secret);
const tokens = new CsrfTokens(validateOptions({ secretKey: KEY }));

describe('a CSRF token', () => {
  it('holds for its session and for no other', () => {
    const token = tokens.issue(id);
    expect(token).toMatch(/^[\w-]{86}$/);
    expect(tokens.verify(token, id)).toBe(true);
    expect(tokens.verify(token, sessionIdOf(newSecret(anonymousTag(random), random)))).toBe(false);
  });

  it('is another text each time, with nothing in common that a compressor could find', () => {
    const issued = Array.from({ length: 100 }, () => Buffer.from(tokens.issue(id), 'base64url'));
    expect(new Set(issued.map((bytes) => bytes.toString('hex'))).size).toBe(100);
    for (let position = 0; position < 64; position++) {
      expect(new Set(issued.map((bytes) => bytes[position])).size).toBeGreaterThan(40);
    }
  });

  it('does not hold with any bit flipped, nor in another spelling', () => {
    const token = tokens.issue(id);
    const bytes = Buffer.from(token, 'latin1');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(tokens.verify(flipped.toString('latin1'), id)).toBe(false);
    }
    for (const text of ['', `${token}=`, ` ${token}`, token.slice(0, -1), `${token}A`, token.repeat(100)]) {
      expect(tokens.verify(text, id)).toBe(false);
    }
  });

  it('is signed for its purpose and its application', () => {
    const elsewhere = new CsrfTokens(validateOptions({ secretKey: KEY, backendKeyPrefix: 'other:' }));
    expect(elsewhere.verify(tokens.issue(id), id)).toBe(false);
    const serializer = new SimpleTokenSerializer({ keys: [KEY], namespace: 'session:' });
    expect(serializer.verify(tokens.issue(id)).valid).toBe(false);
    expect(tokens.verify(serializer.serialize({ secret, issuedAt: 0 }), id)).toBe(false);
  });

  it('holds under every key of the list, and is issued under the first', () => {
    const next = new CsrfTokens(
      validateOptions({ secretKey: ['the new key, which is also long enough', KEY], indexKey: KEY }),
    );
    expect(next.verify(tokens.issue(id), id)).toBe(true);
    expect(tokens.verify(next.issue(id), id)).toBe(false);
  });
});
