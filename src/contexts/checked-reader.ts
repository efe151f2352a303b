import { HttpException, type ExecutionContext } from '@nestjs/common';

import { messageOf } from '../errors/message-of.js';
import { SessionUsageError } from '../errors/session-errors.js';
import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';
import { isObject } from '../is-object.js';
import { isUnwantedPromise } from '../unwanted-promise.js';

/** A reader of the application, whose mistakes are reported as such. */
export function checkedReader(reader: ContextReader): ContextReader {
  return { type: reader.type, read: (context) => read(reader, context) };
}

/** @throws SessionUsageError; what the reader throws for the client */
function read(reader: ContextReader, context: ExecutionContext): ContextRequest | null {
  const found = resultOf(reader, context);
  if (found === null) return null;
  const fault = faultIn(found);
  if (fault !== null) {
    throw new SessionUsageError(
      `The ContextReader of the option contexts for the type "${reader.type}" returned ${fault}. It has to return { request, response, token, lifetime }, or null for what it does not know.`,
    );
  }
  const { token, ...rest } = found as Omit<ContextRequest, 'token'> & { readonly token?: unknown };
  if (token === undefined || token === null) return rest;
  // Clients send tokens, and so anything in their place, which no session has.
  return { ...rest, token: typeof token === 'string' ? token : '' };
}

function resultOf(reader: ContextReader, context: ExecutionContext): unknown {
  try {
    return reader.read(context);
  } catch (error) {
    if (isForClient(error)) throw error;
    throw new SessionUsageError(
      `The ContextReader of the option contexts for the type "${reader.type}" has thrown: ${messageOf(error)}. A client may send anything, so let it return null, or a request without a token, where it finds none.`,
      { cause: error },
    );
  }
}

/** `HttpException`, or `RpcException` and `WsException`, whose packages an application may not have. */
function isForClient(error: unknown): boolean {
  return error instanceof HttpException || (error instanceof Error && 'getError' in error);
}

/** What is wrong with what a reader has returned; `null`: nothing. */
function faultIn(found: unknown): string | null {
  if (typeof found !== 'object' || found === null) return found === undefined ? 'nothing' : 'no object';
  if (isUnwantedPromise(found)) return 'a promise';
  const { request, response, token, lifetime, connection, message } = found as Readonly<Record<string, unknown>>;
  if (!isObject(request)) return 'no request that is an object';
  if (lifetime !== 'request' && lifetime !== 'connection')
    return 'a lifetime that is neither "request" nor "connection"';
  if (response !== undefined && response !== null && !isObject(response)) return 'a response that is no object';
  if (lifetime === 'request' && response !== null && token !== undefined && token !== null)
    return 'a token beside a request that has a response, whose token is in its headers';
  if (connection !== undefined && !isObject(connection)) return 'a connection that is no object';
  if (message !== undefined && !isObject(message)) return 'a message that is no object';
  return null;
}
