/** A token of RFC 9110. With the longest token of 4,000 characters the cookie stays below the limit of browsers, 4,096 bytes. */
export const COOKIE_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;

/** RFC 6265bis, section 4.1.1, without the characters that browsers refuse. */
export const COOKIE_DOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/i;

export const COOKIE_PATH = /^\/[\x21\x22\x24-\x3a\x3c-\x3e\x40-\x7e]{0,255}$/;

/** Whether browsers accept a cookie of this name only with `Path=/` and without `Domain` (RFC 6265bis, section 4.1.3.2). */
export function hasHostPrefix(name: string): boolean {
  return /^__host-/i.test(name);
}

/** Whether browsers accept a cookie of this name only with `Secure`. They compare prefixes case-insensitively. */
export function hasSecurePrefix(name: string): boolean {
  return /^__(?:secure|host|http)-/i.test(name);
}
