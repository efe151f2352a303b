import {
  Catch,
  UseFilters,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
  type OnApplicationShutdown,
  type Type,
} from '@nestjs/common';
import type { Observable } from 'rxjs';

import { messageIn } from '../contexts/message-in.js';
import { PrivateSlot } from '../http/private-slot.js';
import { SessionInterceptor } from '../session.interceptor.js';
import { RequestSessions } from '../requests/request-sessions.js';
import { FlashInterceptor } from './flash.interceptor.js';
import {
  addFirst,
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  MESSAGE_KEYS,
  metadataList,
  RESOLVER_METADATA,
} from './nest-metadata.js';
import { RoutePipes } from './route-pipes.js';

/** What a handler needs of one module. */
interface HandlerProviders {
  readonly requests: RequestSessions;
  readonly routePipes: RoutePipes;
  /** Whether the application's routes pass its values through pipes; null: they are not made yet. */
  usesPipes: boolean | null;
}

/** Whether a method may handle messages. */
const INTERCEPTED = [...MESSAGE_KEYS, RESOLVER_METADATA];

/** The module of a handler that runs for a request or a message. */
interface RunningHandler {
  readonly handler: SessionHandler;
  /** Resolvers of one operation, and handlers of one event, may have it from one base class. */
  readonly type: Type;
  readonly module: HandlerProviders;
}

/** Of a request or a message, where handlers are in several modules. */
const running = new PrivateSlot<RunningHandler[]>();

/** It is never thrown. */
class Nothing extends Error {}

/**
 * A handler with session decorators, in each module that has it: an application may have a controller in several modules, or controllers with one
 * base class, and a process may have several applications.
 *
 * The factory of a parameter decorator has no access to providers. What Nest makes for a handler has, in the module of the handler: pipes,
 * guards, interceptors, filters. A filter is the only one of them that does not run with each request, so one that catches nothing gets the
 * providers. Where there are several modules it is a guard too, which tells the module of a request.
 */
export class SessionHandler {
  static readonly #known = new WeakMap<object, Map<string | symbol, SessionHandler>>();
  readonly #modules: HandlerProviders[] = [];
  /** Modules seen so far. From the second one on, a request may belong to an application that has shut down. */
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
    if (descriptor !== undefined) UseFilters(SessionHandler.#providersClassOf(this))(owner, method, descriptor);
  }

  /**
   * Whether values have to go through the pipes of an application. Checked when the routes of an application are made. If several are being made, it
   * is not known which of them it is, nor whether another one will get pipes: then they do.
   */
  get usesPipes(): boolean {
    const undecided = this.#modules.filter(({ usesPipes }) => usesPipes === null);
    const uses =
      new Set(undecided.map(({ routePipes }) => routePipes)).size > 1 ||
      this.#modules.some(({ usesPipes, routePipes }) => usesPipes ?? routePipes.has(this.owner, this.method));
    for (const module of undecided) module.usesPipes = uses;
    return uses;
  }

  /** Undefined: the application of the request has shut down. */
  providersFor(context: ExecutionContext): HandlerProviders | undefined {
    if (this.#count === 1) return this.#modules[0];
    const known = this.#find(context)?.module;
    if (known !== undefined) return this.#modules.includes(known) ? known : undefined;
    const served = this.#modules.map(({ requests }) => requests.serves(context));
    const index = served.includes(true) ? served.indexOf(true) : served.indexOf(null);
    return this.#modules[index];
  }

  #added(module: HandlerProviders, providersClass: Type<CanActivate & NestInterceptor>): void {
    // A unit test mocks what a controller needs, and may never close its module.
    if (!(module.requests instanceof RequestSessions)) return;
    this.#interceptMessages(providersClass);
    this.#moveInside(FlashInterceptor);
    this.#modules.push(module);
    this.#count++;
    if (this.#modules.length > 1) this.#guard(providersClass);
  }

  /** An application may be closed twice. */
  #removed(module: HandlerProviders): void {
    const index = this.#modules.indexOf(module);
    if (index >= 0) this.#modules.splice(index, 1);
  }

