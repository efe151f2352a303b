import type { SessionError } from '../errors/session-error.js';
import { clientOf, rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { TokenSource } from '../options/session-options.js';
import { isRefusal, type TokenFault } from '../sessions/session-loader.js';
import { Session } from '../sessions/session.js';
import type { SessionTimes } from '../records/session-record.js';
import type { StoredSession } from '../records/stored-session.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import { messageOf } from '../errors/message-of.js';
import type { CsrfCheck } from '../csrf/csrf-check.js';
import type { RequestServices } from './request-services.js';
import type { SessionAnswer } from './session-answer.js';
import { findToken, type PresentedToken, type TokenSearchListener } from './token-search.js';

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
    private readonly page: CsrfCheck,
    private readonly budget: StoreBudget,
  ) {}

  /**
   * Null: there is none, for the reason in `refusal`.
   *
   * @throws SessionBackendError when that is not known, SessionCsrfError when another site may have sent the request
   */
  receive(): Promise<Session | null> {
    const found = findToken(this.services, rawRequestOf(this.request), this);
    return found instanceof Promise ? found.then((presented) => this.#read(presented)) : this.#read(found);
  }

  tokenRefused(fault: TokenFault, source: TokenSource): void {
    this.#refuse(this.services.loader.tokenError(fault, clientOf(this.request)), source);
  }

  severalCookies(rivalIds: ReadonlySet<SessionId> | null, ignored: TokenFault | null): void {
    this.answer.presentedSeveral();
    this.rivalIds = rivalIds;
    if (ignored !== null) this.services.loader.tokenError(ignored, clientOf(this.request));
  }

  /** What can be refused before the read is; nearly every request that gets further has nothing to renew, and waits for the read alone. */
  #read(presented: PresentedToken | null): Promise<Session | null> {
    if (presented === null) return Promise.resolve(this.#withoutSession());
    const { source, verified } = presented;
    this.answer.presented(presented);
    try {
      if (source === 'cookie') this.page.assertOwnPage(verified.sessionId);
    } catch (error) {
      if (error instanceof Error) return Promise.reject(error);
      throw error;
    }
    return this.services.store.read(verified.sessionId, this.budget, (stored) => this.#open(stored, presented));
  }

  #open(stored: StoredSession | null, presented: PresentedToken): Session | null | Promise<Session> {
    const { source, text, verified } = presented;
    const session = this.#sessionIn(stored, presented);
    if (session === null) return this.#withoutSession();
    if (source === 'cookie') this.page.opened(session);
    // A use that is refused is none.
    if (!this.page.admitsSession) return session;
    const due = this.services.renewal.timesDue(session);
    const signsAnew = verified.outdated || this.answer.isShortLived(session, verified.claims.issuedAt);
    if (due !== null || signsAnew) return this.#renew(session, presented, due);
    if (this.answer.tidiesCookies) this.answer.renew(session, text);
    return session;
  }

  #sessionIn(stored: StoredSession | null, { source, verified }: PresentedToken): Session | null {
    try {
      return this.services.loader.open(stored, verified, () => clientOf(this.request));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(error, source);
      return null;
    }
  }

  #withoutSession(): null {
    if (this.refusal !== null) this.answer.sessionRefused();
    return null;
  }

  async #renew(session: Session, { text, verified }: PresentedToken, due: SessionTimes | null): Promise<Session> {
    const renewed = due !== null && (await this.#touch(session, due));
    if (renewed || verified.outdated || this.answer.isShortLived(session, verified.claims.issuedAt)) {
      await this.#renewToken(session, verified);
    } else if (this.answer.tidiesCookies) {
      this.answer.renew(session, text);
    }
    return session;
  }

  #refuse(error: SessionError, source: TokenSource): void {
    this.refusal ??= error;
    if (source === 'cookie') this.answer.cookieRefused(error);
  }

  /** Moves the times that are due, before the handler runs. A failure leaves the request as it would be without: the session lives. */
  async #touch(session: Session, due: SessionTimes): Promise<boolean> {
    const { renewal, logger } = this.services;
    try {
      return (await renewal.touch(session, due, this.budget)) === 'renewed';
    } catch (error) {
      // The store itself says once that it fails; this may happen to every request until it works again.
      logger.debug(`A session was not renewed, the request goes on: ${messageOf(error)}`);
      return false;
    }
  }

  async #renewToken(session: Session, { claims }: VerifiedToken): Promise<void> {
    const { issuer, log } = this.services;
    try {
      this.answer.renew(session, await issuer.sign(claims.secret));
    } catch (error) {
      log.notSigned(error);
    }
  }
}
