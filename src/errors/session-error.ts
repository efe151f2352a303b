import { HttpException, HttpStatus } from '@nestjs/common';

/** The machine-readable reason of an error. It goes to events and logs, and to the client only where the client can react to it. */
export type SessionErrorCode =
  | 'TOKEN_MISSING'
  | 'TOKEN_MALFORMED'
  | 'TOKEN_FORGED'
  | 'TOKEN_EXPIRED'
  | 'TOKEN_AMBIGUOUS'
  | 'SESSION_NOT_FOUND'
  | 'SESSION_INVALIDATED'
  | 'SESSION_ANONYMOUS'
  | 'ROLE_MISSING'
  | 'PERMISSION_MISSING'
  | 'PROOF_TOO_OLD'
  | 'PROOF_METHOD_MISSING'
  | 'SESSION_ENDED'
  | 'SESSION_EXPIRED'
  | 'SESSION_ID_REPLACED'
  | 'INDEX_KEY_CHANGED'
  | 'BINDING_IP_MISMATCH'
  | 'BINDING_IP_UNKNOWN'
  | 'BINDING_USER_AGENT_MISMATCH'
  | 'CSRF_CROSS_SITE'
  | 'CSRF_TOKEN_MISSING'
  | 'CSRF_TOKEN_INVALID'
  | 'BACKEND_UNAVAILABLE'
  | 'BACKEND_TIMEOUT'
  | 'BACKEND_RECORD_NEWER'
  | 'CONFLICT'
  | 'SESSION_LIMIT'
  | 'DATA_NOT_STORABLE'
  | 'SESSION_TOO_LARGE'
  | 'USER_ID_CHANGED'
  | 'USAGE';

/** Options common to all errors of this module. */
export interface SessionErrorOptions {
  /** What led to this error. Never the original error of a driver, which may contain keys, payloads and passwords. */
  readonly cause?: unknown;
  /** Whether `code` is sent to the client, because the client can react to it. Default false. */
  readonly tellsCode?: boolean | undefined;
}

/**
 * The base of every error that this module throws. `message` explains the error to the developer and how to fix
 * it. `getResponse()`, the body that the client gets, contains only the status (ASVS 16.5.1), and `code` where the client can react to it.
 */
export abstract class SessionError extends HttpException {
  constructor(
    /** Machine-readable reason. */
    readonly code: SessionErrorCode,
    message: string,
    status: HttpStatus,
    { tellsCode = false, ...options }: SessionErrorOptions = {},
  ) {
    super({ statusCode: status, message: reasonPhrase(status), ...(tellsCode ? { code } : {}) }, status, options);
    this.message = message;
  }
}

/**
 * Whether an error means that a session is known to be absent or unusable (401). All other errors mean that this is not known, or that the session
 * is good and does not suffice for the route.
 */
export function isRefusal(error: unknown): error is SessionError {
  if (!(error instanceof SessionError) || error.getStatus() !== (HttpStatus.UNAUTHORIZED as number)) return false;
  return error.code !== 'PROOF_TOO_OLD' && error.code !== 'PROOF_METHOD_MISSING';
}

function reasonPhrase(status: HttpStatus): string {
  switch (status) {
    case HttpStatus.BAD_REQUEST:
      return 'Bad Request';
    case HttpStatus.PAYLOAD_TOO_LARGE:
      return 'Payload Too Large';
    case HttpStatus.UNAUTHORIZED:
      return 'Unauthorized';
    case HttpStatus.FORBIDDEN:
      return 'Forbidden';
    case HttpStatus.CONFLICT:
      return 'Conflict';
    case HttpStatus.SERVICE_UNAVAILABLE:
      return 'Service Unavailable';
    default:
      return 'Internal Server Error';
  }
}
