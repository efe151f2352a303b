/** A token of RFC 9110. With the longest token of 4,000 characters it stays below the 4,096 bytes that browsers keep. */
export const COOKIE_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;

/** RFC 6265bis, section 4.1.1, less the characters that a browser would not take either. */
export const COOKIE_DOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/i;

export const COOKIE_PATH = /^\/[\x21-\x3a\x3c-\x7e]{0,255}$/;

/** Whether browsers take a cookie of this name with `Path=/` and without `Domain` only (RFC 6265bis, section 4.1.3.2). */
export function hasHostPrefix(name: string): boolean {
  return /^__host-/i.test(name);
}

/** Whether browsers take a cookie of this name with `Secure` only. They compare prefixes without regard to case. */
export function hasSecurePrefix(name: string): boolean {
  return /^__(?:secure|host|http)-/i.test(name);
}
