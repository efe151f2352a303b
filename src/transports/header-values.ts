import type { ServerResponse } from 'node:http';

/** Adds `token` to a header that lists tokens, such as `Vary`, unless it is there or everything (`*`) is. */
export function appendToken(response: ServerResponse, name: string, token: string): void {
  const current = response.getHeader(name);
  if (current === undefined) {
    response.setHeader(name, token);
    return;
  }
  const listed = Array.isArray(current) ? current.join(', ') : String(current);
  const names = listed.split(',').map((entry) => entry.trim().toLowerCase());
  if (names.includes('*') || names.includes(token.toLowerCase())) return;
  response.setHeader(name, listed === '' ? token : `${listed}, ${token}`);
}
