import { createParamDecorator, UseInterceptors, type ExecutionContext, type Type } from '@nestjs/common';

import { FlashInterceptor } from './flash.interceptor.js';
import { hideType, seal, type SessionProperty } from './session-parameter.js';
import {
  CsrfTokenPipe,
  CurrentSessionPipe,
  CurrentUserPipe,
  FlashMessagesPipe,
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
