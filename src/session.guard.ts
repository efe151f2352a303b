import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import { errorIn } from './contexts/field-error.js';
import { ALLOW_ANONYMOUS, PUBLIC } from './decorators/route-metadata.js';
import { isRefusal, type SessionError } from './errors/session-error.js';
import { SessionUsageError } from './errors/session-errors.js';
import { isThenable } from './is-object.js';
import type { RequestSession } from './requests/request-session.js';
import { RouteMark } from './route-mark.js';
import { SessionService } from './session.service.js';
import type { Session } from './sessions/session.js';

/**
 * Lets a request pass that has a living session with a user. `@AllowAnonymous()` also lets a session without a user pass, `@Public()` every
 * request. Anything else is a 401 if the session is known to be absent or unusable, a 503 if that is not known, and a 403 if another site may
 * have sent the request.
 *
 * An application adapts it by a subclass that overrides the protected methods.
 */
@Injectable()
export class SessionGuard implements CanActivate {
  readonly #public: RouteMark;
  readonly #anonymous: RouteMark;

  constructor(
    protected readonly sessions: SessionService,
    protected readonly reflector: Reflector,
  ) {
    this.#public = new RouteMark(PUBLIC, reflector);
    this.#anonymous = new RouteMark(ALLOW_ANONYMOUS, reflector);
  }

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.#decided(this.isPublic(context), 'isPublic')) return true;
    // Without `await`, because every guarded request passes here.
    return SessionService.requestsOf(this.sessions)
      .loaded(context)
      .then(
        (request) => this.#admit(request, context),
        (error: unknown) => this.#refuse(error, context),
      );
  }

  #admit(request: RequestSession, context: ExecutionContext): boolean | Promise<boolean> {
    let session: Session;
    try {
      session = request.required();
      if (session.isAnonymous && !this.#decided(this.allowsAnonymous(context), 'allowsAnonymous')) {
        session = request.requiredWithUser();
      }
    } catch (error) {
      return this.#refuse(error, context);
    }
    return this.handleSession(session, context);
  }

  #refuse(error: unknown, context: ExecutionContext): boolean | Promise<boolean> {
    if (isRefusal(error)) return this.handleRefusal(error, context);
    throw errorIn(context, error);
  }

  /**
   * Plain JavaScript may override with an async method, and a promise of false must open no route.
   *
   * @throws SessionUsageError
   */
  #decided(result: unknown, method: string): boolean {
    if (!isThenable(result)) return Boolean(result);
    // It may reject, which must not end the process.
    result.then(undefined, () => undefined);
    const error = new SessionUsageError(`${method}() of a SessionGuard has to return true or false, and no promise.`);
    SessionService.requestsOf(this.sessions).misused(error);
    throw error;
  }

  /** Whether the route is open to all clients. Default: it, or its controller, carries `@Public()`. */
  protected isPublic(context: ExecutionContext): boolean {
    return this.#public.isOn(context);
  }

  /** Whether a session without a user may pass. Default: the route, or its controller, carries `@AllowAnonymous()`. */
  protected allowsAnonymous(context: ExecutionContext): boolean {
    return this.#anonymous.isOn(context);
  }

  /** Called with the session of a request that may pass. Return false, or throw, to refuse it all the same. Default: true. */
  protected handleSession(session: Session, context: ExecutionContext): boolean | Promise<boolean>;
  protected handleSession(): boolean | Promise<boolean> {
    return true;
  }

  /**
   * Called where the request has no session, or one that may not pass. Default: throws `error`, which is a 401.
   *
   * @param error its `code` is the exact reason, which is not sent to the client
   * @returns true: the request may pass without a session
   */
  protected handleRefusal(error: SessionError, context: ExecutionContext): boolean | Promise<boolean> {
    throw errorIn(context, error);
  }
}
