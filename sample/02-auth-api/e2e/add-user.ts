import type { INestApplication } from '@nestjs/common';

import { hashPassword } from '../src/users/password-hash.js';
import { UsersService, type NewUser } from '../src/users/users.service.js';

const LOWEST_COST = { N: 2, r: 1, p: 1 };

/** Hashes the password at no cost to speak of: the tests log in often. Those of users.e2e-spec.ts are for the cost itself. */
export async function addUser(app: INestApplication, { password, ...user }: NewUser): Promise<void> {
  app.get(UsersService).add(user, await hashPassword(password, LOWEST_COST));
}
