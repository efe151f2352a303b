import { describe, expect, it, jest } from '@jest/globals';

import { hashPassword, verifyPassword } from '../src/users/password-hash.js';
import { UsersService } from '../src/users/users.service.js';

describe('passwords', () => {
  it('are stored as a salted hash that only they match', async () => {
    const [hash, another] = await Promise.all([hashPassword('s3cret'), hashPassword('s3cret')]);

    expect(hash).not.toContain('s3cret');
    expect(hash).not.toBe(another);
    expect(await verifyPassword('s3cret', hash)).toBe(true);
    expect(await verifyPassword('S3cret', hash)).toBe(false);
  });

  it('of new users are hashed at a cost that OWASP recommends', async () => {
    const users = new UsersService();
    const add = jest.spyOn(users, 'add');
    const user = { userId: '1', username: 'alice', email: 'alice@example.com', roles: [] };

    await users.create({ ...user, password: 's3cret' });

    expect(add.mock.calls).toEqual([[user, expect.stringMatching(/^scrypt\$16384\$8\$5\$/)]]);
  });

  it('match however a keyboard composes a letter', async () => {
    expect(await verifyPassword('cafe\u0301', await hashPassword('caf\u00e9'))).toBe(true);
  });
});
