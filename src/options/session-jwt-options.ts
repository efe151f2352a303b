import { Matches } from 'class-validator';

import { IsNumberBetween } from './is-number-between.js';

/** Printable ASCII without spaces. A bound for each, so that every token fits in a cookie. */
const NAME = /^[\x21-\x7e]{1,200}$/;
const TEN_MINUTES_IN_SECONDS = 600;

/** What the tokens say of themselves when `tokenFormat` is `'jwt'`. A change of `issuer` or `audience` signs all users out. */
export class SessionJwtOptions {
  /** The claim `iss`; a token with another one is refused. Up to 200 characters. Default `nestjs-sessionx`. RFC 7519, section 4.1.1. */
  @Matches(NAME, { message: 'jwt.issuer is a name or URL of 1 to 200 printable ASCII characters without spaces' })
  issuer: string = 'nestjs-sessionx';

  /** The claim `aud`; a token with another one is refused. Up to 200 characters. Default `nestjs-sessionx`. RFC 7519, section 4.1.3. */
  @Matches(NAME, { message: 'jwt.audience is a name or URL of 1 to 200 printable ASCII characters without spaces' })
  audience: string = 'nestjs-sessionx';

  /**
   * Seconds by which `iat` and `nbf` may lie in the future, because the clocks of two servers differ; 0 to 600. `exp` has no leeway: at that
   * instant the session ends on the server too. Default 60.
   */
  @IsNumberBetween(0, TEN_MINUTES_IN_SECONDS, 'seconds', { name: 'jwt.leeway' })
  leeway: number = 60;
}
