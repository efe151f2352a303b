import {
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  type Type,
} from '@nestjs/common';
import { endWith, from, map, switchMap, takeUntil, type Observable } from 'rxjs';

import { ConnectionEndings } from '../requests/connection-endings.js';
import { RequestSessions } from '../requests/request-sessions.js';
import { SessionService } from '../session.service.js';
import { endEvents, endIterator, isAsyncIterator } from './ended-streams.js';
import { endConnectionsOf } from './gateway-endings.js';
import { isOfEvents } from './nest-metadata.js';

/** How what a handler returns ends with the session. */
type Ending = (result: Observable<unknown>, ended: Observable<never>) => Observable<unknown>;

/** Ends what a handler has opened when the session of its request ends. `@EndsWithSession()` attaches it. */
@Injectable()
class EndsWithSessionInterceptor implements NestInterceptor {
  /** @internal Nest makes it. */
  constructor(
    private readonly requests: RequestSessions,
    private readonly sessions: SessionService,
    private readonly connections: ConnectionEndings,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType<string>() === 'ws') this.connections.begin(context, context.getClass().name);
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
      return isOfEvents(context) ? endEvents : null;
    case 'graphql':
      return endIterators;
    case 'rpc':
      return endStream;
    default:
      return null;
  }
}

/** What a microservice streams. A single result has come before. */
function endStream(result: Observable<unknown>, ended: Observable<never>): Observable<unknown> {
  return result.pipe(takeUntil(ended.pipe(endWith(null))));
}

/** A query or a mutation returns something else, which passes. */
function endIterators(result: Observable<unknown>, ended: Observable<never>): Observable<unknown> {
  return result.pipe(map((value) => (isAsyncIterator(value) ? endIterator(value, ended) : value)));
}

/**
 * For what stays open: ends it when the session of its request ends, by any client or process. An `@Sse()` handler sends a last event of the type `session-ended`,
 * and what it has returned is unsubscribed; a GraphQL subscription and a stream of a microservice complete. On a class, for each such handler of it; others stay as they are.
 *
 * A connection of a gateway is closed: with code 4401 by `ws`; by socket.io after an event `session-ended`. On a gateway from the moment that it opens,
 * on a handler once it has had a message. The session is that of the handshake, or the one that a message has signed it in with.
 *
 * A request without a session is not ended: whether it may come in is for a guard to decide.
 */
export function EndsWithSession(): MethodDecorator & ClassDecorator {
  return (target: object, method?: string | symbol, descriptor?: PropertyDescriptor): void => {
    if (method === undefined || descriptor === undefined) {
      const type = target as Type;
      UseInterceptors(EndsWithSessionInterceptor)(type);
      endConnectionsOf(type.prototype as object);
    } else {
      UseInterceptors(EndsWithSessionInterceptor)(target, method, descriptor);
    }
  };
}
