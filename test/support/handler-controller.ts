import { All, Controller, HttpCode, Injectable, Req } from '@nestjs/common';
import { OptionalSession, Session, SessionService } from 'nestjs-sessionx';

/** What a handler of a test has at hand. */
export interface HandlerContext {
  readonly sessions: SessionService;
  readonly request: object;
  /** As `@OptionalSession()` has loaded it; null: the request had none. */
  readonly session: Session | null;
}

export type Handler = (context: HandlerContext) => unknown;

/** Lets a test say what the route `/run` does. */
@Injectable()
export class Handlers {
  current: Handler = () => 'no handler';
}

/** `/run` does what the test has put into {@link Handlers}. */
@Controller()
export class HandlerController {
  constructor(
    private readonly sessions: SessionService,
    private readonly handlers: Handlers,
  ) {}

  @HttpCode(200)
  @All('run')
  run(@Req() request: object, @OptionalSession() session: Session | null): unknown {
    return this.handlers.current({ sessions: this.sessions, request, session });
  }
}
