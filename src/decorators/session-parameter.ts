import { createParamDecorator, Logger, type ExecutionContext } from '@nestjs/common';

import { errorIn, settledIn } from '../contexts/field-error.js';
import { SessionBackendError, SessionUsageError } from '../errors/session-errors.js';
import type { RequestSession } from '../requests/request-session.js';
import type { RequestSessions } from '../requests/request-sessions.js';
import { seal, unseal } from './sealed-context.js';
import { SessionHandler } from './session-handler.js';

/** Returns the value of a parameter. The session of `request` is loaded. */
type ParameterResolver = (request: RequestSession) => unknown;

/** A parameter whose value is resolved from the session of the request. */
export function sessionParameter(resolve: ParameterResolver): ParameterDecorator {
  return (owner, method, index) => {
    if (method === undefined) return;
    const parameter = new SessionParameter(SessionHandler.of(owner, method), resolve);
    hideType(owner, method, index);
    createParamDecorator((_: unknown, context: ExecutionContext) => parameter.valueFor(context))(undefined, parameter)(
      owner,
      method,
      index,
    );
  };
}

/**
 * Resolves the value at once, or behind the pipes of the application where it has some: they must not see it, so they get a sealed context. A
 * chain of pipes costs as much as all else that a session adds to a request, so it is left out where the application has none.
 */
class SessionParameter {
  readonly #logger = new Logger('SessionModule');

  constructor(
    private readonly handler: SessionHandler,
    private readonly resolve: ParameterResolver,
  ) {}

  valueFor(context: ExecutionContext): unknown {
    const providers = this.handler.providersFor(context);
    // A request that was not checked must not be let in.
    if (providers === undefined) throw shutDownError();
    return providers.usesPipes === false ? this.#resolveFor(providers.requests, context) : seal(context);
  }

  /** Nest reads it when it makes the route, and leaves out what has none. */
  get transform(): ((value: unknown) => unknown) | undefined {
    return this.handler.usesPipes ? (value) => this.#open(value) : undefined;
  }

  #open(value: unknown): unknown {
    const context = unseal(value);
    if (context === undefined) throw this.#replaced();
    const providers = this.handler.providersFor(context);
    if (providers === undefined) throw shutDownError();
    return this.#resolveFor(providers.requests, context);
  }

  /** A value, and no promise of it, where a guard has loaded the session. */
  #resolveFor(requests: RequestSessions, context: ExecutionContext): unknown {
    const request = requests.of(context);
    if (!request.isLoaded)
      return settledIn(
        context,
        request.load().then(() => this.resolve(request)),
      );
    try {
      return this.resolve(request);
    } catch (error) {
      throw errorIn(context, error);
    }
  }

  #replaced(): SessionUsageError {
    const error = new SessionUsageError(
      "A pipe of the application has put another value in the place of the one that a session decorator handed to it: let it return values as they are when metadata.type is 'custom'.",
    );
    // Nest logs no HttpException, and this one is for the developer.
    this.#logger.error(error.message);
    return error;
  }
}

function shutDownError(): SessionBackendError {
  return new SessionBackendError('BACKEND_UNAVAILABLE', 'The application of this request has shut down.');
}

/**
 * Takes its declared type off a parameter. `ValidationPipe` with `validateCustomDecorators` would otherwise hold the rules of that class
 * against a value that is not there yet; with `Object` it passes the value on. Compilers emit the types of a method before they apply the
 * decorators of its parameters.
 */
function hideType(owner: object, method: string | symbol, index: number): void {
  const types: unknown = Reflect.getOwnMetadata(PARAMETER_TYPES, owner, method);
  if (Array.isArray(types)) Reflect.defineMetadata(PARAMETER_TYPES, types.with(index, Object), owner, method);
}

const PARAMETER_TYPES = 'design:paramtypes';
