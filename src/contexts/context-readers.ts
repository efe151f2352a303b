import { Injectable, type ExecutionContext } from '@nestjs/common';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';
import { SessionOptions } from '../options/session-options.js';
import { graphqlReader } from './graphql.reader.js';
import { httpReader } from './http.reader.js';
import { rpcReader } from './rpc.reader.js';
import { wsReader } from './ws.reader.js';

/** Knows what the request is in each type of context. */
@Injectable()
export class ContextReaders {
  readonly #byType: ReadonlyMap<string, readonly ContextReader[]>;

  constructor({ contexts }: SessionOptions) {
    const byType = new Map<string, ContextReader[]>();
    for (const reader of [...contexts, httpReader, graphqlReader, wsReader, rpcReader]) {
      byType.set(reader.type, [...(byType.get(reader.type) ?? []), reader]);
    }
    this.#byType = byType;
  }

  /** @returns `null` if no reader finds a request in `context` */
  read(context: ExecutionContext): ContextRequest | null {
    for (const reader of this.#byType.get(context.getType<string>()) ?? []) {
      const found = reader.read(context);
      if (found !== null) return found;
    }
    return null;
  }
}
