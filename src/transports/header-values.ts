import type { ServerResponse } from 'node:http';

/** Adds `token` to a header that lists tokens, such as `Vary`, unless it is there. `Vary: *` lists all. */
export function appendToken(
  response: ServerResponse,
  name: 'Vary' | 'Access-Control-Expose-Headers',
  token: string,
): void {
  const current = response.getHeader(name);
  if (current === undefined) {
    response.setHeader(name, token);
    return;
  }
  const listed = Array.isArray(current) ? current.join(', ') : String(current);
  const names = listed.split(',').map((entry) => entry.trim().toLowerCase());
  // To a page that sends credentials, `Access-Control-Expose-Headers: *` names a header that is called `*` (Fetch, section 3.2.5).
  const listsAll = name === 'Vary' && names.includes('*');
  if (listsAll || names.includes(token.toLowerCase())) return;
  response.setHeader(name, listed === '' ? token : `${listed}, ${token}`);
}
