import { Matches } from 'class-validator';

import { AreOrigins } from './are-origins.js';
import { IsHeaderName } from './is-header-name.js';
import { IsTrueOrFalse } from './is-true-or-false.js';

const FIELD_NAME = /^(?!__proto__$)[A-Za-z_][\w-]{0,63}$/;

/** Which requests the protection against cross-site requests accepts; see `enableCsrf`. */
export class SessionCsrfOptions {
  /** Origins that may send unsafe requests, besides the application's own, such as `https://app.example.com`. Default none. */
  @AreOrigins()
  allowedOrigins: readonly string[] = [];

  /** Whether unsafe requests need the token even when the browser marks them as same-origin. Default false. */
  @IsTrueOrFalse('csrf.requireToken')
  requireToken: boolean = false;

  /** The header that carries the token in, and that of a new session out. Default `X-CSRF-Token`. */
  @IsHeaderName('csrf.headerName')
  headerName: string = 'X-CSRF-Token';

  /** The field of a form, or of a JSON body, that carries the token in. Default `_csrf`. */
  @Matches(FIELD_NAME, { message: 'csrf.fieldName is a name of letters, digits, hyphens and underscores, at most 64' })
  fieldName: string = '_csrf';
}
