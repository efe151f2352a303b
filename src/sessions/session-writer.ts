import { Injectable } from '@nestjs/common';

import { SessionNotFoundError, SessionUsageError } from '../errors/session-errors.js';
import { originOf, UNKNOWN_CLIENT, type SessionEndedEvent, type SessionEventOrigin } from '../events/session-event.js';
import { SessionEvents } from '../events/session-events.js';
import { apply, type Change } from '../records/changes.js';
import { decodePayload, encodePayload, type SessionContent } from '../records/payload.js';
import type { SessionRecord } from '../records/session-record.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import { toFlashMessage, type FlashMessage } from '../records/flash-message.js';
import { Session } from './session.js';
import { sessionEnded } from './session-ended.js';
import { SessionContext } from './session-context.js';
import type { SessionState } from './session-state.js';
import type { StoredSession } from '../records/stored-session.js';

/** A pure function that changes the session that it is given. */
export type SessionChange = (session: Session) => unknown;

/** Why a session is ended, by which call, and by whom. */
export type Ending = Pick<SessionEndedEvent, 'reason' | 'cause' | 'by'>;

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
    if (state.isEnded) {
      if (state.hasChanges()) throw sessionEnded();
      return;
    }
    const pending = state.pendingChanges();
    if (pending.changes.length === 0) return;
    const stored = await this.#changeHeld(state, ({ content }) => apply(content, pending.changes), budget);
    state.committed(pending, stored);
  }

  /** @throws SessionNotFoundError, and whatever `change` throws */
  async update(id: SessionId, change: SessionChange, budget: StoreBudget): Promise<Session> {
    const revise = (current: StoredSession) => this.#changed(current, change);
    return this.context.open(await this.#changeAlive(id, null, revise, budget));
  }

  /** The same for a session that is held: what its holder has changed is stored too, and then the holder sees the result. */
  updateHeld(session: Session, change: SessionChange, budget: StoreBudget): Promise<Session> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#updateHeld(session, change, budget));
  }

  async #updateHeld(session: Session, change: SessionChange, budget: StoreBudget): Promise<Session> {
    const state = Session.stateOf(session);
    if (state.isEnded) throw sessionEnded();
    const pending = state.pendingChanges();
    const stored = await this.#changeHeld(
      state,
      ({ record, content }) => this.#changed(storedWith(record, apply(content, pending.changes)), change),
      budget,
    );
    state.continueAs(stored, pending);
    return session;
  }

  #changed(current: StoredSession, change: SessionChange): SessionContent {
    const session = this.context.open(current);
    const result = change(session);
    if (result instanceof Promise) {
      // Its failure is of no interest any more, and must not end the process.
      result.catch(() => undefined);
      throw new SessionUsageError('The function given to update() may run several times and must not be async.');
    }
    return apply(current.content, Session.stateOf(session).pendingChanges().changes);
  }

  /** Removes the messages from the store and returns them: of many takers at once, each message goes to one. */
  takeFlash(session: Session, budget: StoreBudget): Promise<FlashMessage[]> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#takeFlash(state, budget));
  }

  async #takeFlash(state: SessionState, budget: StoreBudget): Promise<FlashMessage[]> {
    if (state.isEnded) throw sessionEnded();
    if (!state.mayTakeFlash()) return [];
    let taken: SessionContent['flash'] = [];
    if (!state.flash.hasStored) return state.flash.read(true).map(toFlashMessage);
    const stored = await this.#changeHeld(
      state,
      ({ content }) => {
        taken = content.flash;
        const changes = taken.map(({ id }): Change => ({ op: 'take-flash', id }));
        return changes.length === 0 ? null : apply(content, changes);
      },
      budget,
    );
    return state.flashTaken(taken, stored).map(toFlashMessage);
  }

  /** Puts back the messages that were taken by `session` and have reached nobody; those that came meanwhile stay. */
  returnFlash(session: Session, budget: StoreBudget): Promise<void> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#returnFlash(state, budget));
  }

  async #returnFlash(state: SessionState, budget: StoreBudget): Promise<void> {
    const messages = state.flash.undoTaken();
    if (messages.length === 0 || state.isEnded) return;
    const returned: Change = { op: 'return-flash', messages };
    const stored = await this.#changeHeld(state, ({ content }) => apply(content, [returned]), budget);
    state.flashReturned(messages, stored);
  }

  /** Ends the session. False: it had ended already. */
  end(session: Session, ending: Ending, budget: StoreBudget): Promise<boolean> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#end(state, ending, budget));
  }

  async #end(state: SessionState, ending: Ending, budget: StoreBudget): Promise<boolean> {
    if (state.isEnded) return false;
    const sessionId = state.record.id;
    const outcome = await this.store.delete(sessionId, budget);
    state.end('ended');
    if (outcome === 'missing') return false;
    const { userId } = state;
    this.events.emit({ type: 'ended', sessionId, userId, ...state.originOf(ending.cause), ...ending });
    return true;
  }

  /**
   * Ends a session of which only the id is known. False: there was none.
   *
   * @param origin that of a request; default: the client of the session
   */
  async endById(
    sessionId: SessionId,
    ending: Ending,
    budget: StoreBudget,
    origin?: SessionEventOrigin,
  ): Promise<boolean> {
    const ended = this.events.areHeard ? await this.#peek(sessionId, budget) : null;
    const outcome = await this.store.delete(sessionId, budget);
    if (outcome === 'missing') return false;
    const userId = ended?.user?.userId ?? null;
    const known = origin ?? originOf(ending.cause, ended?.facts ?? UNKNOWN_CLIENT);
    this.events.emit({ type: 'ended', sessionId, userId, ...known, ...ending });
    return true;
  }

  /** For an event, which says less where the store does not answer; the session is to end all the same. */
  async #peek(id: SessionId, budget: StoreBudget): Promise<SessionContent | null> {
    try {
      return (await this.store.read(id, budget))?.content ?? null;
    } catch {
      return null;
    }
  }

  /** Ends the session and keeps its record, so that a later request learns why. False: it had ended already. */
  invalidate(session: Session, by: string | null, budget: StoreBudget): Promise<boolean> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#invalidate(state, by, budget));
  }

  async #invalidate(state: SessionState, by: string | null, budget: StoreBudget): Promise<boolean> {
    if (state.isEnded) return false;
    const sessionId = state.record.id;
    let wasAlive = false;
    const stored = await this.store.change(
      sessionId,
      state.snapshot(),
      (current) => {
        wasAlive = this.store.isAlive(current);
        return wasAlive ? { content: current.content, status: 'invalidated' } : null;
      },
      budget,
    );
    state.end('invalidated');
    wasAlive &&= stored !== null;
    if (!wasAlive) return false;
    const origin = state.originOf('invalidated');
    this.events.emit({ type: 'ended', reason: 'invalidated', sessionId, userId: state.userId, by, ...origin });
    return true;
  }

  /** @throws SessionNotFoundError, of which `state` is told too */
  async #changeHeld(
    state: SessionState,
    revise: (stored: StoredSession) => SessionContent | null,
    budget: StoreBudget,
  ): Promise<StoredSession> {
    try {
      return await this.#changeAlive(state.record.id, state.snapshot(), revise, budget);
    } catch (error) {
      if (error instanceof SessionNotFoundError) state.lost();
      throw error;
    }
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
        if (!this.store.isAlive(current)) throw sessionEnded();
        const content = revise(current);
        return content && { content };
      },
      budget,
    );
    if (stored === null) throw sessionEnded();
    return stored;
  }
}

/** The session as it is when `content` is stored in `record`. */
function storedWith(record: SessionRecord, content: SessionContent): StoredSession {
  const changed = { ...record, payload: encodePayload(record.id, content) };
  return { record: changed, content: decodePayload(changed) };
}
