import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { errorIn, settledIn } from '../contexts/field-error.js';
import { SessionForbiddenError, SessionStaleError, type RequiredProof } from '../errors/session-errors.js';
import type { RequestSession } from '../requests/request-session.js';
import { RequestSessions } from '../requests/request-sessions.js';
import type { Session } from '../sessions/session.js';
import { requirementsOf, type Requirements } from './requirements.js';

/**
 * Checks what `@RequireRoles()`, `@RequirePermissions()` and `@RequireFresh()` require, and that there is a user. They attach it, so that no route is
 * open because another guard is missing, or lets all requests pass.
 */
@Injectable()
export class RequirementsGuard implements CanActivate {
  constructor(
    private readonly requests: RequestSessions,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
  ) {}

  canActivate(context: ExecutionContext): true | Promise<true> {
    const request = this.requests.ofContext(context);
    const requirements = requirementsOf(context);
    if (!request.isLoaded)
      return settledIn(
        context,
        request.load().then(() => this.#admit(request, requirements)),
      );
    try {
      return this.#admit(request, requirements);
    } catch (error) {
      throw errorIn(context, error);
    }
  }

  /** Rights come first: for a user without them, another proof of identity is of no use. */
  #admit(request: RequestSession, { roles = [], permissions = [], proofs = [] }: Requirements): true {
    const session = request.requiredWithUser();
    for (const oneOf of roles) {
      if (!oneOf.some((role) => has(session, 'roles', role)))
        throw this.#forbidden(request, session, roleMissingError(oneOf));
    }
    for (const allOf of permissions) {
      const missing = allOf.filter((permission) => !has(session, 'permissions', permission));
      if (missing.length > 0) throw this.#forbidden(request, session, permissionMissingError(missing));
    }
    for (const proof of proofs) {
      const error = this.#staleness(session, proof);
      if (error !== null) throw this.#stale(request, session, error);
    }
    return true;
  }

  #forbidden(request: RequestSession, { sessionId }: Session, error: SessionForbiddenError): SessionForbiddenError {
    request.report(error, sessionId);
    return error;
  }

  /** As in OpenID Connect (Core 1.0, section 3.1.2.1), a proof is too old when more time has passed than is allowed. */
  #staleness({ authenticatedAt, authMethods }: Session, required: RequiredProof): SessionStaleError | null {
    const { within, methods } = required;
    // A proof from the future, as after a clock was set back, must not stay fresh until that time comes.
    if (authenticatedAt === null || Math.abs(this.clock.now() - authenticatedAt.getTime()) > within * 1000) {
      return new SessionStaleError(
        'PROOF_TOO_OLD',
        `The user has not proved their identity within ${within} seconds. Check their proof, then call reauthenticate().`,
        required,
      );
    }
    if (methods.length === 0 || methods.some((method) => authMethods.includes(method))) return null;
    return new SessionStaleError(
      'PROOF_METHOD_MISSING',
      `The user has not proved their identity by one of: ${methods.join(', ')}. Check such a proof, then call reauthenticate(request, { methods }).`,
      required,
    );
  }

  #stale(request: RequestSession, session: Session, error: SessionStaleError): SessionStaleError {
    request.stale(error, session);
    return error;
  }
}

/** As the application has it now: a guard before may have read it anew from a database, and may have put in anything. */
function has({ user }: Session, kind: 'roles' | 'permissions', name: string): boolean {
  const names: unknown = user?.[kind];
  return Array.isArray(names) && names.includes(name);
}

function roleMissingError(roles: readonly string[]): SessionForbiddenError {
  return new SessionForbiddenError(
    'ROLE_MISSING',
    `The user of the session has none of the roles: ${roles.join(', ')}.`,
  );
}

function permissionMissingError(permissions: readonly string[]): SessionForbiddenError {
  return new SessionForbiddenError(
    'PERMISSION_MISSING',
    `The user of the session does not have the permissions: ${permissions.join(', ')}.`,
  );
}
