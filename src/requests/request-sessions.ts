import { Injectable, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost, type AbstractHttpAdapter } from '@nestjs/core';
import type { IncomingMessage } from 'node:http';

import { ContextReaders, isMessage } from '../contexts/context-readers.js';
import { CsrfProtection } from '../csrf/csrf-protection.js';
import { SessionUsageError } from '../errors/session-errors.js';
import { rawRequestOf, slotOf, type PlatformRequest, type PlatformResponse } from '../http/http-messages.js';
import { PrivateSlot } from '../http/private-slot.js';
import { ResponseLayer, type ExpressApplication } from '../http/response-layer.js';
import { ResponseListener, type FastifyApplication } from '../http/response-listener.js';
import type { ContextRequest } from '../options/context-reader.interface.js';
import { MessageSessions } from './message-sessions.js';
import { RequestLog } from './request-log.js';
import { RequestSession } from './request-session.js';
import { RequestServices } from './request-services.js';

/** Those of this process that have the module. */
const applications = new WeakSet();

/** Keeps the one {@link RequestSession} of each request, in a private slot beside the request. */
@Injectable()
export class RequestSessions {
  readonly #messages: MessageSessions;
  readonly #byRequest = new PrivateSlot<RequestSession>();
  /** Of Express. */
  #layer: ResponseLayer | null = null;
  /** Of Fastify, whose requests do not know their responses. */
  #listener: ResponseListener | null = null;
  /** Of Express or Fastify; null: not known yet. */
  #application: object | null = null;

  constructor(
    private readonly services: RequestServices,
    private readonly contexts: ContextReaders,
    private readonly csrf: CsrfProtection,
    private readonly log: RequestLog,
    host: HttpAdapterHost,
  ) {
    this.#messages = new MessageSessions(services, contexts, () => this.#application);
    this.#prepare(host);
    // A testing module makes its application when all providers are there; a context without HTTP never has one.
    host.init$.subscribe(() => {
      this.#prepare(host);
    });
  }

  /**
   * The session of the request in `context`, or of `request`. Nothing is read from the store yet.
   *
   * @throws SessionUsageError for a context in which no reader finds a request, and for what is neither
   */
  of(subject: ExecutionContext | object): RequestSession {
    if (typeof subject !== 'object' || (subject as object | null) === null) throw this.#notARequest();
    if (isExecutionContext(subject)) return this.ofContext(subject);
    const message = this.#messages.ofSubject(subject);
    if (message !== null) return message;
    const { headers, rawHeaders } = rawRequestOf(subject) as Partial<IncomingMessage>;
    // A web Request and what a test makes by hand have headers too.
    if (typeof headers !== 'object' || !Array.isArray(rawHeaders)) {
      throw isSocketOfWs(subject) ? this.#withoutHandshake() : this.#notARequest();
    }
    return this.ofRequest(subject);
  }

  ofContext(context: ExecutionContext): RequestSession {
    const found = this.#read(context);
    if (found === null) throw this.#withoutRequest(context);
    const { request, response } = found;
    if (isMessage(found)) {
      if (!hasRoute(context)) throw this.#notARequest();
      return this.#messages.of(found, context);
    }
    return this.ofRequest(request, response ?? undefined, this.#marksFor(context, request));
  }

  /** Logs that the module was used in a wrong way, where no request tells the place. */
  misused(error: Error): void {
    this.log.misuse(null, error);
  }

  /** Whether `context` has no response that could wait until changes are stored. */
  isMessage(context: ExecutionContext): boolean {
    const found = this.#read(context);
    return found !== null && isMessage(found);
  }

  /**
   * All resolvers of an operation share the session of its request. They may run at the same time: `@SkipCsrf()` on one of them must not skip
   * the check that another one has begun.
   */
  #marksFor(context: ExecutionContext, request: PlatformRequest): ExecutionContext | null {
    if (!hasRoute(context)) return null;
    if (context.getType<string>() === 'http') return context;
    const known = this.#find(rawRequestOf(request))?.context ?? null;
    return known === null || !this.csrf.isSkipped(context) ? context : null;
  }

