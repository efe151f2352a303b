import { HttpStatus } from '@nestjs/common';

import { SessionError, type SessionErrorCode, type SessionErrorOptions } from './session-error.js';

/** No token, or one that does not verify. 401. */
export class SessionTokenError extends SessionError {
  constructor(
    code: 'TOKEN_MISSING' | 'TOKEN_MALFORMED' | 'TOKEN_FORGED' | 'TOKEN_EXPIRED' | 'TOKEN_AMBIGUOUS',
    message: string,
  ) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/** The session does not exist: it never did, has ended, or was revoked. 401. */
export class SessionNotFoundError extends SessionError {
  constructor(
    message = 'There is no such session: it has expired, was logged out, or never existed.',
    code: 'SESSION_NOT_FOUND' | 'SESSION_ENDED' = 'SESSION_NOT_FOUND',
  ) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/** The session is past its idle or absolute expiry. 401. */
export class SessionExpiredError extends SessionError {
  constructor(message = 'The session has expired.') {
    super('SESSION_EXPIRED', message, HttpStatus.UNAUTHORIZED);
  }
}

/** The session was ended by `invalidateSession()`, was made under another `indexKey`, or has no user where one is wanted. 401. */
export class SessionInvalidError extends SessionError {
  constructor(code: 'SESSION_INVALIDATED' | 'INDEX_KEY_CHANGED' | 'SESSION_ANONYMOUS', message: string) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/** The session is bound to another network address or User-Agent. 401. */
export class SessionSecurityError extends SessionError {
  constructor(code: 'BINDING_IP_MISMATCH' | 'BINDING_USER_AGENT_MISMATCH', message: string) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/** Another site may have made the browser send this request, for which the cookie spoke. 403, and the client is told the code. */
export class SessionCsrfError extends SessionError {
  constructor(code: 'CSRF_CROSS_SITE' | 'CSRF_TOKEN_MISSING' | 'CSRF_TOKEN_INVALID', message: string) {
    super(code, message, HttpStatus.FORBIDDEN, { tellsCode: true });
  }
}

/** The store failed, so nothing is known about the session. 503, never 401. */
export class SessionBackendError extends SessionError {
  constructor(
    code: 'BACKEND_UNAVAILABLE' | 'BACKEND_TIMEOUT' | 'BACKEND_RECORD_NEWER',
    message: string,
    options?: SessionErrorOptions,
  ) {
    super(code, message, HttpStatus.SERVICE_UNAVAILABLE, options);
  }
}

/** Somebody else's change won and a retry could not merge it in time, or a login lost its race. 409, and the client is told the code. */
export class SessionConflictError extends SessionError {
  constructor(message: string, code: Extract<SessionErrorCode, 'CONFLICT' | 'SESSION_LIMIT'> = 'CONFLICT') {
    super(code, message, HttpStatus.CONFLICT, { tellsCode: true });
  }
}

/** A value that cannot be stored without changing it. 500: the application has to mend it. */
export class SessionDataError extends SessionError {
  constructor(
    message: string,
    /** Where the value stands, such as `data.cart[2].price`. */
    readonly path: string,
    code: 'DATA_NOT_STORABLE' | 'USER_ID_CHANGED' = 'DATA_NOT_STORABLE',
  ) {
    super(code, message, HttpStatus.INTERNAL_SERVER_ERROR);
  }
}

/** The module was called in a way that cannot work; the message says what to do instead. 500. */
export class SessionUsageError extends SessionError {
  constructor(message: string) {
    super('USAGE', message, HttpStatus.INTERNAL_SERVER_ERROR);
  }
}
