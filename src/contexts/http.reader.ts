import type { ExecutionContext } from '@nestjs/common';

import type { ContextReader, ContextRequest } from '../options/context-reader.interface.js';

/** The request and response that the framework gives a handler. */
export const httpReader: ContextReader = {
  type: 'http',
  read: (context: ExecutionContext): ContextRequest => ({
    // The same as switchToHttp() returns, without the three functions that it makes at each call.
    request: context.getArgByIndex<object>(0),
    response: context.getArgByIndex<object>(1),
    lifetime: 'request',
  }),
};
