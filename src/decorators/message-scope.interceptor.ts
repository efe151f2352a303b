import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { catchError, concatMap, from, of, tap, throwError, type Observable } from 'rxjs';

import { MessageScope } from '../requests/message-scope.js';

/**
 * Stores what the handler of a gateway's message has changed before its reply, in whatever way it got the session. It is around all other interceptors.
 * With a session decorator the handler also has a `SessionInterceptor`, inside those of the gateway, which see its failures; then nothing is left to
 * store here.
 */
export class MessageScopeInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const scope = new MessageScope(context);
    const args = context.getArgs<unknown[]>();
    for (const [index, arg] of args.entries()) {
      if (typeof arg === 'function')
        args[index] = scope.replyBehindCommit(arg as (...values: readonly unknown[]) => unknown);
    }
    scope.begin();
    return next.handle().pipe(
      concatMap((value: unknown, index) => (scope.isUsed ? from(commitThen(scope, value, index > 0)) : of(value))),
      catchError((error: unknown) => (scope.isUsed ? from(commitThenThrow(scope, error)) : throwError(() => error))),
      tap({
        // Nest waits for no handler whose client has left.
        unsubscribe: () => {
          scope.runsOn();
        },
        finalize: () => {
          scope.end();
        },
      }),
    );
  }
}

async function commitThen(scope: MessageScope, value: unknown, isLater: boolean): Promise<unknown> {
  await scope.commit(isLater);
  return value;
}

async function commitThenThrow(scope: MessageScope, error: unknown): Promise<never> {
  await scope.commitAfter(error);
  throw error;
}
