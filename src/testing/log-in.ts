import type { INestApplicationContext } from '@nestjs/common';

import { SessionCookieOptions } from '../options/session-cookie-options.js';
import { SessionCsrfOptions } from '../options/session-csrf-options.js';
import { SessionOptions } from '../options/session-options.js';
import { SessionService, type CreateSessionOptions } from '../session.service.js';
import type { NewSessionUser } from '../records/session-user.js';
import type { Session } from '../sessions/session.js';

/** A signed-in client for an e2e test. */
export interface LoggedIn {
  readonly session: Session;
  readonly token: string;
  /** Headers for each request: the token in the place that the options set, and with a cookie also a CSRF token. */
  readonly headers: Readonly<Record<string, string>>;
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
  const sessions = app.get(SessionService, { strict: false });
  const { session, token } = await sessions.createSession({ ...options, user });
  const headers = headersFor(app.get(SessionOptions, { strict: false }), token, sessions.csrfToken(session));
  return { session, token, headers };
}

function headersFor(options: SessionOptions, token: string, csrfToken: string): Readonly<Record<string, string>> {
  const { tokenSourcePriority: sources, useBearerToken, headerName } = options;
  if (sources.includes('bearer') && useBearerToken) return { authorization: `Bearer ${token}` };
  if (sources.includes('header')) return { [headerName]: token };
  const { name } = options.cookie ?? new SessionCookieOptions();
  return { cookie: `${name}=${token}`, [(options.csrf ?? new SessionCsrfOptions()).headerName]: csrfToken };
}
