import { Injectable, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost, type AbstractHttpAdapter } from '@nestjs/core';
import type { IncomingMessage } from 'node:http';

import { SessionUsageError } from '../errors/session-errors.js';
import { rawRequestOf, type PlatformRequest, type PlatformResponse } from '../http/http-messages.js';
import { ResponseLayer, type ExpressApplication } from '../http/response-layer.js';
import { routeOf } from '../http/route-of.js';
import { PrivateSlot } from '../http/private-slot.js';
import { RequestServices } from './request-services.js';
import { RequestSession } from './request-session.js';
import type { ResponseGate } from '../http/response-gate.js';

/** Holds the one {@link RequestSession} of each request, beside the request and not on it. */
@Injectable()
export class RequestSessions {
  readonly #byRequest = new PrivateSlot<RequestSession>();
  #layer: ResponseLayer | null = null;

  constructor(
    private readonly services: RequestServices,
    host: HttpAdapterHost,
  ) {
    this.#coverResponsesOf(host);
    // A testing module makes its application when all providers are there; a context without HTTP never has one.
    host.init$.subscribe(() => {
      this.#coverResponsesOf(host);
    });
  }

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

  /** The same with its session loaded. Rejects where `of()` throws. */
  loaded(context: ExecutionContext): Promise<RequestSession> {
    try {
      return this.of(context).load();
    } catch (error) {
      if (error instanceof Error) return Promise.reject(error);
      throw error;
    }
  }

  /** The same for what knows no context, or another one than HTTP's; marks on a route, such as `@SkipCsrf()`, are then not seen. */
  ofRequest(
    request: PlatformRequest,
    response: PlatformResponse,
    context: ExecutionContext | null = null,
  ): RequestSession {
    const raw = rawRequestOf(request);
    const known = this.#find(raw);
    if (known !== undefined) {
      known.arriveAt(request, context);
      return known;
    }
    const created = new RequestSession(this.services, request, response, context, this.#layer);
    this.#byRequest.set(this.#byRequest.get(keyOf(raw)) === undefined ? keyOf(raw) : raw, created);
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
    const known = this.#find(rawRequestOf(request));
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

  #coverResponsesOf({ httpAdapter: adapter }: { readonly httpAdapter?: AbstractHttpAdapter }): void {
    if (this.#layer !== null || adapter?.getType() !== 'express') return;
    this.#layer = new ResponseLayer(adapter.getInstance<ExpressApplication>(), (response) => this.#gateOf(response));
  }

  #find(raw: IncomingMessage): RequestSession | undefined {
    const found = this.#byRequest.get(keyOf(raw));
    if (found === undefined || found.isOf(raw)) return found;
    // A middleware has given several requests one array of headers, which must not give them one session.
    return this.#byRequest.get(raw);
  }

  /** For the layer of the application's responses. */
  #gateOf(response: object): ResponseGate | undefined {
    const { req } = response as { readonly req?: IncomingMessage };
    const gate = req === undefined ? undefined : this.#find(req)?.gate;
    return gate?.isInLayer === true ? gate : undefined;
  }
}

/**
 * What carries the private slot of a request: the array of its raw headers, which nothing replaces. On the request itself it would cost more:
 * Express sets the prototype of each, after which no two share a hidden class.
 */
function keyOf(request: Partial<Pick<IncomingMessage, 'rawHeaders'>>): object {
  return request.rawHeaders ?? request;
}
