import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';

import type { RequestClient } from './client-identity.js';

/** The parts of a request that both platforms have. Fastify wraps Node's request as `raw`, Express extends it. */
export interface PlatformRequest {
  /** Node's own request has them too, which a middleware may pass in. */
  readonly headers?: IncomingHttpHeaders;
  /** Node's request, on Fastify. On Express it may be anything that a middleware has stored there, such as the body as it was sent. */
  readonly raw?: unknown;
  /** The client's address, which the framework determines by its own proxy settings. */
  readonly ip?: string;
  /** `http` or `https`, by the same settings. */
  readonly protocol?: string;
  /** The host that the client has called, with its port unless that is the default; by the same settings. */
  readonly host?: string;
  /** The body that the framework has parsed. */
  readonly body?: unknown;
}

/** The parts of a response that both platforms have. */
export interface PlatformResponse {
  /** Node's response, on Fastify. */
  readonly raw?: unknown;
  /** On Express. */
  readonly headersSent?: boolean;
}

export function rawRequestOf(request: PlatformRequest): IncomingMessage {
  return ('rawHeaders' in request ? request : (request.raw ?? request)) as IncomingMessage;
}

/**
 * What carries the private slots of a request: the array of its raw headers. On the request itself they would cost more: Express sets the
 * prototype of each, after which no two share a hidden class. Several requests may share the array, so what is found there has to be looked at.
 */
export function slotOf(request: Partial<Pick<IncomingMessage, 'rawHeaders'>>): object {
  return request.rawHeaders ?? request;
}

/** Whether two objects are one request: a copy or a proxy has the headers of its original, unless it was made for others. */
export function isSameRequest(one: IncomingMessage, other: IncomingMessage): boolean {
  return one === other || (one.rawHeaders === other.rawHeaders && one.headers === other.headers);
}

export function rawResponseOf(response: PlatformResponse): ServerResponse {
  return ('writeHead' in response ? response : (response.raw ?? response)) as ServerResponse;
}

/** The client of a request, for bindings and events. */
export function clientOf(request: PlatformRequest): RequestClient {
  const raw = rawRequestOf(request);
  const ipAddress = request.ip;
  // A closed socket no longer knows the address of its peer.
  const hasGone = ipAddress === undefined && raw.socket.destroyed;
  return { ipAddress, userAgent: raw.headers['user-agent'] ?? '', hasGone };
}
