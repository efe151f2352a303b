import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { ApplicationConfig, BaseExceptionFilter } from '@nestjs/core';

import { GraphqlSessionError } from './contexts/graphql-error.js';
import { rpcExceptionOf, sendException } from './contexts/message-error.js';
import { SessionError } from './errors/session-error.js';
import { SessionBackendError } from './errors/session-errors.js';
import { RETRY_AFTER_S } from './requests/session-response-writer.js';

/**
 * Gives our errors the form of their context. Filters of the application come before this one.
 *
 * HTTP: tells clients and caches what a 503 of ours means, on routes where neither guard nor decorator of ours sees the response, as
 * `SessionService` works there too. GraphQL and messages: what the client is told, and a code.
 */
@Catch(SessionError)
export class SessionErrorFilter extends BaseExceptionFilter {
  constructor(config: ApplicationConfig) {
    super();
    // Of global filters, the one that was added first comes last. The application's are added after providers are made.
    config.addGlobalFilter(this);
  }

  override catch(error: SessionError, host: ArgumentsHost): unknown {
    switch (host.getType<string>()) {
      case 'http':
        if (error instanceof SessionBackendError) this.#explainOutage(host);
        super.catch(error, host);
        return;
      case 'graphql':
        // What a filter returns is the result of the resolver, and an error as a result is one that was thrown.
        return new GraphqlSessionError(error);
      default:
        return explainMessage(error, host);
    }
  }

  #explainOutage(host: ArgumentsHost): void {
    const adapter = this.httpAdapterHost?.httpAdapter;
    const response = host.getArgByIndex<unknown>(1);
    if (adapter === undefined || adapter.isHeadersSent(response)) return;
    adapter.setHeader(response, 'Retry-After', String(RETRY_AFTER_S));
    adapter.setHeader(response, 'Cache-Control', 'no-store');
  }
}

/** The same for messages. Nest gives gateways no global filters, nor microservices of an application that has HTTP too: `MessageHandlers` puts it there. */
@Catch(SessionError)
export class SessionMessageErrorFilter implements ExceptionFilter {
  catch(error: SessionError, host: ArgumentsHost): unknown {
    return explainMessage(error, host);
  }
}

function explainMessage(error: SessionError, host: ArgumentsHost): unknown {
  switch (host.getType<string>()) {
    case 'ws':
      sendException(host.getArgByIndex<object>(0), error);
      return undefined;
    case 'rpc':
      return rpcExceptionOf(error, host.getArgs<unknown[]>());
    default:
      // In other contexts Nest responds where a filter returns nothing.
      return undefined;
  }
}
