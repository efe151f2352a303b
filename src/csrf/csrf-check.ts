import type { ExecutionContext } from '@nestjs/common';

import type { CsrfProtection, CsrfRule } from './csrf-protection.js';
import type { SessionError } from '../errors/session-error.js';
import type { PlatformRequest } from '../http/http-messages.js';
import type { Session } from '../sessions/session.js';
import type { SessionId } from '../tokens/session-secret.js';

/**
 * CSRF check of one request. Runs only if the session token came from the cookie, or a cookie is to be set; by the marks of the route that
 * the request has come to.
 */
export class CsrfCheck {
  #request: PlatformRequest;
  #context: ExecutionContext | null;
  #rule: CsrfRule | null = null;
  /** What the origin was checked for; undefined: it was not. */
  #checkedId: SessionId | null | undefined;
  /** The session that the cookie opened; null: none, or it has been replaced. */
  #session: Session | null = null;
  /** Why that session is given to nobody. */
  #tokenRefusal: SessionError | null = null;
  /** Whether the response depends on the page that sent the request. */
  wasMade = false;

  /** @param report is told of a refusal */
  constructor(
    private readonly csrf: CsrfProtection,
    request: PlatformRequest,
    context: ExecutionContext | null,
    private readonly report: (error: SessionError, sessionId: SessionId | null) => void,
  ) {
    this.#request = request;
    this.#context = context;
  }

  /**
   * The request has come to a route, perhaps as the framework's own request, which knows more than Node's. Express hands requests on from
   * route to route by `next()`.
   *
   * @returns whether what was checked has to be checked again
   */
  arriveAt(request: PlatformRequest, context: ExecutionContext | null): boolean {
    const isKnown =
      this.#request === request &&
      (context === null ||
        (this.#context?.getHandler() === context.getHandler() && this.#context.getClass() === context.getClass()));
    if (isKnown) return false;
    this.#request = request;
    this.#context = context ?? this.#context;
    this.#rule = null;
    return this.#checkedId !== undefined;
  }

  /** @throws SessionCsrfError */
  checkAgain(): void {
    if (this.#checkedId !== undefined) this.assertOwnPage(this.#checkedId);
    if (this.#session !== null) this.opened(this.#session);
  }

  /**
   * What can be told before the session is read.
   *
   * @param sessionId that of the cookie; null: the response is to set one
   * @throws SessionCsrfError
   */
  assertOwnPage(sessionId: SessionId | null): void {
    this.#checkedId = sessionId;
    if (this.#ruleOfRoute() !== 'checked') return;
    this.wasMade = true;
    try {
      this.csrf.assertOwnOrigin(this.#request, sessionId);
    } catch (error) {
      this.report(error as SessionError, sessionId);
      throw error;
    }
  }

  /** The cookie has opened `session`. The token that the request sends must fit before anything is given this session; a login ends it. */
  opened(session: Session): void {
    this.#session = session;
    this.#tokenRefusal = this.#ruleOfRoute() === 'checked' ? this.csrf.refusalOfToken(this.#request, session) : null;
  }

  /** Whether the session of the cookie may be used as the session of this request. */
  get admitsSession(): boolean {
    return this.#tokenRefusal === null;
  }

  /** @throws SessionCsrfError when the request's token does not fit the session of the cookie */
  assertToken(): void {
    if (this.#tokenRefusal === null) return;
    this.report(this.#tokenRefusal, this.#session?.sessionId ?? null);
    throw this.#tokenRefusal;
  }

  /** The session of the cookie is not that of this request any more. */
  replaced(): void {
    this.#session = null;
    this.#tokenRefusal = null;
  }

  #ruleOfRoute(): CsrfRule {
    return (this.#rule ??= this.csrf.ruleFor(this.#request, this.#context));
  }
}