  /** Null where the prototype has something else in its place by now. */
  get #function(): object | null {
    const handler: unknown = Reflect.get(this.owner, this.method);
    return typeof handler === 'function' ? handler : null;
  }

  /**
   * A message has no response whose head could wait for the commit, so an interceptor makes it. Whether the method handles messages is not known when
   * decorators of parameters run, so it is put there when the application is made. Nest finds it by its class, as it does the filter.
   */
  #interceptMessages(interceptor: Type<NestInterceptor>): void {
    const handler = this.#function;
    if (handler === null || !INTERCEPTED.some((key) => Reflect.hasMetadata(key, handler))) return;
    addFirst(interceptor, INTERCEPTORS_METADATA, handler);
  }

  /** The same for what tells the module of a request. The routes of the first of two applications are there already: those of the other have it. */
  #guard(guard: Type<CanActivate>): void {
    const handler = this.#function;
    if (handler !== null) addFirst(guard, GUARDS_METADATA, handler);
  }

  #runs(context: ExecutionContext, module: HandlerProviders): void {
    const subject = subjectOf(context);
    if (subject === undefined || this.#find(context)?.module === module) return;
    const handler = { handler: this, type: context.getClass(), module };
    running.set(subject, [handler, ...(running.get(subject) ?? [])]);
  }

  #find(context: ExecutionContext): RunningHandler | undefined {
    const subject = subjectOf(context);
    const handlers = subject && running.get(subject);
    return handlers?.find(({ handler, type }) => handler === this && type === context.getClass());
  }

  /**
   * Decorators of parameters run before those of the method, and the first interceptor is around the others. This one is to see what the handler
   * itself returns.
   */
  #moveInside(interceptor: Type<NestInterceptor>): void {
    const handler = this.#function;
    if (handler === null) return;
    const known = metadataList(INTERCEPTORS_METADATA, handler);
    if (!known.includes(interceptor)) return;
    const others = known.filter((one) => one !== interceptor);
    Reflect.defineMetadata(INTERCEPTORS_METADATA, [...others, interceptor], handler);
  }

  /** What Nest makes in each module that has the handler. Each handler has a class of its own, because Nest does not tell an instance which one it is for. */
  static #providersClassOf(sessionHandler: SessionHandler): Type<ExceptionFilter> {
    @Catch(Nothing)
    class SessionHandlerProviders
      implements HandlerProviders, ExceptionFilter, CanActivate, NestInterceptor, OnApplicationShutdown
    {
      readonly #interceptor: SessionInterceptor;
      usesPipes: boolean | null = null;

      constructor(
        readonly requests: RequestSessions,
        readonly routePipes: RoutePipes,
      ) {
        this.#interceptor = new SessionInterceptor(requests);
        sessionHandler.#added(this, SessionHandlerProviders);
      }

      catch(): void {
        // Never called.
      }

      canActivate(context: ExecutionContext): boolean {
        sessionHandler.#runs(context, this);
        return true;
      }

      /**
       * Of messages only: a resolver handles requests too. In a gateway it is there beside `MessageScopeInterceptor`, so that the interceptors of the gateway see
       * when a change cannot be stored.
       */
      intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
        return this.requests.isMessage(context) ? this.#interceptor.intercept(context, next) : next.handle();
      }

      onApplicationShutdown(): void {
        sessionHandler.#removed(this);
      }
    }
    return SessionHandlerProviders;
  }
}

/** What guards and decorators of parameters both see of one request or message. */
function subjectOf(context: ExecutionContext): object | undefined {
  const subject = messageIn(context) ?? context.getArgByIndex<unknown>(0);
  return typeof subject === 'object' && subject !== null ? subject : undefined;
}
