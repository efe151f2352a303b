import { Injectable } from '@nestjs/common';

import { SessionNotFoundError, SessionUsageError } from '../errors/session-errors.js';
import { SessionEvents } from '../events/session-events.js';
import { apply, type Change } from '../records/changes.js';
import type { SessionContent } from '../records/payload.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import { toFlashMessage, type FlashMessage } from './flash-message.js';
import { Session } from './session.js';
import { SessionContext } from './session-context.js';
import type { SessionState, StoredSession } from './session-state.js';

/** Every change of a living session: a compare-and-set over a change set, so that no writer undoes another's. */
@Injectable()
export class SessionWriter {
  constructor(
    private readonly store: SessionStore,
    private readonly context: SessionContext,
    private readonly events: SessionEvents,
  ) {}

  /**
   * Stores what the holder of `session` changed, and only that.
   *
   * @throws SessionNotFoundError `SESSION_ENDED` when the session has ended meanwhile; then nothing is stored
   */
  commit(session: Session, budget: StoreBudget): Promise<void> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#commit(state, budget));
  }

  async #commit(state: SessionState, budget: StoreBudget): Promise<void> {
    const pending = state.pendingChanges();
    if (pending.changes.length === 0) return;
    const stored = await this.#changeAlive(
      state.record.id,
      state.snapshot(),
      ({ content }) => apply(content, pending.changes),
      budget,
    );
    state.committed(pending, stored);
  }

  /** @throws SessionNotFoundError, and whatever `change` throws */
  async update(id: SessionId, change: (session: Session) => unknown, budget: StoreBudget): Promise<Session> {
    const stored = await this.#changeAlive(
      id,
      null,
      (current) => {
        const session = this.context.open(current);
        const result = change(session);
        if (result instanceof Promise) {
          // Its failure is of no interest any more, and must not end the process.
          result.catch(() => undefined);
          throw new SessionUsageError('The function given to update() may run several times and must not be async.');
        }
        return apply(current.content, Session.stateOf(session).pendingChanges().changes);
      },
      budget,
    );
    return this.context.open(stored);
  }

  /** Removes the messages from the store and returns them: of many takers at once, each message goes to one. */
  takeFlash(session: Session, budget: StoreBudget): Promise<FlashMessage[]> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#takeFlash(state, budget));
  }

  async #takeFlash(state: SessionState, budget: StoreBudget): Promise<FlashMessage[]> {
    let taken: SessionContent['flash'] = [];
    if (state.hasStoredFlash()) {
      const stored = await this.#changeAlive(
        state.record.id,
        state.snapshot(),
        ({ content }) => {
          taken = content.flash;
          const changes = taken.map(({ id }): Change => ({ op: 'take-flash', id }));
          return changes.length === 0 ? null : apply(content, changes);
        },
        budget,
      );
      state.stored(stored);
    }
    return [...taken, ...state.takeUncommittedFlash()].map(toFlashMessage);
  }

  /** Ends the session and keeps its record, so that a later request learns why. False: it had ended already. */
  async invalidate(session: Session, budget: StoreBudget): Promise<boolean> {
    const { sessionId, user } = session;
    const state = Session.stateOf(session);
    let ended = false;
    const stored = await this.store.change(
      sessionId,
      state.snapshot(),
      (current) => {
        const alive = this.store.isAlive(current);
        ended = alive;
        return alive ? { content: current.content, status: 'invalidated' } : null;
      },
      budget,
    );
    ended &&= stored !== null;
    if (ended) this.events.emit({ type: 'ended', reason: 'invalidated', sessionId, userId: user?.userId ?? null });
    return ended;
  }

  async #changeAlive(
    id: SessionId,
    known: StoredSession | null,
    revise: (stored: StoredSession) => SessionContent | null,
    budget: StoreBudget,
  ): Promise<StoredSession> {
    const stored = await this.store.change(
      id,
      known,
      (current) => {
        if (!this.store.isAlive(current)) throw ended();
        const content = revise(current);
        return content && { content };
      },
      budget,
    );
    if (stored === null) throw ended();
    return stored;
  }
}

function ended(): SessionNotFoundError {
  return new SessionNotFoundError(
    'The session has ended while it was being changed; nothing was stored.',
    'SESSION_ENDED',
  );
}
