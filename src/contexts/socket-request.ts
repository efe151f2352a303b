import type { IncomingMessage } from 'node:http';

import { PrivateSlot } from '../http/private-slot.js';
import type { ContextRequest } from '../options/context-reader.interface.js';

/** A socket of socket.io, as far as its handshake is concerned. */
interface SocketIoSocket {
  readonly request: IncomingMessage;
  readonly handshake: { readonly auth?: { readonly token?: unknown } | null };
}

const upgradeRequests = new PrivateSlot<IncomingMessage>();

/** Keeps the request that opened `socket`, for libraries whose sockets do not know it, such as `ws`. */
export function keepUpgradeRequest(socket: object, request: IncomingMessage): void {
  upgradeRequests.set(socket, request);
}

/**
 * What opened a connection, by its socket: of socket.io, or of `ws` behind an adapter that keeps it.
 *
 * @returns `null` for anything else
 */
export function readSocket(socket: unknown): ContextRequest | null {
  if (typeof socket !== 'object' || socket === null) return null;
  const connection = { lifetime: 'connection', response: null, connection: socket } as const;
  if (isSocketIo(socket)) {
    const token = socket.handshake.auth?.token;
    const { request } = socket;
    return typeof token === 'string' && token !== '' ? { ...connection, request, token } : { ...connection, request };
  }
  const request = upgradeRequests.get(socket);
  return request === undefined ? null : { ...connection, request };
}

function isSocketIo(socket: object): socket is SocketIoSocket {
  const { handshake, request } = socket as { readonly handshake?: unknown; readonly request?: unknown };
  return typeof handshake === 'object' && handshake !== null && typeof request === 'object' && request !== null;
}
