import { Expose } from 'class-transformer';

import type { SessionId } from '../tokens/session-secret.js';
import { toFlashMessage, type FlashMessage } from '../records/flash-message.js';
import type { HeldStatus, SessionState } from './session-state.js';
import type { SessionData, SessionUser } from '../records/session-user.js';

/**
 * One client's session, as loaded for one request. Change `user` and `data` in place, at any depth; what changed is stored before the
 * response leaves, or by `SessionService.updateSession()` at once. After a login or a regeneration in the request the same object is the
 * new session.
 */
export class Session {
  readonly #state: SessionState;

  /** @internal Sessions come from the decorators and from `SessionService`. */
  constructor(state: SessionState) {
    this.#state = state;
    // A property added here would not be stored, so adding one throws. Applications use `data`.
    Object.preventExtensions(this);
  }

  /** @internal The state behind a session. */
  static stateOf(session: Session): SessionState {
    return session.#state;
  }

  /** 59 characters of base64url; safe to show and to log. It does not authenticate a client; only the token does. */
  @Expose()
  get sessionId(): SessionId {
    return this.#state.record.id;
  }

  /** The signed-in user; `null` for an anonymous session. Fields may be changed, but `userId` only by `login()`. */
  @Expose()
  get user(): SessionUser | null {
    return this.#state.user;
  }

  /** Whether no user is signed in. */
  get isAnonymous(): boolean {
    return this.#state.isAnonymous;
  }

  /** The application's data: plain JSON values, checked when they are stored. */
  @Expose()
  get data(): SessionData {
    return this.#state.data;
  }

  /** When the session was created. A regeneration keeps it. */
  @Expose()
  get createdAt(): Date {
    return new Date(this.#state.metadata.createdAt);
  }

  /** The last use before or by this request. */
  @Expose()
  get lastAccessed(): Date {
    return new Date(this.#state.lastAccessed);
  }

  /** The earlier of idle and absolute expiry, as known now. */
  @Expose()
  get expiresAt(): Date {
    return new Date(this.#state.expiresAt);
  }

  /** Whether the user asked to be remembered: `login(…, { remember: true })`. */
  get isRemembered(): boolean {
    return this.#state.metadata.isRemembered;
  }

  /** When the user last proved their identity: by `login()` or `reauthenticate()`. No use of the session changes it. `null` for an anonymous session. */
  get authenticatedAt(): Date | null {
    const { authenticatedAt } = this.#state.metadata;
    return authenticatedAt === null ? null : new Date(authenticatedAt);
  }

  /** The methods passed to `login()`, `createSession()` or `reauthenticate()`, such as `['pwd', 'otp']`. Empty if none was passed. */
  get authMethods(): readonly string[] {
    return [...this.#state.metadata.authMethods];
  }

  /** The client's address at the creation, normalised; null when none was given. */
  get ipAddress(): string | null {
    return this.#state.metadata.ipAddress;
  }

  /** The client's User-Agent at the creation; null when none was given. */
  get userAgent(): string | null {
    return this.#state.metadata.userAgent;
  }

  /**
   * `active`, or how the session ended while this object was in use: `invalidated` by `invalidateSession()`, `ended` by a logout, a deletion or
   * otherwise. An end by ID, of all sessions of the user, or by another client shows when the object is next stored. A change after the end is refused
   * with `SESSION_ENDED`.
   */
  @Expose()
  get status(): HeldStatus {
    return this.#state.status;
  }

  /**
   * Leaves a message for the next `getFlashMessages()` or `@FlashMessages()`; stored with the session's other changes.
   *
   * @param category free text for the page that shows it, such as `success`
   * @throws SessionDataError when either is not a string
   */
  addFlashMessage(message: string, category = 'info'): void {
    this.#state.addFlash(message, category);
  }

  /**
   * The messages that this object holds, oldest first. Two requests that run at once may both see a message here; `@FlashMessages()`
   * and `SessionService.takeFlash()` hand each out once.
   */
  getFlashMessages({ clear = true }: { clear?: boolean | undefined } = {}): FlashMessage[] {
    return this.#state.readFlash(clear).map(toFlashMessage);
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return this.toJSON();
  }

  /**
   * The result of `JSON.stringify`, and of a handler that returns the session. It contains no token. Nest's
   * `ClassSerializerInterceptor` reads properties only; `@Expose()` above gives the same result.
   */
  toJSON(): Record<string, unknown> {
    const { sessionId, user, data, createdAt, lastAccessed, expiresAt, status } = this;
    return { sessionId, user, data, createdAt, lastAccessed, expiresAt, status };
  }
}
