import { Injectable } from '@nestjs/common';

import { SessionEvents } from '../events/session-events.js';
import { SessionOptions } from '../options/session-options.js';
import type { SessionTimes } from '../records/session-record.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { Session } from './session.js';
import { SessionContext } from './session-context.js';

/** Decides when a use is worth a write, and moves a session's times: forward only, never past the absolute expiry. */
@Injectable()
export class SessionRenewal {
  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly context: SessionContext,
    private readonly events: SessionEvents,
  ) {}

  /** What this use has to store; null: nothing. */
  timesDue(session: Session): SessionTimes | null {
    const { record, facts } = Session.stateOf(session);
    const now = this.context.clock.now();
    const passedMs = facts.ttlMs - (record.expiresAt - now);
    const renewal = this.#renewedTimes(session, now);
    const renews =
      this.options.slidingExpiration &&
      passedMs >= this.options.slidingThreshold * facts.ttlMs &&
      renewal.expiresAt > record.expiresAt;
    if (renews) return renewal;

    const sinceStoredMs = now - record.lastAccessed;
    const touches = sinceStoredMs > 0 && sinceStoredMs >= this.options.touchInterval * 1000;
    return touches ? { lastAccessed: now, expiresAt: record.expiresAt } : null;
  }

  /** The times of a renewal at this instant, due or not. */
  renewedTimes(session: Session): SessionTimes {
    return this.#renewedTimes(session, this.context.clock.now());
  }

  /** Stores `times`: the idle expiry was put off, or only the use was noted, or the session has ended meanwhile. */
  async touch(session: Session, times: SessionTimes, budget: StoreBudget): Promise<'renewed' | 'noted' | 'ended'> {
    const state = Session.stateOf(session);
    const renews = times.expiresAt > state.record.expiresAt;
    const alive = await this.store.touch(session.sessionId, times, budget);
    if (!alive) return 'ended';
    state.touched(times);
    if (!renews) return 'noted';
    const { userId } = state;
    this.events.emit({ type: 'renewed', sessionId: session.sessionId, userId, expiresAt: times.expiresAt });
    return 'renewed';
  }

  #renewedTimes(session: Session, now: number): SessionTimes {
    const { facts } = Session.stateOf(session);
    return { lastAccessed: now, expiresAt: Math.min(now + facts.ttlMs, facts.absoluteExpiresAt ?? Infinity) };
  }
}
