import type { SessionError } from '../errors/session-error.js';
import { SessionCsrfError } from '../errors/session-errors.js';
import type { Session } from '../sessions/session.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { CheckedRequest, CsrfProtection } from './csrf-protection.js';

/** CSRF check of one request. Made only if the session token came from the cookie, or a cookie is to be set. */
export class CsrfCheck {
  /** Whether the request is checked, by its method and the decorators of its route; `null` if not determined yet. */
  #doesApply: boolean | null = null;
  /** The session for which the origin was checked, `null` for a new session; `undefined` if it was not checked. */
  #checkedId: SessionId | null | undefined;
  /** The session of the cookie; `null` if none is loaded, or it has been replaced. */
  #session: Session | null = null;
  /** The id that was in the cookie, if the request has made another session since: its page has a token of that one. */
  #replacedId: SessionId | null = null;
  /**
   * Whether the CSRF token alone has to prove the origin, and is not of the id in the cookie. It may be of another id of the same session, which
   * another process may have given it, and which is known when the session is loaded.
   */
  #awaitsSession = false;
  /** Why the request may change nothing; `null` if its origin is allowed or was not checked. */
  #originRefusal: SessionError | null = null;
  /** Why the request may not use that session. */
  #tokenRefusal: SessionError | null = null;
  /** Whether the response depends on the origin of the request. */
  dependsOnOrigin = false;

  /** @param report is called with each refusal */
  constructor(
    private readonly csrf: CsrfProtection,
    private readonly checked: CheckedRequest,
    private readonly report: (error: SessionError, sessionId: SessionId | null) => void,
  ) {}

  /** Whether the origin was checked. */
  get isMade(): boolean {
    return this.#checkedId !== undefined;
  }

  /** Repeats the checks that were made, because the route or the request is now known in full. @throws SessionCsrfError */
  repeat(): void {
    this.#doesApply = null;
    if (this.#checkedId !== undefined) this.checkOrigin(this.#checkedId, this.#session);
    if (this.#session !== null) this.checkToken(this.#session);
  }

  /**
   * Checks the origin, before the session is read: what a header refuses costs no call to the store, nor does a text that is no CSRF token.
   *
   * @throws SessionCsrfError
   */
  checkOriginBeforeRead(sessionId: SessionId): void {
    this.#makeOriginCheck(sessionId, null, true);
  }

  /** Makes a check that `checkOriginBeforeRead()` could not finish. @param session `null`: there is none @throws SessionCsrfError */
  checkOriginAfterRead(session: Session | null): void {
    if (this.#awaitsSession && this.#checkedId !== undefined) this.checkOrigin(this.#checkedId, session);
  }

  /**
   * Checks the origin.
   *
   * @param sessionId the session of the cookie; `null` if the response will set a cookie for a new session
   * @param session the same, if it is loaded
   * @throws SessionCsrfError
   */
  checkOrigin(sessionId: SessionId | null, session: Session | null = null): void {
    this.#makeOriginCheck(sessionId, session, false);
  }

  #makeOriginCheck(sessionId: SessionId | null, session: Session | null, mayWait: boolean): void {
    this.#checkedId = sessionId;
    this.#originRefusal = null;
    this.#awaitsSession = false;
    if (!this.#applies) return;
    this.dependsOnOrigin = true;
    try {
      this.csrf.checkOrigin(this.checked, sessionId, session);
    } catch (error) {
      const isWrongToken = error instanceof SessionCsrfError && error.code === 'CSRF_TOKEN_INVALID';
      if (mayWait && isWrongToken && this.csrf.hasWellFormedToken(this.checked.request)) {
        this.#awaitsSession = true;
        return;
      }
      this.#originRefusal = error as SessionError;
      this.report(this.#originRefusal, sessionId);
      throw error;
    }
  }

  /** Compares the CSRF token of the request with `session`. The result is thrown by `assertTokenPassed()`, because a login needs no such token. */
  checkToken(session: Session): void {
    this.#session = session;
    // A page cannot send one with a handshake.
    const isChecked = this.#applies && !this.checked.isHandshake;
    this.#tokenRefusal = isChecked ? this.csrf.refusalOfToken(this.checked.request, session, this.#replacedId) : null;
  }

  /** The same, at once, for a session of the cookie that is refused, so that only its id is known. @throws SessionCsrfError */
  checkTokenOfRefused(id: SessionId): void {
    if (!this.#applies || this.checked.isHandshake) return;
    const refusal = this.csrf.refusalOfToken(this.checked.request, null, id);
    if (refusal === null) return;
    this.report(refusal, id);
    throw refusal;
  }

  /** Whether the request may use the session of the cookie. */
  get admitsSession(): boolean {
    return this.#tokenRefusal === null;
  }

  /** Throws the refusal that `checkToken()` has found. @throws SessionCsrfError */
  assertTokenPassed(): void {
    if (this.#tokenRefusal === null) return;
    this.report(this.#tokenRefusal, this.#session?.sessionId ?? null);
    throw this.#tokenRefusal;
  }

  /** Throws the refusal of an earlier check of the origin again. @throws SessionCsrfError */
  assertOriginPassed(): void {
    if (this.#originRefusal !== null) throw this.#originRefusal;
  }

  /** The same of all earlier checks, for a session that was handed out before them. @throws SessionCsrfError */
  assertPassed(): void {
    this.assertOriginPassed();
    this.assertTokenPassed();
  }

  /** Called when the request has made another session than that of the cookie. */
  replaced(): void {
    this.#checkedId ??= null;
    this.#replacedId ??= this.#checkedId;
    this.#session = null;
    this.#tokenRefusal = null;
  }

  get #applies(): boolean {
    return (this.#doesApply ??= this.csrf.appliesTo(this.checked));
  }
}
