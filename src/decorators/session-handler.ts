import {
  Catch,
  UseFilters,
  type ExceptionFilter,
  type ExecutionContext,
  type OnApplicationShutdown,
} from '@nestjs/common';

import { RequestSessions } from '../requests/request-sessions.js';
import { RoutePipes } from './route-pipes.js';

/** What a handler needs of one application. */
interface HandlerProviders {
  readonly requests: RequestSessions;
  readonly routePipes: RoutePipes;
  /** Whether the application's routes pass its values through pipes; null: they are not made yet. */
  usesPipes: boolean | null;
}

/** Nobody throws it. */
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
   * Whether values have to go through the pipes of an application. Asked when the routes of an application are made; if several are being made,
   * one answer serves for all of them.
   */
  get usesPipes(): boolean {
    const uses = this.#applications.some(
      ({ usesPipes, routePipes }) => usesPipes ?? routePipes.has(this.owner, this.method),
    );
    for (const application of this.#applications) application.usesPipes ??= uses;
    return uses;
  }

  providersFor(context: ExecutionContext): HandlerProviders | undefined {
    const [only] = this.#applications;
    if (this.#applications.length === 1) return only;
    return this.#applications.find(({ requests }) => requests.serves(context)) ?? only;
  }

  #providersClass() {
    const applications = this.#applications;

    @Catch(Nothing)
    class SessionHandlerProviders implements HandlerProviders, ExceptionFilter, OnApplicationShutdown {
      usesPipes: boolean | null = null;

      constructor(
        readonly requests: RequestSessions,
        readonly routePipes: RoutePipes,
      ) {
        applications.push(this);
      }

      catch(): void {
        // Never called.
      }

      onApplicationShutdown(): void {
        applications.splice(applications.indexOf(this), 1);
      }
    }
    return SessionHandlerProviders;
  }
}
