import type { IncomingMessage } from 'node:http';

/** The headers by which browsers mark what they load ahead of a visit; the first is the standard (Fetch, "Sec-Purpose"). */
const PURPOSE_HEADERS = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz'] as const;
const LOADED_AHEAD = /prefetch|prerender|preview/i;

/**
 * Whether the user will see the response to `request`. Not if it has no body, if a browser loads it ahead of a visit that may never happen,
 * or if a page of another site makes the browser send the request in the background.
 *
 * @param isCrossSite whether a page of another site may have sent the request, because only a cookie authenticates it
 */
export function hasReader({ method, headers }: IncomingMessage, isCrossSite: boolean): boolean {
  if (method === 'HEAD') return false;
  if (PURPOSE_HEADERS.some((name) => LOADED_AHEAD.test(String(headers[name] ?? '')))) return false;
  return !isCrossSite || headers['sec-fetch-mode'] === 'navigate';
}
