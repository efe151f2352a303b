import type { ExecutionContext } from '@nestjs/common';

import { SessionError } from '../errors/session-error.js';
import { GraphqlSessionError } from './graphql-error.js';

/** Whether a resolver is that of a field of an object. Nest calls no filters for it, unless `fieldResolverEnhancers` has `'filters'`. */
function isField(context: ExecutionContext): boolean {
  if (context.getType<string>() !== 'graphql') return false;
  const { path } = (context.getArgByIndex<unknown>(3) ?? {}) as { readonly path?: { readonly prev?: unknown } };
  return path?.prev !== undefined;
}

/** What to throw for `error`: without a filter, clients get the message of what a field throws, and the message of ours is for the developer. */
export function errorIn(context: ExecutionContext, error: unknown): unknown {
  if (!(error instanceof SessionError) || !isField(context)) return error;
  const { message, extensions } = new GraphqlSessionError(error);
  const status = error.getStatus();
  return Object.create(error, {
    message: { value: message },
    stack: { value: `${error.name}: ${message}` },
    extensions: { value: extensions },
    // Apollo would take the message of an HttpException that has a status, and know no code for a 503.
    status: { value: undefined },
    getStatus: { value: () => status },
  }) as unknown;
}

/** The same for a promise. */
export function settledIn<T>(context: ExecutionContext, settling: Promise<T>): Promise<T> {
  if (!isField(context)) return settling;
  return settling.catch((error: unknown) => {
    throw errorIn(context, error);
  });
}
