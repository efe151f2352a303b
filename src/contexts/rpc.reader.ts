import type { ExecutionContext } from '@nestjs/common';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';

/** The metadata of a gRPC call. */
interface GrpcMetadata {
  getMap(): Readonly<Record<string, unknown>>;
}

/** A message of a microservice: by gRPC, whose metadata are like the headers of HTTP. Other transports have no place that all of them use. */
export const rpcReader: ContextReader = {
  type: 'rpc',
  read(context: ExecutionContext): ContextRequest | null {
    const metadata = context.getArgByIndex<unknown>(1);
    if (!isGrpcMetadata(metadata)) return null;
    const headers = Object.fromEntries(
      Object.entries(metadata.getMap()).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
    return { request: { headers }, response: null, lifetime: 'request', message: metadata };
  },
};

export function isGrpcMetadata(value: unknown): value is GrpcMetadata {
  return typeof value === 'object' && value !== null && 'getMap' in value && typeof value.getMap === 'function';
}
