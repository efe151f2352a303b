import { describe, expect, it } from '@jest/globals';

import { hashPassword, verifyPassword } from '../src/users/password-hash.js';

describe('passwords', () => {
  it('are stored as a salted hash that only they match', async () => {
    const [hash, another] = await Promise.all([hashPassword('s3cret'), hashPassword('s3cret')]);

    expect(hash).not.toContain('s3cret');
    expect(hash).not.toBe(another);
    expect(await verifyPassword('s3cret', hash)).toBe(true);
    expect(await verifyPassword('S3cret', hash)).toBe(false);
  });

  it('match however a keyboard composes a letter', async () => {
    expect(await verifyPassword('cafe\u0301', await hashPassword('caf\u00e9'))).toBe(true);
  });
});
