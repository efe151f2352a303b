import { Injectable, Logger } from '@nestjs/common';

import { messageOf } from '../errors/message-of.js';
import {
  originOf,
  UNKNOWN_CLIENT,
  type SessionEndedEvent,
  type SessionEndReason,
  type SessionEventOrigin,
} from '../events/session-event.js';
import { sessionChannels, trace, type TraceEnd } from '../events/session-channels.js';
import { SessionEvents } from '../events/session-events.js';
import type { LoginMetadata } from '../records/payload.js';
import type { StoredSession } from '../records/stored-session.js';
import { SessionStore, unknownIfNewer } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId, UserTag } from '../tokens/session-secret.js';
import type { SessionState } from './session-state.js';
import { SessionWatches } from './session-watches.js';
import { Session } from './session.js';

/** Of no client that is known. */
export const LOGOUT_EVERYWHERE = {
  reason: 'logout-everywhere',
  origin: originOf('logout-everywhere', UNKNOWN_CLIENT),
} as const;

/** Why a session is ended, by which call and by which user. */
export type Ending = Pick<SessionEndedEvent, 'reason' | 'cause' | 'by'>;

/** Why all sessions of a user are ended, from where and by which user. */
interface EndingOfAll {
  readonly reason: SessionEndReason;
  readonly origin: SessionEventOrigin;
  readonly by: string | null;
  /** The session that stays. Default: none. */
  readonly except?: SessionId | undefined;
}

/** The fields of an ended session that its event contains. */
interface EndedSession {
  readonly userId: string | null;
  readonly client: LoginMetadata;
  /** False: it was invalidated or over before, and only its record was left. */
  readonly wasAlive: boolean;
}

/** Ends sessions, each with its `ended` event, unless nothing is known of its end. */
@Injectable()
export class SessionEndings {
  readonly #logger = new Logger('SessionModule');

  constructor(
    private readonly store: SessionStore,
    private readonly events: SessionEvents,
    private readonly watches: SessionWatches,
  ) {}

  /**
   * Called after a session has ended. Emits `ended`, and ends what is bound to the life of the session.
   *
   * @param heldAs the id by which this process knew it, if another process may have given it a newer one since
   */
  announce(
    sessionId: string,
    userId: string | null,
    ending: Omit<Ending, 'cause'>,
    origin: SessionEventOrigin,
    heldAs = sessionId,
  ): void {
    this.events.emit({ type: 'ended', sessionId, userId, ...origin, ...ending });
    this.watches.ended(sessionId);
    if (heldAs !== sessionId) this.watches.ended(heldAs);
  }

  /** Ends the session. @returns `false` if it had already ended */
  end(session: Session, ending: Ending, budget: StoreBudget): Promise<boolean> {
    const state = Session.stateOf(session);
    return trace(
      sessionChannels.end,
      { operation: ending.cause, sessionId: state.record.id },
      () => state.inTurn(() => this.#end(state, ending, budget)),
      endOfOne,
    );
  }

  async #end(state: SessionState, ending: Ending, budget: StoreBudget): Promise<boolean> {
    if (state.isEnded) return false;
    state.listener?.beforeWrite();
    const { id } = state.record;
    const sessionId = await this.store.aliases.end(id, budget);
    state.end('ended');
    if (sessionId === null) return false;
    this.announce(sessionId, state.userId, ending, state.originOf(ending.cause), id);
    return true;
  }

  /**
   * Ends a session of which only the id is known, the present one or one that it had before.
   *
   * @param origin default: the client for which the session was created
   * @returns `false` if there is no such session
   */
  endById(sessionId: SessionId, ending: Ending, budget: StoreBudget, origin?: SessionEventOrigin): Promise<boolean> {
    return trace(
      sessionChannels.end,
      { operation: ending.cause, sessionId },
      () => this.#endById(sessionId, ending, budget, origin),
      endOfOne,
    );
  }

