import { HttpStatus } from '@nestjs/common';

import { SessionError, type SessionErrorCode, type SessionErrorOptions } from './session-error.js';

/** The token is missing or invalid. 401. */
export class SessionTokenError extends SessionError {
  constructor(
    code: 'TOKEN_MISSING' | 'TOKEN_MALFORMED' | 'TOKEN_FORGED' | 'TOKEN_EXPIRED' | 'TOKEN_AMBIGUOUS',
    message: string,
  ) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/**
 * The token has expired (`TOKEN_EXPIRED`): the `exp` of a JWT has passed, or a `TokenSerializer` of the application says so. A session that has expired is a
 * {@link SessionNotFoundError}, because each store removes it at a time of its own. 401.
 */
export class SessionExpiredError extends SessionTokenError {
  constructor(message = 'The session token has expired.') {
    super('TOKEN_EXPIRED', message);
  }
}

/** The session does not exist: it never did, has expired, has ended, was revoked, or has another id by now. 401. */
export class SessionNotFoundError extends SessionError {
  constructor(
    message = 'There is no such session: it has expired, was logged out, or never existed.',
    code: 'SESSION_NOT_FOUND' | 'SESSION_ENDED' | 'SESSION_EXPIRED' | 'SESSION_ID_REPLACED' = 'SESSION_NOT_FOUND',
  ) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/** The session was ended by `invalidateSession()`, was created under another `indexKey`, or has no user where one is required. 401. */
export class SessionInvalidError extends SessionError {
  constructor(code: 'SESSION_INVALIDATED' | 'INDEX_KEY_CHANGED' | 'SESSION_ANONYMOUS', message: string) {
    super(code, message, HttpStatus.UNAUTHORIZED);
  }
}

/** The user of the session has none of the roles, or not all of the permissions, that the route requires. 403, and the code is sent to the client. */
export class SessionForbiddenError extends SessionError {
  constructor(code: 'ROLE_MISSING' | 'PERMISSION_MISSING', message: string) {
    super(code, message, HttpStatus.FORBIDDEN, { tellsCode: true });
  }
}

/** What a route requires of the last proof of identity. */
export interface RequiredProof {
  /** The most seconds since the proof. */
  readonly within: number;
  /** One of them must have been used. Empty: any method will do. */
  readonly methods: readonly string[];
}

/**
 * The session is good, and its user has to prove their identity again: the last proof is too old (`PROOF_TOO_OLD`), or was by another method
 * (`PROOF_METHOD_MISSING`). 401 with the challenge of RFC 9470, and the code is sent to the client.
 */
export class SessionStaleError extends SessionError {
  constructor(
    override readonly code: Extract<SessionErrorCode, 'PROOF_TOO_OLD' | 'PROOF_METHOD_MISSING'>,
    message: string,
    /** What the route requires. It is not in the body. */
    readonly required: RequiredProof,
  ) {
    super(code, message, HttpStatus.UNAUTHORIZED, { tellsCode: true });
  }
}

/** The session is bound to another network address or User-Agent, 401; or the client has disconnected, so that its address is not known, 503. */
export class SessionSecurityError extends SessionError {
  constructor(code: 'BINDING_IP_MISMATCH' | 'BINDING_IP_UNKNOWN' | 'BINDING_USER_AGENT_MISMATCH', message: string) {
    super(code, message, code === 'BINDING_IP_UNKNOWN' ? HttpStatus.SERVICE_UNAVAILABLE : HttpStatus.UNAUTHORIZED);
  }
}

/** Another site may have made the browser send this request, whose session token came from the cookie. 403, and the code is sent to the client. */
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

/** Another request changed the session first, and retries did not succeed in time, or another login was faster. 409, and the code is sent to the client. */
export class SessionConflictError extends SessionError {
  constructor(message: string, code: Extract<SessionErrorCode, 'CONFLICT' | 'SESSION_LIMIT'> = 'CONFLICT') {
    super(code, message, HttpStatus.CONFLICT, { tellsCode: true });
  }
}

/**
 * Why a value cannot be stored:
 *
 * - `value`: only the application can have created it, such as a `Date` or `undefined`. 500.
 * - `input`: a JSON body can hold it, such as a key `__proto__` or more than 100 levels. 400.
 * - `size`: the session would be larger than `maxSessionBytes`, or than what the store takes. 413.
 * - `user-id`: `userId` of a session was changed. 500.
 */
export type DataFault = 'value' | 'input' | 'size' | 'user-id';

/**
 * A value that cannot be stored without changing it. 500 if only the application can have created it; 400 or 413 if a client can have sent it,
 * and the code is sent to the client. The session is unchanged.
 */
export class SessionDataError extends SessionError {
  constructor(
    message: string,
    /** Where the value stands, such as `data.cart[2].price`. It is not sent to the client. */
    readonly path: string,
    fault: DataFault = 'value',
  ) {
    const { code, status, tellsCode } = describeFault(fault);
    super(code, message, status, { tellsCode });
  }
}

function describeFault(fault: DataFault): Pick<SessionError, 'code'> & { status: HttpStatus; tellsCode: boolean } {
  switch (fault) {
    case 'value':
      return { code: 'DATA_NOT_STORABLE', status: HttpStatus.INTERNAL_SERVER_ERROR, tellsCode: false };
    case 'input':
      return { code: 'DATA_NOT_STORABLE', status: HttpStatus.BAD_REQUEST, tellsCode: true };
    case 'size':
      return { code: 'SESSION_TOO_LARGE', status: HttpStatus.PAYLOAD_TOO_LARGE, tellsCode: true };
    case 'user-id':
      return { code: 'USER_ID_CHANGED', status: HttpStatus.INTERNAL_SERVER_ERROR, tellsCode: false };
    default:
      return fault satisfies never;
  }
}

/** The module was used in a wrong way; the message explains what to do instead. 500. */
export class SessionUsageError extends SessionError {
  constructor(message: string, options: Pick<SessionErrorOptions, 'cause'> = {}) {
    super('USAGE', message, HttpStatus.INTERNAL_SERVER_ERROR, options);
  }
}
