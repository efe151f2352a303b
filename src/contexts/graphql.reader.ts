import type { ExecutionContext } from '@nestjs/common';

import { PrivateSlot } from '../http/private-slot.js';
import { isObject } from '../is-object.js';
import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';
import { messageIn } from './message-in.js';

/** What is put into the context of an operation, by the usual names. */
interface GraphqlContext extends Readonly<Record<string, unknown>> {
  /** By Apollo and Mercurius, as Nest sets them up. For an operation over a WebSocket Nest puts here what graphql-ws knows of the connection. */
  readonly req?: unknown;
  readonly res?: unknown;
  /** By applications, in a context of their own; by Mercurius over a WebSocket. */
  readonly request?: unknown;
  readonly response?: unknown;
  /** By Mercurius. */
  readonly reply?: unknown;
  /** By graphql-ws: its `request` opened the connection. */
  readonly extra?: unknown;
  /** What the client has sent to open the connection: by graphql-ws, by Mercurius. */
  readonly connectionParams?: unknown;
  readonly _connectionInit?: unknown;
}

const BEARER = /^bearer(?: +(.*))?$/is;

/** The operation that was last seen with a context. */
const operations = new PrivateSlot<object>();

/** By what a client has sent to open its connection. */
const tokens = new PrivateSlot<{ readonly headerName: string; readonly token: string | undefined }>();

/** The request behind a resolver. All resolvers of one operation have the same. */
export class GraphqlReader implements ContextReader {
  readonly type = 'graphql';

  /** @param headerName of the session token, in lower case */
  constructor(private readonly headerName: string) {}

  read(resolver: ExecutionContext): ContextRequest | null {
    const context = contextOf(resolver);
    if (context === null) return null;
    const request = requestIn(context);
    if (request === null || isUpgrade(request)) {
      const operation = messageIn(resolver);
      if (operation !== undefined) operations.set(context, operation);
      return readOperation(context, this.headerName) ?? readHeaders(context);
    }
    const response = context.res ?? context.response ?? context.reply;
    return isResponse(response) ? { request, response, lifetime: 'request' } : { request, lifetime: 'request' };
  }
}

/** The arguments of a resolver; a reference of a federated schema is resolved without the second. */
function contextOf(resolver: ExecutionContext): GraphqlContext | null {
  const [, second, third, ...others] = resolver.getArgs<unknown[]>();
  const context = others.length === 0 && isObject(third) && 'variableValues' in third ? second : third;
  return isObject(context) ? context : null;
}

/**
 * An operation over a WebSocket.
 *
 * @param subject the context of an operation, or the request that opened the connection
 * @returns `null` for anything else
 */
export function readOperation(subject: object, headerName: string): ContextRequest | null {
  const context = subject as GraphqlContext;
  const request = isUpgrade(subject) ? subject : requestIn(context);
  if (request === null || !isUpgrade(request)) return null;
  const token = tokenIn(paramsIn(context), headerName);
  const message = operations.get(subject);
  return {
    request,
    response: null,
    lifetime: 'connection',
    connection: rawOf(request) ?? request,
    ...(token === undefined ? {} : { token }),
    ...(message === undefined ? {} : { message }),
  };
}

/** An application may make a request of what the client has sent to open the connection. */
function readHeaders({ req, request = req }: GraphqlContext): ContextRequest | null {
  if (!isObject(request) || !isObject(request.headers)) return null;
  return { request, response: null, lifetime: 'request' };
}

/** The request of Node or of the framework, wherever it is. */
function requestIn(context: GraphqlContext): object | null {
  const { req, request, reply, extra } = context;
  const candidates = [req, request, inner(reply), inner(extra), isObject(req) ? inner(req.extra) : undefined];
  return candidates.find((candidate): candidate is object => rawOf(candidate) !== null) ?? null;
}

function inner(holder: unknown): unknown {
  return isObject(holder) ? holder.request : undefined;
}

function paramsIn({ connectionParams, _connectionInit, req }: GraphqlContext): unknown {
  return connectionParams ?? _connectionInit ?? (isObject(req) ? req.connectionParams : undefined);
}

/** Looked for once: a client may send megabytes of names when it connects, which must not cost anything at each of its operations. */
function tokenIn(params: unknown, headerName: string): string | undefined {
  if (!isObject(params)) return undefined;
  const known = tokens.get(params);
  if (known?.headerName === headerName) return known.token;
  const found = { headerName, token: findToken(params, headerName) };
  tokens.set(params, found);
  return found.token;
}

/** Clients write the names as they like, and may put headers into an object of their own. */
function findToken(params: Readonly<Record<string, unknown>>, headerName: string): string | undefined {
  const places = [params, params.headers].filter(isObject);
  const valueOf = (name: string): string | undefined => {
    for (const place of places) {
      const key = Object.keys(place).find((other) => other.length === name.length && other.toLowerCase() === name);
      if (key === undefined) continue;
      const value = place[key];
      return typeof value === 'string' && value !== '' ? value : undefined;
    }
    return undefined;
  };
  return valueOf(headerName) ?? tokenAfterScheme(valueOf('authorization'));
}

/** Other schemes are ignored. */
function tokenAfterScheme(value: string | undefined): string | undefined {
  const found = value === undefined ? null : BEARER.exec(value);
  return found === null ? undefined : (found[1] ?? '');
}

/** Node's request; `null`: it is none. */
function rawOf(request: unknown): Readonly<Record<string, unknown>> | null {
  if (!isObject(request)) return null;
  const raw = 'rawHeaders' in request ? request : request.raw;
  return isObject(raw) && 'rawHeaders' in raw ? raw : null;
}

/** Such a request has no response. */
function isUpgrade(request: object): boolean {
  return rawOf(request)?.upgrade === true;
}

function isResponse(value: unknown): value is object {
  return isObject(value) && ('writeHead' in value || 'raw' in value);
}
