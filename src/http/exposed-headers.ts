import type { ServerResponse } from 'node:http';

const EXPOSED = 'Access-Control-Expose-Headers';

/** Lets pages of another origin read the response header `name`, besides those that the application has exposed. */
export function exposeHeader(response: ServerResponse, name: string): void {
  const current = response.getHeader(EXPOSED);
  const listed = Array.isArray(current) ? current.join(', ') : String(current ?? '');
  const names = listed.split(',').map((entry) => entry.trim().toLowerCase());
  // `*` does not list all: for a page that sends credentials, it is the name of a header (Fetch, section 3.2.5).
  if (names.includes(name.toLowerCase())) return;
  response.setHeader(EXPOSED, listed === '' ? name : `${listed}, ${name}`);
}
