import type { IncomingMessage } from 'node:http';

/**
 * Whether a browser sends the request in the background: from an open page, or for a page that may be opened later. Other requests may run
 * at the same time, and their responses may arrive first.
 *
 * @returns false for a navigation, and where the request does not say what it is (W3C Fetch Metadata)
 */
export function isBackground({ headers }: IncomingMessage): boolean {
  if (headers['sec-purpose'] !== undefined) return true;
  const { 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers;
  // Only browsers send both.
  return site !== undefined && mode !== undefined && mode !== 'navigate';
}

/** Whether a script or a frame in a page of another site sends the request, so that its cookies are third-party cookies. */
export function isFromThirdParty({ headers }: IncomingMessage): boolean {
  if (headers['sec-fetch-site'] !== 'cross-site') return false;
  return headers['sec-fetch-mode'] !== 'navigate' || /^(i?frame|object|embed)$/.test(headers['sec-fetch-dest'] ?? '');
}
