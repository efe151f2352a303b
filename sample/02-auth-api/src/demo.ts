import type { INestApplication } from '@nestjs/common';

import { UsersService } from './users/users.service.js';

export const DEMO_USER = {
  // The same at each start, as that of a user in a database is: sessions in Redis outlive the process.
  userId: '1',
  username: 'alice',
  email: 'alice@example.com',
  password: 'correct horse battery staple',
  roles: ['user'],
};

export const DEMO_ADMIN = {
  userId: '100',
  username: 'admin',
  email: 'admin@example.com',
  password: 'another horse for another battery',
  roles: ['admin', 'user'],
};

export async function addDemoUsers(app: INestApplication): Promise<void> {
  for (const user of [DEMO_USER, DEMO_ADMIN]) await app.get(UsersService).create(user);
}

/** What is printed at the start. */
export function whatToTry(url: string): string {
  return `
Listening on ${url}, Swagger UI at ${url}/docs

${curlLines(url)}`;
}

/** The tests paste these commands into a shell, so that they keep working. */
export function curlLines(url: string): string {
  const json = (body: object): string => `-H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
  const curl = `curl -s -w '\\n'`;

  const session = '-H "Authorization: Bearer $TOKEN"';
  const logIn = ({ username, password }: typeof DEMO_USER): string =>
    `$(curl -s ${url}/api/auth/login ${json({ username, password })} | sed -n 's/.*"token":"\\([^"]*\\)".*/\\1/p')`;

  return `Try it; paste the lines into a shell, in this order:

  TOKEN=${logIn(DEMO_USER)}
  ${curl} ${url}/api/user/profile ${session}
  ${curl} ${url}/api/user/update ${session} ${json({ email: 'alice@example.org', theme: 'dark' })}
  ${curl} ${url}/api/user/profile ${session}
  ${curl} ${url}/api/messages ${session}
  ${curl} ${url}/api/messages ${session}
  ${curl} ${url}/api/admin/users ${session}
  ${curl} ${url}/api/admin/users -H "Authorization: Bearer ${logIn(DEMO_ADMIN)}"
  ${curl} -X POST ${url}/api/auth/logout-all ${session}
  ${curl} ${url}/api/user/profile ${session}
`;
}
