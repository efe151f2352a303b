import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { catchError, finalize, tap, type Observable } from 'rxjs';

import type { FlashDelivery } from '../requests/flash-delivery.js';
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
    const { flash, gate } = request;
    flash.handlerBegins();
    return next.handle().pipe(
      tap(() => {
        if (gate !== null) flash.handlerReturns(gate.response.statusCode);
      }),
      catchError((error: unknown) => putBackThenThrow(flash, error)),
      finalize(() => {
        flash.handlerEnds();
      }),
    );
  }
}

async function putBackThenThrow(flash: FlashDelivery, error: unknown): Promise<never> {
  await flash.handlerThrew();
  throw error;
}
