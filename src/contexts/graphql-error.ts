import type { SessionError } from '../errors/session-error.js';
import { clientErrorOf } from './client-error.js';

/** The `extensions` of an error in a GraphQL response (GraphQL specification, section 7.1.2). */
interface GraphqlErrorExtensions {
  /** What the status would say in HTTP. */
  readonly code: string;
  /** The exact reason, where the client can react to it. */
  readonly reason?: string;
}

/** An error of ours as clients of GraphQL get it: the message of its status and a code, never the message for the developer. */
export class GraphqlSessionError extends Error {
  readonly extensions: GraphqlErrorExtensions;

  constructor(error: SessionError) {
    const { message, code, reason } = clientErrorOf(error);
    super(message);
    this.extensions = reason === undefined ? { code } : { code, reason };
  }
}
