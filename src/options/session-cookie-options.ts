import { IsIn, IsOptional, Matches } from 'class-validator';

import { COOKIE_DOMAIN, COOKIE_PATH } from './cookie-attributes.js';
import { AreFormerCookies, type FormerCookie } from './former-cookies.js';
import { IsCookieName } from './is-cookie-name.js';
import { IsTrueOrFalse } from './is-true-or-false.js';

/** The cookie that carries the token when `'cookie'` is in `tokenSourcePriority`. HttpOnly always; it never outlives the session. */
export class SessionCookieOptions {
  /**
   * At most 64 characters. With the prefix `__Host-` a browser accepts it only from this host over TLS, and no other host of the domain can
   * replace it. The rules of `__Host-Http-`, `__Secure-` and `__Http-` are checked too. Default `__Host-session` (ASVS 3.3.3).
   */
  @IsCookieName()
  name: string = '__Host-session';

  /** The part of the site that it is sent to. Default `/`, which `__Host-` requires. */
  @Matches(COOKIE_PATH, {
    message: 'cookie.path begins with / and has no spaces, semicolons, ? and #, at most 256 characters',
  })
  path: string = '/';

  /** Sent to this domain and all below it. Default: this host only, which `__Host-` requires. */
  @IsOptional()
  @Matches(COOKIE_DOMAIN, { message: 'cookie.domain is the name of a domain, such as example.com' })
  domain?: string;

  /** Whether requests from other sites carry it. `'none'` is for embedded pages, and needs `secure`. Default `'lax'`. */
  @IsIn(['lax', 'strict', 'none'], { message: "cookie.sameSite must be 'lax', 'strict' or 'none'" })
  sameSite: 'lax' | 'strict' | 'none' = 'lax';

  /** Only over TLS; most browsers accept localhost too. Default true (ASVS 3.3.1). */
  @IsTrueOrFalse('cookie.secure')
  secure: boolean = true;

  /** One cookie jar for each site that embeds this one (CHIPS). Needs `secure`. Default false. */
  @IsTrueOrFalse('cookie.partitioned')
  partitioned: boolean = false;

  /**
   * Which cookies outlive the browser: only those of sessions with `remember: true`, or `'always'` all of them, each until its session ends.
   * Without `Max-Age` the browser removes the cookie when it is closed (RFC 6265bis, section 5.7). Default `'remembered'`.
   */
  @IsIn(['remembered', 'always'], { message: "cookie.persistent must be 'remembered' or 'always'" })
  persistent: 'remembered' | 'always' = 'remembered';

  /**
   * Cookies of earlier configurations with another `name`, `domain` or `path`, which browsers keep beside the present one. They are cleared
   * whenever a response clears cookies. The present cookie with and without `domain` and `partitioned` need not be listed. At most 8. Default: none.
   */
  @IsOptional()
  @AreFormerCookies()
  former?: readonly FormerCookie[];
}
