import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { catchError, finalize, tap, type Observable } from 'rxjs';

import type { RequestSession } from '../requests/request-session.js';
import { RequestSessions } from '../requests/request-sessions.js';

/**
 * Tells the request how its handler ends: flash messages that were given to one that fails, or that is never called as a pipe refuses
 * another parameter, have to be put back. `@FlashMessages()` attaches it.
 */
@Injectable()
export class FlashInterceptor implements NestInterceptor {
  constructor(private readonly requests: RequestSessions) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = this.requests.of(context);
    request.handlerBegins();
    return next.handle().pipe(
      tap(() => {
        request.handlerReturns();
      }),
      catchError((error: unknown) => putBackThenThrow(request, error)),
      finalize(() => {
        request.handlerEnds();
      }),
    );
  }
}

async function putBackThenThrow(request: RequestSession, error: unknown): Promise<never> {
  await request.handlerFails();
  throw error;
}
