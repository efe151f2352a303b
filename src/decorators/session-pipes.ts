import { Injectable, type ExecutionContext, type PipeTransform } from '@nestjs/common';

import { RequestSessions } from '../requests/request-sessions.js';
import type { FlashMessage } from '../sessions/flash-message.js';
import type { Session } from '../sessions/session.js';

/** The properties of a session that a decorator can pick. */
export type SessionProperty = Exclude<keyof Session, 'addFlashMessage' | 'getFlashMessages' | 'toJSON'>;

/** What a session decorator hands to its pipe: its factory has no access to providers, a pipe has. */
export interface SessionParameter {
  readonly context: ExecutionContext;
  /** The property of the session that is wanted; undefined: the session. */
  readonly property: SessionProperty | undefined;
}

@Injectable()
export class CurrentSessionPipe implements PipeTransform<SessionParameter, Promise<unknown>> {
  constructor(private readonly requests: RequestSessions) {}

  async transform({ context, property }: SessionParameter): Promise<unknown> {
    const session = await this.requests.of(context).require();
    return property === undefined ? session : session[property];
  }
}

@Injectable()
export class OptionalSessionPipe implements PipeTransform<SessionParameter, Promise<unknown>> {
  constructor(private readonly requests: RequestSessions) {}

  async transform({ context, property }: SessionParameter): Promise<unknown> {
    const session = await this.requests.of(context).optional();
    return property === undefined ? session : (session?.[property] ?? null);
  }
}

@Injectable()
export class FlashMessagesPipe implements PipeTransform<SessionParameter, Promise<FlashMessage[]>> {
  constructor(private readonly requests: RequestSessions) {}

  transform({ context }: SessionParameter): Promise<FlashMessage[]> {
    return this.requests.of(context).takeFlash();
  }
}

@Injectable()
export class CsrfTokenPipe implements PipeTransform<SessionParameter, Promise<string | null>> {
  constructor(private readonly requests: RequestSessions) {}

  transform({ context }: SessionParameter): Promise<string | null> {
    return this.requests.of(context).csrfToken();
  }
}
