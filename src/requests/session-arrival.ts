import type { SessionError } from '../errors/session-error.js';
import { clientOf, rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { TokenSource } from '../options/session-options.js';
import { isRefusal, type TokenFault } from '../sessions/session-loader.js';
import { Session } from '../sessions/session.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import { messageOf } from './message-of.js';
import type { PageCheck } from './page-check.js';
import type { RequestServices } from './request-services.js';
import type { SessionAnswer } from './session-answer.js';
import { findToken, type TokenSearchListener } from './token-search.js';

/** Receives the session that a request brings: its token, the one read, and the renewal that this use makes due. */
export class SessionArrival implements TokenSearchListener {
  /** Why there is no session though there was a token; null: there was none, or it is good. */
  refusal: SessionError | null = null;
  /** The sessions that the cookies of the request open, where these are not of one session: none is that of the request. */
  rivalIds: ReadonlySet<SessionId> | null = null;

  constructor(
    private readonly services: RequestServices,
    private readonly request: PlatformRequest,
    private readonly answer: SessionAnswer,
    private readonly page: PageCheck,
    private readonly budget: StoreBudget,
  ) {}

  /**
   * Null: there is none, for the reason in `refusal`.
   *
   * @throws SessionBackendError when that is not known, SessionCsrfError when another site may have sent the request
   */
  async receive(): Promise<Session | null> {
    const presented = await findToken(this.services, rawRequestOf(this.request), this);
    if (presented === null) return this.#nothing();
    const { source, text, verified } = presented;
    this.answer.presented(presented);
    if (source === 'cookie') this.page.assertOwnPage(verified.sessionId);
    const session = await this.#load(verified, source);
    if (session === null) return this.#nothing();
    if (source === 'cookie') this.page.opened(session);
    // A use that is refused is none.
    if (!this.page.admitsSession) return session;
    const renewed = await this.#touch(session);
    if (renewed || verified.outdated || this.answer.isShortLived(session, verified.claims.issuedAt)) {
      await this.#renewToken(session, verified);
    } else if (this.answer.tidiesCookies) {
      this.answer.renew(session, text);
    }
    return session;
  }

  #nothing(): null {
    if (this.refusal !== null) this.answer.sessionRefused();
    return null;
  }

  tokenRefused(fault: TokenFault, source: TokenSource): void {
    this.#refuse(this.services.loader.tokenError(fault, clientOf(this.request)), source);
  }

  severalCookies(rivalIds: ReadonlySet<SessionId> | null, ignored: TokenFault | null): void {
    this.answer.presentedSeveral();
    this.rivalIds = rivalIds;
    if (ignored !== null) this.services.loader.tokenError(ignored, clientOf(this.request));
  }

  async #load(verified: VerifiedToken, source: TokenSource): Promise<Session | null> {
    try {
      return await this.services.loader.load(verified, clientOf(this.request), this.budget);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(error, source);
      return null;
    }
  }

  #refuse(error: SessionError, source: TokenSource): void {
    this.refusal ??= error;
    if (source === 'cookie') this.answer.cookieRefused(error);
  }

  /** Moves the times that are due, before the handler runs. A failure leaves the request as it would be without: the session lives. */
  async #touch(session: Session): Promise<boolean> {
    const { renewal, logger } = this.services;
    const due = renewal.timesDue(session);
    if (due === null) return false;
    try {
      return (await renewal.touch(session, due, this.budget)) === 'renewed';
    } catch (error) {
      // The store itself says once that it fails; this may happen to every request until it works again.
      logger.debug(`A session was not renewed, the request goes on: ${messageOf(error)}`);
      return false;
    }
  }

  async #renewToken(session: Session, { claims }: VerifiedToken): Promise<void> {
    const { issuer, logger } = this.services;
    try {
      this.answer.renew(session, await issuer.sign(claims.secret));
    } catch (error) {
      logger.warn(`A token was not signed anew, the older one stays good: ${messageOf(error)}`);
    }
  }
}
