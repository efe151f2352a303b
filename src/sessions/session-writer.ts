import { Injectable } from '@nestjs/common';

import { SessionNotFoundError, SessionUsageError } from '../errors/session-errors.js';
import { sessionChannels, trace } from '../events/session-channels.js';
import { isPlainObject } from '../is-object.js';
import { apply, type Change } from '../records/changes.js';
import { encodePayload, type SessionContent } from '../records/payload.js';
import { encodedPayload } from '../records/stored-payload.js';
import type { StoredOneTimeValue } from '../records/one-time-value.js';
import type { ReadRecord } from '../records/session-record.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import { toFlashMessage, type FlashMessage } from '../records/flash-message.js';
import { isUnwantedPromise } from '../unwanted-promise.js';
import { Session } from './session.js';
import { SessionFactory } from './session-factory.js';
import { sessionEndedError, type SessionState } from './session-state.js';
import type { SessionRevision, StoredSession } from '../records/stored-session.js';

/** For subscribers of the channel. */
type CommitOperation = 'commit' | 'update' | 'take-flash' | 'return-flash' | 'one-time' | 'set-lifetime';

/** A pure function that changes the session that it is given. */
type SessionChange = (session: Session) => unknown;

/** Every change of a living session: a compare-and-set over a change set, so that no writer undoes another's. */
@Injectable()
export class SessionWriter {
  constructor(
    private readonly store: SessionStore,
    private readonly factory: SessionFactory,
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
      if (state.hasChanges()) throw sessionEndedError();
      return;
    }
    const pending = state.pendingChanges();
    if (pending.changes.length === 0) return;
    state.listener?.beforeWrite();
    const revise = ({ content }: StoredSession) => ({ content: apply(content, pending.changes) });
    state.committed(pending, await this.#changeHeld(state, revise, budget, 'commit'));
  }

  /** @throws SessionNotFoundError, and whatever `change` throws */
  async update(id: SessionId, change: SessionChange, budget: StoreBudget): Promise<Session> {
    const revise = (current: StoredSession) => ({ content: this.#applyChange(current, change) });
    return this.factory.open(await this.#changeAlive(id, null, revise, budget, 'update'));
  }

  /** The same for a loaded session. Also stores what its holder has changed; afterwards the holder sees the result. */
  updateHeld(session: Session, change: SessionChange, budget: StoreBudget): Promise<Session> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#updateHeld(session, change, budget));
  }

  async #updateHeld(session: Session, change: SessionChange, budget: StoreBudget): Promise<Session> {
    const state = Session.stateOf(session);
    if (state.isEnded) throw sessionEndedError();
    state.listener?.beforeWrite();
    const pending = state.pendingChanges();
    const stored = await this.#changeHeld(
      state,
      ({ record, content }) => ({
        content: this.#applyChange(storedWith(record, apply(content, pending.changes)), change),
      }),
      budget,
      'update',
    );
    state.continueAs(stored, pending);
    return session;
  }

