import { Catch, type ArgumentsHost } from '@nestjs/common';
import { ApplicationConfig, BaseExceptionFilter } from '@nestjs/core';

import { SessionBackendError } from './errors/session-errors.js';
import { RETRY_AFTER_S } from './requests/session-responses.js';

/**
 * Tells clients and caches what a 503 of ours means, on routes where neither guard nor decorator of ours sees the response:
 * `SessionService` works there too. Filters of the application come before this one.
 */
@Catch(SessionBackendError)
export class BackendErrorFilter extends BaseExceptionFilter {
  constructor(config: ApplicationConfig) {
    super();
    // Of global filters, the one that was added first comes last. The application's are added after providers are made.
    config.addGlobalFilter(this);
  }

  override catch(error: SessionBackendError, host: ArgumentsHost): void {
    // In other contexts Nest responds where a filter returns nothing.
    if (host.getType() !== 'http') return;
    const adapter = this.httpAdapterHost?.httpAdapter;
    const response = host.getArgByIndex<unknown>(1);
    if (adapter !== undefined && !adapter.isHeadersSent(response)) {
      adapter.setHeader(response, 'Retry-After', String(RETRY_AFTER_S));
      adapter.setHeader(response, 'Cache-Control', 'no-store');
    }
    super.catch(error, host);
  }
}
