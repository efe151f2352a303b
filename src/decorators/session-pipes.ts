import { Injectable, Logger, type PipeTransform } from '@nestjs/common';

import { SessionUsageError } from '../errors/session-errors.js';
import type { RequestSession } from '../requests/request-session.js';
import { RequestSessions } from '../requests/request-sessions.js';
import type { FlashMessage } from '../records/flash-message.js';
import type { SessionUser } from '../records/session-user.js';
import { unseal, type SessionParameter } from './session-parameter.js';

/** Resolves the parameter of a session decorator, behind all pipes of the application. */
@Injectable()
export abstract class SessionPipe implements PipeTransform<unknown, unknown> {
  readonly #logger = new Logger('SessionModule');

  constructor(protected readonly requests: RequestSessions) {}

  /** A value, and no promise of it, where a guard has loaded the session: the pipes of each parameter wait for one another. */
  transform(value: unknown): unknown {
    const parameter = unseal(value);
    if (parameter === undefined) throw this.#replaced();
    const request = this.requests.of(parameter.context);
    if (request.isLoaded) return this.resolve(request, parameter);
    return request.load().then(() => this.resolve(request, parameter));
  }

  /** @param request its session is loaded */
  protected abstract resolve(request: RequestSession, parameter: SessionParameter): unknown;

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
  protected resolve(request: RequestSession, { property }: SessionParameter): unknown {
    const session = request.required();
    return property === undefined ? session : session[property];
  }
}

@Injectable()
export class OptionalSessionPipe extends SessionPipe {
  protected resolve(request: RequestSession, { property }: SessionParameter): unknown {
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

@Injectable()
export class OneTimePipe extends SessionPipe {
  protected resolve(request: RequestSession, { oneTime = '' }: SessionParameter): Promise<unknown> | null {
    const session = request.admitted();
    if (session === null || !request.responseHasReader()) return null;
    return this.requests.writer.takeOneTime(session, oneTime, request.budget);
  }
}
