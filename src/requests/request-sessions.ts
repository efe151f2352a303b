import { Injectable, type ExecutionContext } from '@nestjs/common';

import { SessionUsageError } from '../errors/session-errors.js';
import { rawRequestOf, type PlatformRequest, type PlatformResponse } from '../http/http-messages.js';
import { routeOf } from '../http/route-of.js';
import { RequestServices } from './request-services.js';
import { RequestSession } from './request-session.js';
import { SideTable } from '../private-slots/side-table.js';

/** Holds the one {@link RequestSession} of each request, beside the request and not on it. */
@Injectable()
export class RequestSessions {
  readonly #byRequest = new SideTable<RequestSession>();

  constructor(private readonly services: RequestServices) {}

  /** That of the request in `context`, made at the first call. Nothing is read from the store yet. */
  of(context: ExecutionContext): RequestSession {
    if (context.getType() !== 'http') throw this.#notHttp(context.getType<string>());
    // What switchToHttp() gives too, by way of three new functions a call.
    return this.ofRequest(
      context.getArgByIndex<PlatformRequest>(0),
      context.getArgByIndex<PlatformResponse>(1),
      context,
    );
  }

  /** The same for what knows no context, or another one than HTTP's; marks on a route, such as `@SkipCsrf()`, are then not seen. */
  ofRequest(
    request: PlatformRequest,
    response: PlatformResponse,
    context: ExecutionContext | null = null,
  ): RequestSession {
    const raw = rawRequestOf(request);
    const known = this.#byRequest.get(raw);
    if (known !== undefined) {
      known.arriveAt(request, context);
      return known;
    }
    const created = new RequestSession(this.services, request, response, context);
    this.#byRequest.set(raw, created);
    return created;
  }

  #notHttp(type: string): SessionUsageError {
    const error = new SessionUsageError(
      `Guard and decorators of SessionModule are for HTTP, and this context is of ${type}: read the token yourself and call SessionService.getSession(token), or RequestSessions.ofRequest(request, response).`,
    );
    this.services.log.misuse(`A context of ${type}`, error);
    return error;
  }

  /** @throws SessionUsageError when nothing on the route has told us the response that belongs to `request` */
  existing(request: object): RequestSession {
    const known = this.#byRequest.get(rawRequestOf(request));
    if (known !== undefined) {
      known.arriveAt(request, null);
      return known;
    }
    const route = routeOf(request);
    const error = new SessionUsageError(
      `This request (${route}) is not known to SessionModule: put @UseSession() on the route, or SessionGuard, or a session decorator.`,
    );
    this.services.log.misuse(route, error);
    throw error;
  }
}
