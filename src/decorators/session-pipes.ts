import { Injectable, Logger, type PipeTransform } from '@nestjs/common';

import { SessionUsageError } from '../errors/session-errors.js';
import type { RequestSession } from '../requests/request-session.js';
import { RequestSessions } from '../requests/request-sessions.js';
import type { FlashMessage } from '../sessions/flash-message.js';
import type { SessionUser } from '../sessions/session-user.js';
import { unseal, type SessionProperty } from './session-parameter.js';

/** Resolves the parameter of a session decorator, behind all pipes of the application. */
@Injectable()
export abstract class SessionPipe implements PipeTransform<unknown, Promise<unknown>> {
  readonly #logger = new Logger('SessionModule');

  constructor(private readonly requests: RequestSessions) {}

  async transform(value: unknown): Promise<unknown> {
    const parameter = unseal(value);
    if (parameter === undefined) throw this.#replaced();
    return this.resolve(this.requests.of(parameter.context), parameter.property);
  }

  protected abstract resolve(request: RequestSession, property: SessionProperty | undefined): Promise<unknown>;

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
  protected async resolve(request: RequestSession, property: SessionProperty | undefined): Promise<unknown> {
    const session = await request.require();
    return property === undefined ? session : session[property];
  }
}

@Injectable()
export class OptionalSessionPipe extends SessionPipe {
  protected async resolve(request: RequestSession, property: SessionProperty | undefined): Promise<unknown> {
    const session = await request.optional();
    return property === undefined ? session : (session?.[property] ?? null);
  }
}

@Injectable()
export class CurrentUserPipe extends SessionPipe {
  protected async resolve(request: RequestSession): Promise<SessionUser | null> {
    const session = await request.requireUser({ orAnonymous: () => false });
    return session.user;
  }
}

@Injectable()
export class FlashMessagesPipe extends SessionPipe {
  protected resolve(request: RequestSession): Promise<FlashMessage[]> {
    return request.takeFlash();
  }
}

@Injectable()
export class CsrfTokenPipe extends SessionPipe {
  protected resolve(request: RequestSession): Promise<string | null> {
    return request.csrfToken();
  }
}
