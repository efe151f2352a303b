import { curlLines, DEMO_USER } from '../../02-auth-api/src/demo.js';

/** What is printed at the start. */
export function welcome(url: string): string {
  const { username, password } = DEMO_USER;

  return `
Listening on ${url}, Swagger UI at ${url}/docs

  Open      ${url}
  Sign in   ${username}
  Password  ${password}

Open it in a second browser, or a private window, for a second device. The same process serves the API of 02-auth-api.

${curlLines(url)}`;
}