  /**
   * @param response may be left out where the platform knows it: in Express, and in Fastify unless the module was loaded after the start
   * @param context null: the route is not known, nor are marks on it such as `@SkipCsrf()`
   */
  ofRequest(
    request: PlatformRequest & { readonly res?: PlatformResponse },
    response?: PlatformResponse,
    context: ExecutionContext | null = null,
  ): RequestSession {
    const raw = rawRequestOf(request);
    let found = this.#find(raw);
    if (found === undefined) {
      found = new RequestSession(this.services, request, context);
      this.#byRequest.set(this.#byRequest.get(slotOf(raw)) === undefined ? slotOf(raw) : raw, found);
    } else {
      found.arriveAt(request, context);
    }
    if (found.gate === null) {
      const known = response ?? request.res ?? this.#listener?.responseTo(raw);
      if (known !== undefined) found.attach(known, this.#layer);
    }
    return found;
  }

  /** The session of a handshake; null: it is of none that a message can have. */
  ofUpgrade(request: IncomingMessage): RequestSession | null {
    return this.#messages.ofUpgrade(request);
  }

  /** The same as `of()`, with its session loaded. Rejects where `of()` throws. */
  loaded(subject: ExecutionContext | object): Promise<RequestSession> {
    try {
      return this.of(subject).load();
    } catch (error) {
      if (error instanceof Error) return Promise.reject(error);
      throw error;
    }
  }

  /** Whether the request in `context` is one of this module's application; null: not known. One process may have several. */
  serves(context: ExecutionContext): boolean | null {
    const found = this.#readQuietly(context);
    if (found === null) return null;
    const request: PlatformRequest = found.request;
    // The interceptor of its application has seen the message before.
    if (isMessage(found)) return this.#messages.knows(found) ? true : null;
    const application = this.#application;
    const its = applicationOf(request);
    // A plugin of Fastify has an application of its own, which is made from that of its parent.
    const isKnown = this.#find(rawRequestOf(request)) !== undefined;
    // Node's request. One that came through a middleware of another application would be known there too.
    if (application === null || its === undefined) return isKnown ? true : null;
    if (its === application || Object.prototype.isPrototypeOf.call(application, its)) return true;
    // A middleware may be an application without this module.
    return isKnown && !applications.has(its);
  }

  #read(context: ExecutionContext): ContextRequest | null {
    try {
      return this.contexts.read(context);
    } catch (error) {
      // What a reader has thrown may repeat what a client has sent, and so be another text each time: one line for its handler.
      const isThrown = error instanceof Error && error.cause !== undefined;
      const isNamed = isThrown && hasRoute(context);
      this.log.misuse(isNamed ? `${context.getClass().name}.${context.getHandler().name}` : null, error);
      throw error;
    }
  }

  /** The readers of one application may fail on the messages of another. */
  #readQuietly(context: ExecutionContext): ContextRequest | null {
    try {
      return this.contexts.read(context);
    } catch {
      return null;
    }
  }

  /** The message does not show the argument, which may be a token. */
  #notARequest(): SessionUsageError {
    const error = new SessionUsageError(
      'Not a request. Pass the object that @Req() injects, or the ExecutionContext of a guard or interceptor; in a gateway the socket; in a microservice what @Ctx() injects, and put @UseSession() on the handler.',
    );
    this.log.misuse(null, error);
    return error;
  }

  #withoutHandshake(): SessionUsageError {
    const error = new SessionUsageError(
      "This socket of ws does not know the request that opened it. Use SessionWsAdapter from nestjs-sessionx/ws in place of Nest's WsAdapter.",
    );
    this.log.misuse(null, error);
    return error;
  }

  #withoutRequest(context: ExecutionContext): SessionUsageError {
    const type = context.getType<string>();
    const error = new SessionUsageError(
      `No request is known, and this context is of type "${type}". In GraphQL put it into the context as req; behind sockets of ws use SessionWsAdapter from nestjs-sessionx/ws; for other messages add a ContextReader to the option contexts, which tells where the token is.`,
    );
    this.log.misuse(`A context of type "${type}"`, error);
    return error;
  }

  #prepare({ httpAdapter: adapter }: { readonly httpAdapter?: AbstractHttpAdapter }): void {
    this.#application ??= adapter?.getInstance<object | undefined>() ?? null;
    if (this.#application !== null) applications.add(this.#application);
    switch (adapter?.getType()) {
      case 'express':
        this.#layer ??= ResponseLayer.of(adapter.getInstance<ExpressApplication>());
        break;
      case 'fastify':
        this.#listener ??= new ResponseListener(adapter.getInstance<FastifyApplication>(), (request, response) => {
          const found = this.#find(request);
          if (found?.gate === null) found.attach(response, null);
        });
        break;
    }
  }

  #find(raw: IncomingMessage): RequestSession | undefined {
    const found = this.#byRequest.get(slotOf(raw));
    if (found === undefined || found.isOf(raw)) return found;
    // Another one with the same array of headers.
    return this.#byRequest.get(raw);
  }
}

/** The application that has a request: Express calls it `app`, Fastify `server`. */
function applicationOf(request: object): object | undefined {
  const { app, server } = request as { readonly app?: object; readonly server?: object };
  return server ?? app;
}

/** An exception filter may pass its `ArgumentsHost`, whose class and handler are not known. */
function hasRoute(context: Partial<ExecutionContext>): boolean {
  return typeof context.getHandler?.() === 'function';
}

/** Of `ws`, behind an adapter that does not keep its request. */
function isSocketOfWs(subject: object): boolean {
  const { readyState, terminate } = subject as { readonly readyState?: unknown; readonly terminate?: unknown };
  return typeof readyState === 'number' && typeof terminate === 'function';
}

function isExecutionContext(subject: object): subject is ExecutionContext {
  // The contexts of messages have arguments too.
  return 'switchToHttp' in subject && typeof subject.switchToHttp === 'function';
}
