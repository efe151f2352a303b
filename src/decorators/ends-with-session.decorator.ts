import {
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { from, map, switchMap, type Observable } from 'rxjs';

import { RequestSessions } from '../requests/request-sessions.js';
import { SessionService } from '../session.service.js';
import { endEvents, endIterator, isAsyncIterator } from './ended-streams.js';
import { SSE_METADATA } from './nest-metadata.js';

/** How what a handler returns ends with the session. */
type Ending = (result: Observable<unknown>, ended: Observable<never>) => Observable<unknown>;

/** Ends what a handler has opened when the session of its request ends. `@EndsWithSession()` attaches it. */
@Injectable()
export class EndsWithSessionInterceptor implements NestInterceptor {
  /** @internal Nest makes it. */
  constructor(
    private readonly requests: RequestSessions,
    private readonly sessions: SessionService,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const ending = endingFor(context);
    if (ending === null) return next.handle();
    return from(this.requests.of(context).load()).pipe(
      switchMap((request) => {
        const session = request.admitted();
        const result = next.handle();
        return session === null ? result : ending(result, this.sessions.untilEnded(session));
      }),
    );
  }
}

/** @returns null for a handler that opens nothing */
function endingFor(context: ExecutionContext): Ending | null {
  switch (context.getType<string>()) {
    case 'http':
      return Reflect.getMetadata(SSE_METADATA, context.getHandler()) === true ? endEvents : null;
    case 'graphql':
      return endIterators;
    default:
      return null;
  }
}

/** A query or a mutation returns something else, which passes. */
function endIterators(result: Observable<unknown>, ended: Observable<never>): Observable<unknown> {
  return result.pipe(map((value) => (isAsyncIterator(value) ? endIterator(value, ended) : value)));
}

/**
 * For what stays open: ends it when the session of its request ends, by whomever. An `@Sse()` handler sends a last event of the type `session-ended`,
 * and what it has returned is unsubscribed; a GraphQL subscription completes. On a class, for each such handler of it; others stay as they are.
 *
 * A request without a session is not ended: whether it may come in is for a guard to decide.
 */
export function EndsWithSession(): MethodDecorator & ClassDecorator {
  return UseInterceptors(EndsWithSessionInterceptor);
}
