import { Injectable, Logger, type PipeTransform } from '@nestjs/common';

import { SessionUsageError } from '../errors/session-errors.js';
import type { RequestSession } from '../requests/request-session.js';
import { RequestSessions } from '../requests/request-sessions.js';
import type { FlashMessage } from '../records/flash-message.js';
import type { SessionUser } from '../records/session-user.js';
import { unseal, type SessionProperty } from './session-parameter.js';

/** Resolves the parameter of a session decorator, behind all pipes of the application. */
@Injectable()
export abstract class SessionPipe implements PipeTransform<unknown, unknown> {
  readonly #logger = new Logger('SessionModule');

  constructor(private readonly requests: RequestSessions) {}

  /** A value, and no promise of it, where a guard has loaded the session: the pipes of each parameter wait for one another. */
  transform(value: unknown): unknown {
    const parameter = unseal(value);
    if (parameter === undefined) throw this.#replaced();
    const request = this.requests.of(parameter.context);
    if (request.isLoaded) return this.resolve(request, parameter.property);
    return request.load().then(() => this.resolve(request, parameter.property));
  }

  /** @param request its session is loaded */
  protected abstract resolve(request: RequestSession, property: SessionProperty | undefined): unknown;

  #replaced(): SessionUsageError {
    const error = new SessionUsageError(
      "A pipe of the application has put another value in the place of the one that a session decorator handed to it: let it return values as they are when metadata.type is 'custom'.",
    );
    // Nest logs no HttpException, and this one is for the developer.
    this.#logger.error(error.message);
    return error;
  }
}

@Injectable()
export class CurrentSessionPipe extends SessionPipe {
  protected resolve(request: RequestSession, property: SessionProperty | undefined): unknown {
    const session = request.required();
    return property === undefined ? session : session[property];
  }
}

@Injectable()
export class OptionalSessionPipe extends SessionPipe {
  protected resolve(request: RequestSession, property: SessionProperty | undefined): unknown {
    const session = request.admitted();
    return property === undefined ? session : (session?.[property] ?? null);
  }
}

@Injectable()
export class CurrentUserPipe extends SessionPipe {
  protected resolve(request: RequestSession): SessionUser | null {
    return request.requiredWithUser().user;
  }
}

@Injectable()
export class FlashMessagesPipe extends SessionPipe {
  protected resolve(request: RequestSession): Promise<FlashMessage[]> {
    return request.flash.take();
  }
}

@Injectable()
export class CsrfTokenPipe extends SessionPipe {
  protected resolve(request: RequestSession): Promise<string | null> {
    return request.csrfToken();
  }
}
