import {
  HttpException,
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { catchError, concatMap, finalize, from, switchMap, type Observable } from 'rxjs';

import { isOfEvents } from './decorators/nest-metadata.js';
import { SessionError } from './errors/session-error.js';
import type { RequestSession } from './requests/request-session.js';
import { RequestSessions } from './requests/request-sessions.js';

/**
 * Loads and renews the session of a request, if there is one, before the handler runs, and stores its changes when the handler is through,
 * so that a failure reaches the application's exception filters. `@UseSession()` attaches it. What is sent past it is still held back
 * until the changes are stored; see `ResponseGate`.
 */
@Injectable()
export class SessionInterceptor implements NestInterceptor {
  /** @internal Nest makes it. */
  constructor(private readonly requests: RequestSessions) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = this.requests.of(context);
    return from(request.load()).pipe(
      switchMap(() => next.handle()),
      concatMap((value: unknown, index) => commitThen(request, value, index > 0)),
      catchError((error: unknown) => from(commitThenThrow(request, error, context))),
      finalize(() => {
        request.commit.handlerEnds();
      }),
    );
  }
}

/**
 * For routes that may or may not have a session, such as login and logout: loads one if there is one, and requires none. Put it on a route
 * whose handler calls `SessionService.login`, `logout`, `start` or `current` and that has neither a guard nor a session decorator: the
 * session is then checked against CSRF and renewed before the handler runs, and exception filters see a failure to store its changes.
 */
export function UseSession(): MethodDecorator & ClassDecorator {
  return UseInterceptors(SessionInterceptor);
}

/** @param isLater whether other values came before: a stream may be longer than the budget of a request lasts */
async function commitThen(request: RequestSession, value: unknown, isLater: boolean): Promise<unknown> {
  if (isLater) request.budget.renew();
  await request.commit.commitChanges();
  return value;
}

async function commitThenThrow(request: RequestSession, error: unknown, context: ExecutionContext): Promise<never> {
  await request.commit.commitAfter(error);
  throw request.headersAreWritten && isOfEvents(context) ? forClient(error) : error;
}

/** Behind the first event Nest sends the message of the error, and calls no filter. */
function forClient(error: unknown): unknown {
  if (!(error instanceof SessionError)) return error;
  return new HttpException(error.getResponse(), error.getStatus(), { cause: error });
}
