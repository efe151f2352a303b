import type { INestApplicationContext } from '@nestjs/common';

import { SessionService, type CreateSessionOptions } from '../session.service.js';
import type { NewSessionUser } from '../sessions/session-user.js';
import type { Session } from '../sessions/session.js';

/** What an e2e test needs of a signed-in client. */
export interface LoggedIn {
  readonly session: Session;
  readonly token: string;
  /** To be sent with each request. */
  readonly headers: { readonly authorization: string };
}

/**
 * Signs a user in without the application's login route.
 *
 * @example const alice = await logIn(app, { userId: 'alice' });
 * await request(app.getHttpServer()).get('/profile').set(alice.headers);
 */
export async function logIn(
  app: INestApplicationContext,
  user: NewSessionUser,
  options: Omit<CreateSessionOptions, 'user'> = {},
): Promise<LoggedIn> {
  const { session, token } = await app.get(SessionService, { strict: false }).createSession({ ...options, user });
  return { session, token, headers: { authorization: `Bearer ${token}` } };
}
