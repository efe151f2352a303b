import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import { ALLOW_ANONYMOUS, PUBLIC } from './decorators/route-metadata.js';
import { RequestSessions } from './requests/request-sessions.js';

/**
 * Lets a request pass that has a living session with a user. `@AllowAnonymous()` drops the user, `@Public()` the whole question. Anything
 * else is a 401 if the session is known to be absent or unusable, and a 503 if that is not known.
 */
@Injectable()
export class SessionGuard implements CanActivate {
  constructor(
    private readonly requests: RequestSessions,
    private readonly reflector: Reflector,
  ) {}

  canActivate(context: ExecutionContext): Promise<boolean> {
    if (this.isMarked(context, PUBLIC)) return Promise.resolve(true);
    // Without `await`, as every guarded request comes by here.
    return this.requests.loaded(context).then((request) => {
      request.requiredWithUser({ orAnonymous: () => this.isMarked(context, ALLOW_ANONYMOUS) });
      return true;
    });
  }

  /** Whether the handler, or else its controller, carries a mark. */
  protected isMarked(context: ExecutionContext, mark: symbol): boolean {
    return (
      this.reflector.getAllAndOverride<boolean | undefined>(mark, [context.getHandler(), context.getClass()]) ?? false
    );
  }
}
