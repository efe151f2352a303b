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

/** The `extensions` of an error in a GraphQL response (GraphQL specification, section 7.1.2). */
export interface GraphqlErrorExtensions {
  /** What the status would say in HTTP. */
  readonly code: string;
  /** The exact reason, where the client can react to it. */
  readonly reason?: string;
}

/** An error of ours as clients of GraphQL get it: the message of its status and a code, never the message for the developer. */
export class GraphqlSessionError extends Error {
  readonly extensions: GraphqlErrorExtensions;

  constructor(error: SessionError) {
    const { message, code } = error.getResponse() as { readonly message: string; readonly code?: string };
    super(message);
    this.extensions = {
      code: CODES.get(error.getStatus()) ?? 'INTERNAL_SERVER_ERROR',
      ...(code === undefined ? {} : { reason: code }),
    };
  }
}
