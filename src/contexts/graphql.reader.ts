import type { ExecutionContext } from '@nestjs/common';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';

/** What is put into the context of an operation, by the usual names. */
interface GraphqlContext {
  /** By Apollo and Mercurius, as Nest sets them up. */
  readonly req?: unknown;
  readonly res?: unknown;
  /** By applications, in a context of their own. */
  readonly request?: unknown;
  readonly response?: unknown;
  /** By Mercurius. */
  readonly reply?: unknown;
}

/** The request behind a resolver of a query or a mutation. All resolvers of one operation have the same. */
export const graphqlReader: ContextReader = {
  type: 'graphql',
  read(resolver: ExecutionContext): ContextRequest | null {
    const context = resolver.getArgByIndex<GraphqlContext | null | undefined>(2);
    if (typeof context !== 'object' || context === null) return null;
    const request =
      context.req ?? context.request ?? (context.reply as { readonly request?: unknown } | undefined)?.request;
    if (!isRequest(request)) return null;
    const response = context.res ?? context.response ?? context.reply;
    return isResponse(response) ? { request, response, lifetime: 'request' } : { request, lifetime: 'request' };
  },
};

/** A request that asked for an upgrade has no response. */
function isRequest(value: unknown): value is object {
  if (!isObject(value)) return false;
  const raw = 'rawHeaders' in value ? value : value.raw;
  return isObject(raw) && 'rawHeaders' in raw && raw.upgrade !== true;
}

function isResponse(value: unknown): value is object {
  return isObject(value) && ('writeHead' in value || 'raw' in value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
