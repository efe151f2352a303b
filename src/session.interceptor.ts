import {
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { catchError, concatMap, from, switchMap, type Observable } from 'rxjs';

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
      concatMap((value: unknown) => commitThen(request, value)),
      catchError((error: unknown) => from(commitThenThrow(request, error))),
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

async function commitThen(request: RequestSession, value: unknown): Promise<unknown> {
  await request.commit.commitChanges();
  return value;
}

async function commitThenThrow(request: RequestSession, error: unknown): Promise<never> {
  await request.commit.commitAfter(error);
  throw error;
}
