import { throwError, type Observable } from 'rxjs';

import type { SessionError } from '../errors/session-error.js';
import { clientErrorOf, type ClientError } from './client-error.js';
import { isGrpcCall } from './rpc.reader.js';

/** The status codes of gRPC that say the same. */
const GRPC_CODES: ReadonlyMap<string, number> = new Map([
  ['BAD_REQUEST', 3],
  ['FORBIDDEN', 7],
  ['CONFLICT', 10],
  ['PAYLOAD_TOO_LARGE', 8],
  ['SERVICE_UNAVAILABLE', 14],
  ['UNAUTHENTICATED', 16],
]);
const GRPC_INTERNAL = 13;

/** A socket of socket.io, or of `ws`, which emits events to itself only. */
interface MessageSocket {
  readonly readyState?: unknown;
  send?: (text: string) => unknown;
  emit?: (event: string, payload: object) => unknown;
}

/** Sends the event `exception`, as Nest does for a `WsException`. The socket stays open. */
export function sendException(socket: MessageSocket, error: SessionError): void {
  const payload: ClientError & { readonly status: 'error' } = { status: 'error', ...clientErrorOf(error) };
  if (typeof socket.readyState === 'number') socket.send?.(JSON.stringify({ event: 'exception', data: payload }));
  else socket.emit?.('exception', payload);
}

/** What the client of a microservice gets, as for an `RpcException`. @param args those of the handler */
export function rpcExceptionOf(error: SessionError, args: readonly unknown[]): Observable<never> {
  const clientError = clientErrorOf(error);
  if (!isGrpcCall(args)) return throwError(() => ({ status: 'error', ...clientError }));
  const { code, message } = clientError;
  return throwError(() => ({ code: GRPC_CODES.get(code) ?? GRPC_INTERNAL, message, details: message }));
}