  #applyChange(current: StoredSession, change: SessionChange): SessionContent {
    if (typeof change !== 'function') throw new SessionUsageError('update() takes a function that changes a session.');
    const session = this.factory.open(current);
    const result: unknown = change(session);
    if (isUnwantedPromise(result)) {
      throw new SessionUsageError('The function given to update() may run several times and must not be async.');
    }
    const { changes } = Session.stateOf(session).pendingChanges();
    if (changes.length === 0) assertNoCopy(result, session);
    return apply(current.content, changes);
  }

  /**
   * Changes how long a session lasts. What its holder has changed is neither stored by it nor lost.
   *
   * @throws SessionNotFoundError `SESSION_ENDED`, and whatever `revise` throws
   */
  setLifetime(
    session: Session,
    revise: (stored: StoredSession) => SessionRevision,
    budget: StoreBudget,
  ): Promise<void> {
    const state = Session.stateOf(session);
    return state.inTurn(async () => {
      if (state.isEnded) throw sessionEndedError();
      state.listener?.beforeWrite();
      state.lifetimeChanged(await this.#changeHeld(state, revise, budget, 'set-lifetime'));
    });
  }

  /** Removes the messages from the store and returns them. If several requests take them at once, each message goes to one request. */
  takeFlash(session: Session, budget: StoreBudget): Promise<FlashMessage[]> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#takeFlash(state, budget));
  }

  async #takeFlash(state: SessionState, budget: StoreBudget): Promise<FlashMessage[]> {
    if (state.isEnded) throw sessionEndedError();
    const mayBeMore = state.listener?.isRecent() !== true;
    if (!state.prepareFlash(mayBeMore)) return [];
    let taken: SessionContent['flash'] = [];
    state.listener?.beforeWrite();
    if (!state.flash.hasStored && !mayBeMore) return state.flash.read(true).map(toFlashMessage);
    const stored = await this.#changeHeld(
      state,
      ({ content }) => {
        taken = state.flash.untaken(content.flash);
        const changes = taken.map(({ id }): Change => ({ op: 'take-flash', id }));
        // Where there is nothing to take, the store reads the session anew.
        return { content: apply(content, changes) };
      },
      budget,
      'take-flash',
    );
    return state.flashTaken(taken, stored).map(toFlashMessage);
  }

  /** Puts back the messages that `session` took and that did not reach the client. Messages added in the meantime stay. */
  returnFlash(session: Session, budget: StoreBudget): Promise<void> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#returnFlash(state, budget));
  }

  async #returnFlash(state: SessionState, budget: StoreBudget): Promise<void> {
    const messages = state.flash.undoTaken();
    if (messages.length === 0 || state.isEnded) return;
    const returned: Change = { op: 'return-flash', messages };
    const revise = ({ content }: StoredSession) => ({ content: apply(content, [returned]) });
    state.flashReturned(messages, await this.#changeHeld(state, revise, budget, 'return-flash'));
  }

  /** Stores a one-time value at once, and not with the other changes of the holder. */
  putOneTime(session: Session, added: StoredOneTimeValue, budget: StoreBudget): Promise<void> {
    const state = Session.stateOf(session);
    const put: Change = { op: 'put-one-time', added, now: this.factory.clock.now() };
    return state.inTurn(() => this.#changeOneTime(state, () => [put], budget));
  }

  /**
   * Removes a one-time value from the store and returns it. Of several requests at once, one gets it.
   *
   * @returns `null` if the store has none, or for `HEAD` and prefetches
   */
  takeOneTime(session: Session, name: string, budget: StoreBudget): Promise<unknown> {
    const state = Session.stateOf(session);
    return state.inTurn(() => this.#takeOneTime(state, name, budget));
  }

  async #takeOneTime(state: SessionState, name: string, budget: StoreBudget): Promise<unknown> {
    if (!state.isEnded && state.listener?.prepareOneTime() === false) return null;
    const now = this.factory.clock.now();
    let taken: StoredOneTimeValue | undefined;
    const take = ({ oneTime }: SessionContent): Change[] => {
      taken = oneTime.findLast((stored) => stored.name === name && stored.expiresAt > now);
      return taken === undefined ? [] : [{ op: 'take-one-time', name }];
    };
    await this.#changeOneTime(state, take, budget);
    return taken?.value ?? null;
  }

  async #changeOneTime(
    state: SessionState,
    changesOf: (content: SessionContent) => readonly Change[],
    budget: StoreBudget,
  ): Promise<void> {
    if (state.isEnded) throw sessionEndedError();
    state.listener?.beforeWrite();
    // Where there is nothing to change, the store reads the session anew: another request may have put a value.
    const revise = ({ content }: StoredSession) => ({ content: apply(content, changesOf(content)) });
    state.oneTimeChanged(await this.#changeHeld(state, revise, budget, 'one-time'));
  }

  /** @throws SessionNotFoundError, after `state` is notified */
  async #changeHeld(
    state: SessionState,
    revise: (stored: StoredSession) => SessionRevision | null,
    budget: StoreBudget,
    operation: CommitOperation,
  ): Promise<StoredSession> {
    try {
      return await this.#changeAlive(state.record.id, state.snapshot(), revise, budget, operation);
    } catch (error) {
      if (error instanceof SessionNotFoundError) state.lost();
      throw error;
    }
  }

  #changeAlive(
    id: SessionId,
    known: StoredSession | null,
    revise: (stored: StoredSession) => SessionRevision | null,
    budget: StoreBudget,
    operation: CommitOperation,
  ): Promise<StoredSession> {
    if (!sessionChannels.commit.hasSubscribers) return this.#change(id, known, revise, budget);
    return trace(
      sessionChannels.commit,
      { operation, sessionId: id },
      () => this.#change(id, known, revise, budget),
      () => ({ outcome: 'stored' }),
    );
  }

  async #change(
    id: SessionId,
    known: StoredSession | null,
    revise: (stored: StoredSession) => SessionRevision | null,
    budget: StoreBudget,
  ): Promise<StoredSession> {
    const stored = await this.store.compareAndSet.change(
      id,
      known,
      (current) => {
        if (!this.store.isAlive(current)) throw sessionEndedError();
        return revise(current);
      },
      budget,
    );
    if (stored === null) throw sessionEndedError();
    return stored;
  }
}

/** The session as it is when `content` is stored in `record`. */
function storedWith(record: ReadRecord, content: SessionContent): StoredSession {
  const changed = { ...record, payload: encodePayload(record.id, content) };
  return { record: changed, content: encodedPayload(changed, content.metadata) };
}

/** A function that changes nothing and returns an object has made a copy, which would not be stored. @throws SessionUsageError */
function assertNoCopy(result: unknown, session: Session): void {
  if (!isPlainObject(result) || Object.getPrototypeOf(result) !== Object.prototype) return;
  const parts: unknown[] = [session.data, session.user, ...Object.values(session.data)];
  if (parts.includes(result)) return;
  throw new SessionUsageError(
    'The function given to update() returned an object and changed nothing. Change the session that it is given: a copy is not stored.',
  );
}
