import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { messageOf } from '../errors/message-of.js';
import { SessionEvents } from '../events/session-events.js';
import { LineLimit } from '../line-limit.js';
import { SessionOptions } from '../options/session-options.js';
import type { SessionTimes } from '../records/session-record.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { VerifiedToken } from '../tokens/token-verifier.js';
import { SessionIssuer } from './session-issuer.js';
import { SessionLifetimes, type SessionLifetime } from './session-lifetimes.js';
import { SessionWriter } from './session-writer.js';
import { SessionWatches } from './session-watches.js';
import { Session } from './session.js';

/** Some serializers keep whole seconds. */
const TOKEN_ROUNDING_MS = 1000;

/** `renewed`: the idle expiry was moved. `noted`: only the last use was stored. `ended`: there is no such session under this id any more. */
type Touched = 'renewed' | 'noted' | 'ended';

/** Decides when a use is stored, and moves the times of a session: only forward, never past the absolute expiry. */
@Injectable()
export class SessionRenewal {
  readonly #logger = new Logger('SessionModule');
  readonly #lines: LineLimit;

  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly lifetimes: SessionLifetimes,
    private readonly writer: SessionWriter,
    private readonly events: SessionEvents,
    private readonly watches: SessionWatches,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
  ) {
    this.#lines = new LineLimit(clock);
  }

  /**
   * Renews the times of the session and the token of the client, if they are due.
   *
   * A failure is logged and the request goes on, because the session lives and the older token stays valid.
   *
   * @param token that of the client; `null` if no other one can be sent
   * @param inCookie whether the token is in a cookie, which the browser removes when the lifetime of the cookie ends
   * @returns `null` if nothing is due, as for nearly every request. Otherwise a promise of the new token, or of `null` if the client keeps its token.
   */
  renew(
    session: Session,
    token: VerifiedToken | null,
    inCookie: boolean,
    budget: StoreBudget,
  ): Promise<string | null> | null {
    const times = this.#timesDue(session);
    if (times === null && !this.#needsToken(session, token, inCookie)) return null;
    return this.#renew(session, token, inCookie, times, budget);
  }

  /**
   * Moves the idle expiry, if that is due, and renews no token. A failure is logged and the request goes on.
   *
   * @returns `null` if it is not due
   */
  renewExpiry(session: Session, budget: StoreBudget): Promise<void> | null {
    const times = this.#expiryDue(session);
    return times && this.#tryTouch(session, times, budget).then(nothing);
  }

  /** Whether `renew()` would renew anything. */
  isDue(session: Session, token: VerifiedToken | null, inCookie: boolean): boolean {
    return this.#timesDue(session) !== null || this.#needsToken(session, token, inCookie);
  }

  async #renew(
    session: Session,
    token: VerifiedToken | null,
    inCookie: boolean,
    times: SessionTimes | null,
    budget: StoreBudget,
  ): Promise<string | null> {
    const touched = times === null ? 'not due' : await this.#tryTouch(session, times, budget);
    // Perhaps it has got a newer id, of which the client has the token by now. One of the old id must not take its place.
    if (touched === 'ended' || token === null) return null;
    return touched === 'renewed' || this.#needsToken(session, token, inCookie) ? this.#sign(session, token) : null;
  }

  /**
   * Changes how long a session lasts.
   *
   * @throws SessionUsageError, SessionNotFoundError `SESSION_ENDED`
   */
  async setLifetime(session: Session, lifetime: SessionLifetime, budget: StoreBudget): Promise<void> {
    const change = this.lifetimes.changeOf(lifetime);
    const state = Session.stateOf(session);
    const expiresBefore = state.expiresAt;
    await this.writer.setLifetime(session, (stored) => this.lifetimes.changed(stored, change), budget);

    this.watches.lifetimeChanged(session.sessionId, state.expiresAt);
    this.#announce(session, expiresBefore);
  }

  /** @returns a token for the client after a change of the lifetime; `null` if the client keeps its token */
  async tokenAfterChange(session: Session, token: VerifiedToken, inCookie: boolean): Promise<string | null> {
    const isOutlived = inCookie && this.lifetimes.hasPersistentCookie(session);
    return isOutlived || this.#needsToken(session, token, inCookie) ? this.#sign(session, token) : null;
  }

  /** @returns `null` if that fails, which is logged: the older token stays valid */
  async #sign(session: Session, token: VerifiedToken): Promise<string | null> {
    try {
      return await this.issuer.sign(token.claims.secret, Session.stateOf(session).metadata.absoluteExpiresAt);
    } catch (error) {
      this.#lines.log('not signed', (more) => {
        this.#logger.warn(
          `A new session token could not be signed. The client keeps its old token, which stays valid: ${messageOf(error)}${more}`,
        );
      });
      return null;
    }
  }

  /**
   * Whether the client needs a new token for the same session: its key is superseded, or it expires before the session, whose end was put off.
   * Or the response with the renewed cookie was lost or is still under way, so that the browser would drop its cookie before the session ends;
   * a cookie without `Max-Age` has no such end.
   */
  #needsToken(session: Session, token: VerifiedToken | null, inCookie: boolean): boolean {
    if (token === null) return false;
    const { outdated, claims } = token;
    if (outdated) return true;
    const { expiresAt, metadata } = Session.stateOf(session);
    if (claims.expiresAt !== undefined && claims.expiresAt + TOKEN_ROUNDING_MS <= expiresAt) return true;
    return inCookie && claims.issuedAt + metadata.ttlMs < expiresAt && this.lifetimes.hasPersistentCookie(session);
  }

  /** The times that this use has to store; `null` if none are due. */
  #timesDue(session: Session): SessionTimes | null {
    const renewed = this.#expiryDue(session);
    if (renewed !== null) return renewed;
    const { record } = Session.stateOf(session);
    const now = this.clock.now();
    const sinceStoredMs = now - record.lastAccessed;
    const touches = sinceStoredMs > 0 && sinceStoredMs >= this.options.touchInterval * 1000;
    return touches ? { lastAccessed: now, expiresAt: record.expiresAt } : null;
  }

  /** The times of a renewal; `null` if it is too early for one. */
  #expiryDue(session: Session): SessionTimes | null {
    const { metadata, expiresAt } = Session.stateOf(session);
    const passedMs = metadata.ttlMs - (expiresAt - this.clock.now());
    if (!this.options.slidingExpiration || passedMs < this.options.slidingThreshold * metadata.ttlMs) return null;
    const renewed = this.renewedTimes(session);
    return renewed.expiresAt > expiresAt ? renewed : null;
  }

  /** The times of a renewal at this instant, due or not. */
  renewedTimes(session: Session): SessionTimes {
    const { metadata } = Session.stateOf(session);
    const now = this.clock.now();
    return { lastAccessed: now, expiresAt: Math.min(now + metadata.ttlMs, metadata.absoluteExpiresAt ?? Infinity) };
  }

  async #tryTouch(session: Session, times: SessionTimes, budget: StoreBudget): Promise<Touched | 'failed'> {
    try {
      return await this.touch(session, times, budget);
    } catch (error) {
      // The store logs its outage itself.
      this.#lines.log('not renewed', (more) => {
        this.#logger.debug(`A session was not renewed, the request goes on: ${messageOf(error)}${more}`);
      });
      return 'failed';
    }
  }

  /** Stores `times`. */
  async touch(session: Session, times: SessionTimes, budget: StoreBudget): Promise<Touched> {
    const state = Session.stateOf(session);
    const expiresBefore = state.expiresAt;
    const alive = await this.store.touch(session.sessionId, times, budget);
    if (!alive) return 'ended';
    state.touched(times);
    return this.#announce(session, expiresBefore) ? 'renewed' : 'noted';
  }

  /** Emits `renewed` if the session ends later than before. */
  #announce(session: Session, expiresBefore: number): boolean {
    const { userId, expiresAt } = Session.stateOf(session);
    if (expiresAt <= expiresBefore) return false;
    this.events.emit({ type: 'renewed', sessionId: session.sessionId, userId, expiresAt });
    return true;
  }
}

function nothing(): void {
  // The caller only waits.
}
