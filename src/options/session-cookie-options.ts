import { IsBoolean, IsIn, IsOptional, Matches } from 'class-validator';

import { IsCookieName } from './is-cookie-name.js';

/** RFC 6265bis, section 4.1.1, less the characters that a browser would not take either. */
const DOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/i;
const PATH = /^\/[\x21-\x3a\x3c-\x7e]{0,255}$/;

/** The cookie that carries the token when `'cookie'` is in `tokenSourcePriority`. HttpOnly always; it lives as long as the session. */
export class SessionCookieOptions {
  /**
   * At most 64 characters. With the prefix `__Host-` a browser takes it from this host over TLS only, which no other host of the domain can
   * replace; `__Host-Http-`, `__Secure-` and `__Http-` are held to their rules too. Default `__Host-session` (ASVS 3.3.3).
   */
  @IsCookieName()
  name: string = '__Host-session';

  /** The part of the site that it is sent to. Default `/`, which `__Host-` asks for. */
  @Matches(PATH, { message: 'cookie.path begins with / and has no spaces and semicolons, at most 256 characters' })
  path: string = '/';

  /** Sent to this domain and all below it. Default: to this host alone, which `__Host-` asks for. */
  @IsOptional()
  @Matches(DOMAIN, { message: 'cookie.domain is the name of a domain, such as example.com' })
  domain?: string;

  /** Whether requests from other sites carry it. `'none'` is for embedded pages, and needs `secure`. Default `'lax'`. */
  @IsIn(['lax', 'strict', 'none'], { message: "cookie.sameSite must be 'lax', 'strict' or 'none'" })
  sameSite: 'lax' | 'strict' | 'none' = 'lax';

  /** Only over TLS; browsers take localhost for safe too. Default true (ASVS 3.3.1). */
  @IsBoolean({ message: 'cookie.secure must be true or false' })
  secure: boolean = true;

  /** One cookie jar for each site that embeds this one (CHIPS). Needs `secure`. Default false. */
  @IsBoolean({ message: 'cookie.partitioned must be true or false' })
  partitioned: boolean = false;
}
