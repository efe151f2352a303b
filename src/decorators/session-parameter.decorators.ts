import { UseInterceptors } from '@nestjs/common';

import { assertName } from '../requests/one-time-values.js';
import type { Session } from '../sessions/session.js';
import { FlashInterceptor } from './flash.interceptor.js';
import { sessionParameter } from './session-parameter.js';

/** The properties of a session that a decorator can pick. */
export type SessionProperty = Exclude<keyof Session, 'addFlashMessage' | 'getFlashMessages' | 'toJSON'>;

/**
 * The session of the request, or a property of it: `@CurrentSession('data')`. Without a session the response is the 401 of `SessionGuard`. An
 * anonymous session is let in, unless the guard is on the route: for a user, see {@link CurrentUser}.
 */
export function CurrentSession(property?: SessionProperty): ParameterDecorator {
  return sessionParameter((request) => {
    const session = request.required();
    return property === undefined ? session : session[property];
  });
}

/**
 * The user of the session, never `null`, with or without the guard. Without a session, or with an anonymous one, the response is a 401; on
 * routes with `@AllowAnonymous()` too.
 */
export function CurrentUser(): ParameterDecorator {
  return sessionParameter((request) => request.requiredWithUser().user);
}

/** The session of the request, or null: `@OptionalSession()`, `@OptionalSession('user')`. A store that fails is a 503, not null. */
export function OptionalSession(property?: SessionProperty): ParameterDecorator {
  return sessionParameter((request) => {
    const session = request.admitted();
    return property === undefined ? session : (session?.[property] ?? null);
  });
}

/**
 * Takes the flash messages of the session, each handed out once; an empty list without a session. Messages that do not reach the client,
 * as the handler fails or the response is a 304 or another error, are put back. Nothing is taken by requests whose response no user reads:
 * `HEAD`, prefetches, and what a page of another site sends in the background.
 */
export function FlashMessages(): ParameterDecorator {
  const decorate = sessionParameter((request) => request.flash.take());
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
  return sessionParameter((request) => request.csrfToken());
}

/**
 * Takes the one-time value of a name from the session: `@OneTime('oauth-state')`. Null without a session, or if there is no such value; the
 * guard is not needed. As with `SessionService.oneTime.consume()`, of many requests at once one gets it. Nothing is taken by requests whose
 * response no user reads: `HEAD`, prefetches, and what a page of another site sends in the background. A store that fails is a 503.
 *
 * Guards run before it. Pipes of other parameters may refuse the request after it: then the value is gone.
 *
 * @throws SessionUsageError when the name is not a string, or empty
 */
export function OneTime(name: string): ParameterDecorator {
  assertName(name);
  return sessionParameter((request) => request.takeOneTime(name));
}
