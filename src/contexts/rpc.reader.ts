import type { ExecutionContext } from '@nestjs/common';
import { isIP } from 'node:net';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';

/** The metadata of a gRPC call. */
interface GrpcMetadata {
  getMap(): Readonly<Record<string, unknown>>;
  get(key: string): readonly unknown[];
}

/** A message of a microservice: by gRPC, whose metadata are like the headers of HTTP. Other transports have no place that all of them use. */
export const rpcReader: ContextReader = {
  type: 'rpc',
  read: (context: ExecutionContext): ContextRequest | null => readCall(context.getArgs<unknown[]>()),
};

/** @param args of a handler; or the metadata of a call, or the call, alone */
export function readCall(args: readonly unknown[]): ContextRequest | null {
  const call = callOf(args);
  if (call === null) return null;
  const { metadata, peer } = call;
  // Each value, as two tokens are refused.
  const headers = Object.fromEntries(Object.keys(metadata.getMap()).map((key) => [key, metadata.get(key)]));
  const ip = addressIn(peer);
  return {
    request: ip === null ? { headers } : { headers, ip },
    response: null,
    lifetime: 'request',
    message: metadata,
  };
}

/** The arguments are the message, its metadata and the call; or the call alone, where the handler gets it whole. */
function callOf([first, second, third]: readonly unknown[]): { metadata: GrpcMetadata; peer: unknown } | null {
  if (isGrpcMetadata(second)) return { metadata: second, peer: third };
  if (isGrpcMetadata(first)) return { metadata: first, peer: null };
  const { metadata } = (first ?? {}) as { readonly metadata?: unknown };
  return isGrpcMetadata(metadata) ? { metadata, peer: first } : null;
}

/** `127.0.0.1:40000`; nothing else of a path, for a socket of Unix. */
function addressIn(call: unknown): string | null {
  const { getPeer } = (call ?? {}) as { readonly getPeer?: unknown };
  if (typeof getPeer !== 'function') return null;
  const peer: unknown = getPeer.call(call);
  if (typeof peer !== 'string') return null;
  const host = peer.slice(0, peer.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  return isIP(host) === 0 ? null : host;
}

/** Whether the arguments of a handler are those of a gRPC call. */
export function isGrpcCall(args: readonly unknown[]): boolean {
  return callOf(args) !== null;
}

function isGrpcMetadata(value: unknown): value is GrpcMetadata {
  return (
    typeof value === 'object' &&
    value !== null &&
    'getMap' in value &&
    typeof value.getMap === 'function' &&
    'get' in value &&
    typeof value.get === 'function'
  );
}
