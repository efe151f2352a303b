import type { ServerResponse } from 'node:http';

const OTHER_CACHE_HEADERS = /^(expires|surrogate-control|(.+-)?cdn-cache-control)$/;

/** Forbids caches to keep a response. Headers that some caches prefer to `Cache-Control` are removed (RFC 9111, section 5.3; RFC 9213). */
export function forbidStoring(response: ServerResponse): void {
  response.setHeader('Cache-Control', 'no-store');
  for (const name of response.getHeaderNames()) if (OTHER_CACHE_HEADERS.test(name)) response.removeHeader(name);
}
