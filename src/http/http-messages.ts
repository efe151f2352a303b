import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';

import type { RequestClient } from './client-identity.js';

/** What a request of either platform offers. Fastify wraps Node's request as `raw`, Express extends it. */
export interface PlatformRequest {
  /** Of Node's own request too, which a middleware may hand in. */
  readonly headers?: IncomingHttpHeaders;
  /** Of Fastify. On a request of Express, anybody may have put anything there, such as a body as it came. */
  readonly raw?: unknown;
  /** The client's address as the framework tells it by its own proxy settings. */
  readonly ip?: string;
  /** `http` or `https`, likewise. */
  readonly protocol?: string;
  /** What the client takes us for, with a port that is not the default; likewise. */
  readonly host?: string;
  /** As the framework has parsed it. */
  readonly body?: unknown;
}

/** What a response of either platform offers. */
export interface PlatformResponse {
  /** Of Fastify, as for a request. */
  readonly raw?: unknown;
  /** Of Express. */
  readonly headersSent?: boolean;
}

export function rawRequestOf(request: PlatformRequest): IncomingMessage {
  return ('rawHeaders' in request ? request : (request.raw ?? request)) as IncomingMessage;
}

export function rawResponseOf(response: PlatformResponse): ServerResponse {
  return ('writeHead' in response ? response : (response.raw ?? response)) as ServerResponse;
}

/** Who asks, for the bindings and the events. */
export function clientOf(request: PlatformRequest): RequestClient {
  const raw = rawRequestOf(request);
  const ipAddress = request.ip;
  // A socket that is closed does not know its other end any more.
  const hasGone = ipAddress === undefined && raw.socket.destroyed;
  return { ipAddress, userAgent: raw.headers['user-agent'] ?? '', hasGone };
}
