import type { ExecutionContext } from '@nestjs/common';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';
import { readSocket } from './socket-request.js';

/** A message to a WebSocket gateway: its connection is the socket. */
export const wsReader: ContextReader = {
  type: 'ws',
  read: (context: ExecutionContext): ContextRequest | null => readSocket(context.getArgByIndex<unknown>(0)),
};
