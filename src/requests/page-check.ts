import type { ExecutionContext } from '@nestjs/common';

import type { CsrfProtection } from '../csrf/csrf-protection.js';
import type { SessionError } from '../errors/session-error.js';
import type { PlatformRequest } from '../http/http-messages.js';
import type { SessionId } from '../tokens/session-secret.js';

/** Whether a page of ours has sent one request: asked when a cookie speaks for it, by the marks of the route that it has come to. */
export class PageCheck {
  #context: ExecutionContext | null;
  /** What a route with `@SkipCsrf()` was not asked; undefined: nothing. */
  #skipped: SessionId | null | undefined;
  /** Whether the response depends on the page that sent the request. */
  wasMade = false;

  /** @param report is told of a refusal */
  constructor(
    private readonly csrf: CsrfProtection,
    private readonly request: PlatformRequest,
    context: ExecutionContext | null,
    private readonly report: (error: SessionError, sessionId: SessionId | null) => void,
  ) {
    this.#context = context;
  }

  /** True: the request has come to another route, which asks what the one before did not. Express hands requests on by `next()`. */
  arriveAt(context: ExecutionContext): boolean {
    if (this.#context?.getHandler() === context.getHandler() && this.#context.getClass() === context.getClass())
      return false;
    this.#context = context;
    return this.#skipped !== undefined;
  }

  /** Asks what a route before was not asked. @throws SessionCsrfError */
  catchUp(): void {
    if (this.#skipped !== undefined) this.assertOwnPage(this.#skipped);
  }

  /**
   * @param sessionId that of the cookie; null: the response is to set one
   * @throws SessionCsrfError
   */
  assertOwnPage(sessionId: SessionId | null): void {
    this.#skipped = undefined;
    switch (this.csrf.ruleFor(this.request, this.#context)) {
      case 'safe':
        return;
      case 'skipped':
        this.#skipped = sessionId;
        return;
      case 'checked':
        this.#check(sessionId);
    }
  }

  #check(sessionId: SessionId | null): void {
    this.wasMade = true;
    try {
      this.csrf.check(this.request, sessionId);
    } catch (error) {
      this.report(error as SessionError, sessionId);
      throw error;
    }
  }
}
