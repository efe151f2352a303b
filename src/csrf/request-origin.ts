import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';

/** Where a request comes from, by the headers that a browser sets and no page can forge. */
type RequestOrigin =
  /** A same-origin page, or one of an origin in `csrf.allowedOrigins`. */
  | 'own'
  /** Another site, or another host of the same site. */
  | 'foreign'
  /** Not known: an old browser, another client, or a browser that withholds the origin (`Origin: null`), as for `no-referrer` pages. */
  | 'unknown';

/**
 * By Fetch Metadata (`Sec-Fetch-Site`) and by `Origin` (RFC 6454, section 7). The former is sent over TLS and to localhost only; the latter
 * is compared with the origin of the request's target, as the framework reports it (`trust proxy`, `trustProxy`).
 */
export function originKindOf(request: PlatformRequest, allowedOrigins: ReadonlySet<string>): RequestOrigin {
  const { headers } = rawRequestOf(request);
  const { origin } = headers;
  if (origin !== undefined && allowedOrigins.has(origin)) return 'own';
  switch (headers['sec-fetch-site']) {
    case 'same-origin':
      return 'own';
    case 'cross-site':
    case 'same-site':
      return 'foreign';
  }
  if (origin === undefined || origin === 'null') return 'unknown';
  return origin === targetOf(request) ? 'own' : 'foreign';
}

/** The origin to which the request is addressed; `null` if not known. */
function targetOf(request: PlatformRequest): string | null {
  const target = `${request.protocol ?? 'http'}://${request.host ?? rawRequestOf(request).headers.host ?? ''}`;
  const origin = URL.canParse(target) ? new URL(target).origin : 'null';
  // A non-standard scheme from a proxy has no origin in the URL standard.
  return origin === 'null' ? null : origin;
}
