import {
  Catch,
  UseFilters,
  type CallHandler,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
  type OnApplicationShutdown,
  type Type,
} from '@nestjs/common';
import type { Observable } from 'rxjs';

import { SessionInterceptor } from '../session.interceptor.js';
import { RequestSessions } from '../requests/request-sessions.js';
import { FlashInterceptor } from './flash.interceptor.js';
import { INTERCEPTORS_METADATA, MESSAGE_KEYS, RESOLVER_METADATA } from './nest-metadata.js';
import { RoutePipes } from './route-pipes.js';

/** What a handler needs of one application. */
interface HandlerProviders {
  readonly requests: RequestSessions;
  readonly routePipes: RoutePipes;
  /** Whether the application's routes pass its values through pipes; null: they are not made yet. */
  usesPipes: boolean | null;
}

/** Whether a method may handle messages. */
const INTERCEPTED = [...MESSAGE_KEYS, RESOLVER_METADATA];

/** It is never thrown. */
class Nothing extends Error {}

/**
 * A handler with session decorators, in each application of this process that has it: tests make many.
 *
 * The factory of a parameter decorator has no access to providers. What Nest makes for a handler has, in the module of the handler: pipes,
 * guards, interceptors, filters. A filter is the only one of them that does not run with each request, so one that catches nothing gets the
 * providers.
 */
export class SessionHandler {
  static readonly #known = new WeakMap<object, Map<string | symbol, SessionHandler>>();
  readonly #applications: HandlerProviders[] = [];
  /** How many there were so far: after the first one, a request may be one of another application, which may have shut down. */
  #count = 0;

  /** @param owner the prototype on which `method` is declared */
  static of(owner: object, method: string | symbol): SessionHandler {
    const known = this.#known.get(owner) ?? new Map<string | symbol, SessionHandler>();
    this.#known.set(owner, known);
    const handler = known.get(method) ?? new SessionHandler(owner, method);
    known.set(method, handler);
    return handler;
  }

  private constructor(
    private readonly owner: object,
    private readonly method: string | symbol,
  ) {
    const descriptor = Object.getOwnPropertyDescriptor(owner, method);
    if (descriptor !== undefined) UseFilters(this.#providersClass())(owner, method, descriptor);
  }

  /**
   * Whether values have to go through the pipes of an application. Asked when the routes of an application are made. If several are being made, it
   * is not known which one asks, nor whether another one will get pipes: then they do.
   */
  get usesPipes(): boolean {
    const undecided = this.#applications.filter(({ usesPipes }) => usesPipes === null);
    const uses =
      new Set(undecided.map(({ routePipes }) => routePipes)).size > 1 ||
      this.#applications.some(({ usesPipes, routePipes }) => usesPipes ?? routePipes.has(this.owner, this.method));
    for (const application of undecided) application.usesPipes = uses;
    return uses;
  }

  /** Undefined: the application of the request has shut down. */
  providersFor(context: ExecutionContext): HandlerProviders | undefined {
    if (this.#count === 1) return this.#applications[0];
    const served = this.#applications.map(({ requests }) => requests.serves(context));
    const index = served.includes(true) ? served.indexOf(true) : served.indexOf(null);
    return this.#applications[index];
  }

  /**
   * A message has no response whose head could wait for the commit, so an interceptor makes it. Whether the method handles messages is not known when
   * decorators of parameters run, so it is put there when the application is made. Nest finds it by its class, as it does the filter.
   */
  #interceptMessages(interceptor: Type<NestInterceptor>): void {
    const handler: unknown = Reflect.get(this.owner, this.method);
    if (typeof handler !== 'function' || !INTERCEPTED.some((key) => Reflect.hasMetadata(key, handler))) return;
    const known = (Reflect.getMetadata(INTERCEPTORS_METADATA, handler) ?? []) as readonly unknown[];
    if (!known.includes(interceptor)) {
      Reflect.defineMetadata(INTERCEPTORS_METADATA, [interceptor, ...known], handler);
    }
  }

  /**
   * Decorators of parameters run before those of the method, and the first interceptor is around the others. This one is to see what the handler
   * itself returns.
   */
  #moveInside(interceptor: Type<NestInterceptor>): void {
    const handler: unknown = Reflect.get(this.owner, this.method);
    if (typeof handler !== 'function') return;
    const known = (Reflect.getMetadata(INTERCEPTORS_METADATA, handler) ?? []) as readonly unknown[];
    if (!known.includes(interceptor)) return;
    const others = known.filter((one) => one !== interceptor);
    Reflect.defineMetadata(INTERCEPTORS_METADATA, [...others, interceptor], handler);
  }

  #providersClass() {
    const added = (application: HandlerProviders): void => {
      this.#interceptMessages(SessionHandlerProviders);
      this.#moveInside(FlashInterceptor);
      this.#applications.push(application);
      this.#count++;
    };
    // An application may be closed twice.
    const removed = (application: HandlerProviders): void => {
      const index = this.#applications.indexOf(application);
      if (index >= 0) this.#applications.splice(index, 1);
    };

    @Catch(Nothing)
    class SessionHandlerProviders implements HandlerProviders, ExceptionFilter, NestInterceptor, OnApplicationShutdown {
      readonly #interceptor: SessionInterceptor;
      usesPipes: boolean | null = null;

      constructor(
        readonly requests: RequestSessions,
        readonly routePipes: RoutePipes,
      ) {
        this.#interceptor = new SessionInterceptor(requests);
        added(this);
      }

      catch(): void {
        // Never called.
      }

      /** Of messages only: a resolver handles requests too. */
      intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
        return this.requests.isMessage(context) ? this.#interceptor.intercept(context, next) : next.handle();
      }

      onApplicationShutdown(): void {
        removed(this);
      }
    }
    return SessionHandlerProviders;
  }
}
