import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';

import { rawRequestOf, type PlatformRequest } from './http-messages.js';

/** The classes from which the frameworks make their requests, which know the proxies that the application trusts. */
interface Framework {
  /** Of Express: the prototype. */
  readonly request?: object;
}

/** The request that opened a connection, as the framework would see it. It never came to the framework: Node hands an upgrade to others. */
export function handshakeOf(request: PlatformRequest, application: object | null): PlatformRequest {
  const raw = rawRequestOf(request);
  const seen = request === raw && application !== null ? seenBy(application, raw) : request;
  const { headers, rawHeaders, method, url, socket } = raw;
  // Read now: the socket of a handshake by long polling closes long before the connection does, and then knows no address.
  return Object.assign({ headers, rawHeaders, method, url, socket }, addressesOf(seen, raw));
}

function addressesOf(seen: PlatformRequest, { socket, headers }: IncomingMessage): PlatformRequest {
  const ip = seen.ip ?? socket.remoteAddress;
  const protocol = seen.protocol ?? ((socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http');
  const host = seen.host ?? headers.host;
  return { protocol, ...(ip === undefined ? {} : { ip }), ...(host === undefined ? {} : { host }) };
}

function seenBy(application: object, raw: IncomingMessage): PlatformRequest {
  const { request: express } = application as Framework;
  if (typeof express === 'object') {
    const { headers, rawHeaders, method, url, socket } = raw;
    return Object.assign(Object.create(express) as object, {
      headers,
      rawHeaders,
      method,
      url,
      socket,
      app: application,
    });
  }
  // Fastify publishes the class only by this symbol. Without it the client is the peer of the socket, as with no trusted proxy.
  const symbol = Object.getOwnPropertySymbols(application).find(({ description }) => description === 'fastify.Request');
  const fastify = symbol === undefined ? undefined : (application as Record<symbol, unknown>)[symbol];
  if (typeof fastify !== 'function') return raw;
  return Object.create(fastify.prototype as object, { raw: { value: raw } }) as PlatformRequest;
}

/**
 * A message without HTTP, in the form of a request: for it has headers, or what its reader gives as such. Clients make them, so they may be anything;
 * some libraries keep text in buffers.
 */
export function messageRequest(given: object): PlatformRequest {
  if ('rawHeaders' in given || 'raw' in given) return given as PlatformRequest;
  const { headers, ip } = given as { readonly headers?: unknown; readonly ip?: unknown };
  const lines = Object.entries(headers ?? {}).map(([name, value]): readonly [string, readonly string[]] => [
    name.toLowerCase(),
    [value].flat().flatMap(textOf),
  ]);
  const rawHeaders = lines.flatMap(([name, values]) => values.flatMap((value) => [name, value]));
  // As Node has them, except that it is known of each how many lines there are.
  const known = Object.fromEntries(lines.flatMap(([name, [first]]) => (first === undefined ? [] : [[name, first]])));
  const address = typeof ip === 'string' ? { ip } : {};
  return Object.assign({ headers: known, rawHeaders, socket: { destroyed: false } }, address);
}

function textOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return Buffer.isBuffer(value) ? [value.toString()] : [];
}
