import { HttpStatus } from '@nestjs/common';

import type { SessionError } from '../errors/session-error.js';

/** As Apollo calls them, where it has a name. */
const CODES: ReadonlyMap<number, string> = new Map<HttpStatus, string>([
  [HttpStatus.BAD_REQUEST, 'BAD_REQUEST'],
  [HttpStatus.UNAUTHORIZED, 'UNAUTHENTICATED'],
  [HttpStatus.FORBIDDEN, 'FORBIDDEN'],
  [HttpStatus.CONFLICT, 'CONFLICT'],
  [HttpStatus.PAYLOAD_TOO_LARGE, 'PAYLOAD_TOO_LARGE'],
  [HttpStatus.SERVICE_UNAVAILABLE, 'SERVICE_UNAVAILABLE'],
]);

/** What a client gets of an error where there is no HTTP status: never the message for the developer. */
export interface ClientError {
  /** What the status would say in HTTP. */
  readonly code: string;
  readonly statusCode: number;
  /** The words of the status. */
  readonly message: string;
  /** The exact reason, where the client can react to it. */
  readonly reason?: string;
}

export function clientErrorOf(error: SessionError): ClientError {
  const { message, code } = error.getResponse() as { readonly message: string; readonly code?: string };
  const statusCode = error.getStatus();
  const clientError = { code: CODES.get(statusCode) ?? 'INTERNAL_SERVER_ERROR', statusCode, message };
  return code === undefined ? clientError : { ...clientError, reason: code };
}
