import { Injectable, type ExecutionContext } from '@nestjs/common';

import { SessionUsageError } from '../errors/session-errors.js';
import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';
import { SessionOptions } from '../options/session-options.js';
import { checkedReader } from './checked-reader.js';
import { GraphqlReader, readOperation } from './graphql.reader.js';
import { httpReader } from './http.reader.js';
import { messageIn } from './message-in.js';
import { readCall, rpcReader } from './rpc.reader.js';
import { readSocket } from './socket-request.js';
import { wsReader } from './ws.reader.js';

/** Knows what the request is in each type of context. */
@Injectable()
export class ContextReaders {
  readonly #headerName: string;
  readonly #byType: ReadonlyMap<string, readonly ContextReader[]>;

  constructor({ contexts, headerName }: SessionOptions) {
    this.#headerName = headerName.toLowerCase();
    const graphqlReader = new GraphqlReader(this.#headerName);
    const byType = new Map<string, ContextReader[]>();
    for (const reader of [...contexts.map(checkedReader), httpReader, graphqlReader, wsReader, rpcReader]) {
      byType.set(reader.type, [...(byType.get(reader.type) ?? []), reader]);
    }
    this.#byType = byType;
  }

  /** @returns `null` if no reader finds a request in `context` */
  read(context: ExecutionContext): ContextRequest | null {
    for (const reader of this.#byType.get(context.getType<string>()) ?? []) {
      const found = reader.read(context);
      if (found !== null) return isMessage(found) ? withMessage(found, context) : found;
    }
    return null;
  }

  /** The same for what a handler has instead: a socket, the request of an upgrade, the context of an operation, a call of gRPC or its metadata. */
  readSubject(subject: object): ContextRequest | null {
    return readSocket(subject) ?? readOperation(subject, this.#headerName) ?? readCall([subject]);
  }
}

/** Whether it is not about an HTTP request with its response. */
export function isMessage({ lifetime, response }: ContextRequest): boolean {
  return lifetime === 'connection' || response === null;
}

/** @throws SessionUsageError when messages of a connection cannot be told apart: the session of the first one would be that of all, also after its end */
function withMessage(found: ContextRequest, context: ExecutionContext): ContextRequest {
  const message = found.message ?? messageIn(context);
  if (message !== undefined) return { ...found, message };
  if (found.lifetime === 'request') return found;
  throw new SessionUsageError(
    `The ContextReader of the option contexts for the type "${context.getType<string>()}" returned a connection without a message. Here nothing else tells its messages apart: let it return one object for each in message.`,
  );
}
