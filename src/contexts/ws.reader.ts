import type { ExecutionContext } from '@nestjs/common';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';
import { readSocket } from './socket-request.js';

/** Stands for one message among the arguments of its handler. */
class Message {
  readonly isMessage = true;
}

/** A message to a WebSocket gateway: its connection is the socket. */
export const wsReader: ContextReader = {
  type: 'ws',
  read(context: ExecutionContext): ContextRequest | null {
    const connection = readSocket(context.getArgByIndex<unknown>(0));
    return connection && { ...connection, message: messageOf(context) };
  },
};

/**
 * Guards and interceptors of one message share the array of its arguments, and decorators of parameters get a copy of it. None of the arguments is
 * certain to be an object of this message alone, so one is added, before the last: Nest takes the last one for the name of the event.
 */
function messageOf(context: ExecutionContext): object {
  const args = context.getArgs<unknown[]>();
  const known = args.find((arg): arg is Message => arg instanceof Message);
  if (known !== undefined) return known;
  const message = new Message();
  args.splice(Math.max(args.length - 1, 1), 0, message);
  return message;
}
