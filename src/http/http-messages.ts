import type { IncomingMessage, ServerResponse } from 'node:http';

import type { ClientIdentity } from '../binding/session-binding.js';

/** What a request of either platform offers. Fastify wraps Node's request as `raw`, Express extends it. */
export interface PlatformRequest {
  readonly raw?: IncomingMessage;
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
  readonly raw?: ServerResponse;
}

export function rawRequestOf(request: PlatformRequest): IncomingMessage {
  return request.raw ?? (request as unknown as IncomingMessage);
}

export function rawResponseOf(response: PlatformResponse): ServerResponse {
  return response.raw ?? (response as unknown as ServerResponse);
}

/** Who asks, for the bindings and the events. */
export function clientOf(request: PlatformRequest): ClientIdentity {
  return { ipAddress: request.ip, userAgent: rawRequestOf(request).headers['user-agent'] ?? '' };
}

/** Method and path, for the log; a query may hold anything. */
export function placeOf(request: PlatformRequest): string {
  const { method, url } = rawRequestOf(request);
  return `${method ?? '?'} ${url?.split('?', 1)[0] ?? '?'}`;
}
