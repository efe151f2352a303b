import type { IncomingMessage } from 'node:http';

/** The headers by which browsers mark what they load ahead of a visit; the first is the standard (Fetch, "Sec-Purpose"). */
const PURPOSE_HEADERS = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz'] as const;
const LOADED_AHEAD = /prefetch|prerender|preview/i;

/**
 * Whether somebody will read the response to `request`. Nobody does where it has no body, where a browser loads it ahead of a visit that
 * may never come, and where a page of another site has made the browser send it in the background.
 *
 * @param isCrossSite whether a page of another site may have sent it: the cookie is the only proof of who sent it
 */
export function hasReader({ method, headers }: IncomingMessage, isCrossSite: boolean): boolean {
  if (method === 'HEAD') return false;
  if (PURPOSE_HEADERS.some((name) => LOADED_AHEAD.test(String(headers[name] ?? '')))) return false;
  return !isCrossSite || headers['sec-fetch-mode'] === 'navigate';
}
