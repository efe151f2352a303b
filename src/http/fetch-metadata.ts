import type { IncomingMessage } from 'node:http';

/**
 * Whether a browser sends a request for a page that is open, or for one that may be opened later, rather than to open one now. Other
 * requests may run beside it, and its response may come after theirs. False also where the request does not say (W3C Fetch Metadata).
 */
export function isBackground({ headers }: IncomingMessage): boolean {
  if (headers['sec-purpose'] !== undefined) return true;
  const { 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers;
  // Only browsers send both.
  return site !== undefined && mode !== undefined && mode !== 'navigate';
}

/** Whether a page of another site sends a request and stays open, by a script or a frame: its cookies are then those of a third party. */
export function isFromThirdParty({ headers }: IncomingMessage): boolean {
  if (headers['sec-fetch-site'] !== 'cross-site') return false;
  return headers['sec-fetch-mode'] !== 'navigate' || /^(i?frame|object|embed)$/.test(headers['sec-fetch-dest'] ?? '');
}
