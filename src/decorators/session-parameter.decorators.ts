import { createParamDecorator, UseInterceptors, type ExecutionContext, type Type } from '@nestjs/common';

import { FlashInterceptor } from './flash.interceptor.js';
import { assertName } from '../requests/one-time-values.js';
import { hideType, seal, type SessionProperty } from './session-parameter.js';
import {
  CsrfTokenPipe,
  CurrentSessionPipe,
  CurrentUserPipe,
  FlashMessagesPipe,
  OneTimePipe,
  OptionalSessionPipe,
  type SessionPipe,
} from './session-pipes.js';

const sealedParameter = createParamDecorator((property: SessionProperty | undefined, context: ExecutionContext) =>
  seal({ context, property }),
);

function sessionParameter(property: SessionProperty | undefined, pipe: Type<SessionPipe>): ParameterDecorator {
  const decorate = sealedParameter(property, pipe);
  return (target, method, index) => {
    hideType(target, method, index);
    decorate(target, method, index);
  };
}

/**
 * The session of the request, or a property of it: `@CurrentSession('data')`. Without a session the response is the 401 of `SessionGuard`. An
 * anonymous session is let in, unless the guard is on the route: for a user, see {@link CurrentUser}.
 */
export function CurrentSession(property?: SessionProperty): ParameterDecorator {
  return sessionParameter(property, CurrentSessionPipe);
}

/**
 * The user of the session, never `null`, with or without the guard. Without a session, or with an anonymous one, the response is a 401; on
 * routes with `@AllowAnonymous()` too.
 */
export function CurrentUser(): ParameterDecorator {
  return sessionParameter(undefined, CurrentUserPipe);
}

/** The session of the request, or null: `@OptionalSession()`, `@OptionalSession('user')`. A store that fails is a 503, not null. */
export function OptionalSession(property?: SessionProperty): ParameterDecorator {
  return sessionParameter(property, OptionalSessionPipe);
}

/**
 * Takes the flash messages of the session, each handed out once; an empty list without a session. Messages that do not reach the client,
 * as the handler fails or the response is a 304 or another error, are put back. Nothing is taken by requests whose response nobody reads:
 * `HEAD`, prefetches, and what a page of another site sends in the background.
 */
export function FlashMessages(): ParameterDecorator {
  const decorate = sessionParameter(undefined, FlashMessagesPipe);
  return (target, method, index) => {
    decorate(target, method, index);
    const descriptor = method === undefined ? undefined : Object.getOwnPropertyDescriptor(target, method);
    // It tells a handler that fails, or is never called, from one that responds.
    if (method !== undefined && descriptor !== undefined) {
      UseInterceptors(FlashInterceptor)(target, method, descriptor);
    }
  };
}

/** A CSRF token for a form or a page of the session; null without a session, or with `enableCsrf` off. See `SessionService.csrfToken()`. */
export function CsrfToken(): ParameterDecorator {
  return sessionParameter(undefined, CsrfTokenPipe);
}

const sealedOneTime = createParamDecorator((oneTime: string, context: ExecutionContext) =>
  seal({ context, property: undefined, oneTime }),
);

/**
 * Takes the one-time value of a name from the session: `@OneTime('oauth-state')`. Null without a session, or if there is no such value; the
 * guard is not needed. As with `SessionService.oneTime.consume()`, of many requests at once one gets it. Nothing is taken by requests whose
 * response nobody reads: `HEAD`, prefetches, and what a page of another site sends in the background. A store that fails is a 503.
 *
 * Guards run before it. Pipes of other parameters may refuse the request after it: then the value is gone.
 *
 * @throws SessionUsageError when the name is not a string, or empty
 */
export function OneTime(name: string): ParameterDecorator {
  assertName(name);
  const decorate = sealedOneTime(name, OneTimePipe);
  return (target, method, index) => {
    hideType(target, method, index);
    decorate(target, method, index);
  };
}