  async #endById(
    sessionId: SessionId,
    ending: Ending,
    budget: StoreBudget,
    origin: SessionEventOrigin | undefined,
  ): Promise<boolean> {
    const found = await this.#peek(sessionId, budget);
    const ended = found == null ? null : this.#endedOf(found);
    const endedId = await this.store.aliases.end(sessionId, budget, found);
    if (endedId === null || ended?.wasAlive === false) return false;
    const known = origin ?? originOf(ending.cause, ended?.client ?? UNKNOWN_CLIENT);
    this.announce(endedId, ended?.userId ?? null, ending, known, sessionId);
    return true;
  }

  /** Reads the session for the event, under its present id. If that fails, the event has fewer fields, and the session is ended anyway. */
  async #peek(id: SessionId, budget: StoreBudget): Promise<StoredSession | null | undefined> {
    return this.store.aliases.read(id, 'always', budget).catch(() => undefined);
  }

  /** @returns `null` if its content is damaged */
  #endedOf(stored: StoredSession): EndedSession | null {
    try {
      const { content } = stored;
      return {
        userId: content.user?.userId ?? null,
        client: content.readLogin(),
        wasAlive: this.store.isAlive(stored),
      };
    } catch {
      return null;
    }
  }

  /** Ends the session and keeps its record, so that a later request gets the exact reason. @returns `false` if it had already ended */
  invalidate(session: Session, by: string | null, budget: StoreBudget): Promise<boolean> {
    const state = Session.stateOf(session);
    return trace(
      sessionChannels.end,
      { operation: 'invalidated', sessionId: state.record.id },
      () => state.inTurn(() => this.#invalidate(state, by, budget)),
      endOfOne,
    );
  }

  async #invalidate(state: SessionState, by: string | null, budget: StoreBudget): Promise<boolean> {
    if (state.isEnded) return false;
    state.listener?.beforeWrite();
    // Read before anything is written: a user that is not ours throws here.
    const { userId } = state;
    const { id } = state.record;
    const seen = { alive: false };
    const stored = await this.store.compareAndSet.change(
      id,
      state.snapshot(),
      (current) => {
        seen.alive = this.store.isAlive(current);
        return seen.alive ? { content: current.content, status: 'invalidated' } : null;
      },
      budget,
      'always',
    );
    state.end('invalidated');
    if (!seen.alive || stored === null) return false;
    this.announce(stored.record.id, userId, { reason: 'invalidated', by }, state.originOf('invalidated'), id);
    return true;
  }

  /**
   * Ends all sessions of a user, except one if `except` is given.
   *
   * @param tag that of `userId`
   * @returns how many were ended
   */
  endAllOfUser(userId: string, tag: UserTag, ending: EndingOfAll, budget: StoreBudget): Promise<number> {
    return trace(
      sessionChannels.end,
      { operation: ending.origin.cause, sessionId: null },
      () => this.#endAllOfUser(userId, tag, ending, budget),
      (count) => ({ outcome: count > 0 ? 'ended' : 'missing', count }),
    );
  }

  async #endAllOfUser(
    userId: string,
    tag: UserTag,
    { reason, origin, by, except }: EndingOfAll,
    budget: StoreBudget,
  ): Promise<number> {
    const kept = except === undefined ? {} : { except: await this.#presentIdOf(except, budget) };
    const ended = await this.store.deleteByUser(tag, budget, kept);
    for (const sessionId of ended) this.announce(sessionId, userId, { reason, by }, origin);
    return ended.length;
  }

  /** Another request may have given the session a newer id since the caller has loaded it. */
  async #presentIdOf(id: SessionId, budget: StoreBudget): Promise<SessionId> {
    if (!this.store.keepsAliases) return id;
    const present = await this.store.aliases.read(id, 'always', budget).catch(unknownIfNewer);
    return present === 'unknown' ? id : (present?.record.id ?? id);
  }

  /** Ends a session whose token is sent to no client, because the request that created it has failed. Never throws. */
  async abandon(session: Session, budget: StoreBudget): Promise<void> {
    const state = Session.stateOf(session);
    const { id, version } = state.record;
    const origin = state.originOf(state.userId === null ? 'start' : 'login');
    state.end('ended');
    try {
      const outcome = await this.store.delete(id, budget);
      if (outcome === 'deleted') this.announce(id, state.userId, { reason: 'deleted', by: null }, origin);
    } catch (error) {
      // A change may have failed before the deletion. It may still take effect and create the next version.
      this.store.abandon({ id, versions: [version, version + 1] }, budget);
      this.#logger.debug(
        `A session whose token was sent to no client could not be deleted. It is deleted later: ${messageOf(error)}`,
      );
    }
  }
}

function endOfOne(hasEnded: boolean): TraceEnd {
  return { outcome: hasEnded ? 'ended' : 'missing' };
}
