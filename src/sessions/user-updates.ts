import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { SessionError } from '../errors/session-error.js';
import {
  SessionBackendError,
  SessionConflictError,
  SessionDataError,
  SessionNotFoundError,
  SessionUsageError,
} from '../errors/session-errors.js';
import { originOf } from '../events/session-event.js';
import { SessionEvents } from '../events/session-events.js';
import { isPlainObject } from '../is-object.js';
import { SessionOptions } from '../options/session-options.js';
import { apply, type Change } from '../records/changes.js';
import { checksumFrom } from '../records/checksum.js';
import type { SessionUser } from '../records/session-user.js';
import type { StoredSession } from '../records/stored-session.js';
import { SessionStore } from '../store/session-store.js';
import { CLOCK_MARGIN_MS } from '../store/store-budget.js';
import type { SessionId, UserTag } from '../tokens/session-secret.js';
import { isUnwantedPromise } from '../unwanted-promise.js';
import { SessionFactory } from './session-factory.js';
import { Session } from './session.js';

/** Enough to fill the connection, few enough to let requests in between. */
const SESSIONS_AT_ONCE = 32;
/** Looked at in one turn of the event loop. */
const SESSIONS_IN_A_TURN = 500;
/** How often the sessions are listed anew, because some got a new id or ended since the list was made. */
const MOST_SWEEPS = 20;

/** A pure function that changes the user that it is given. */
type UserChange = (user: SessionUser) => unknown;

/** Whose sessions are changed, how, and by which user. */
interface UserUpdate {
  readonly userId: string;
  readonly tag: UserTag;
  readonly change: UserChange;
  /** Of the event. */
  readonly by: string | null;
}

/** The sessions that were changed, each with the checksum of the user that was stored in it. */
type ChangedSessions = Map<SessionId, number>;

interface Sweep {
  /** Whether a session had ended, or had got a new id, when it was to be changed. Under the new id it may have the old user. */
  readonly wasOvertaken: boolean;
  /** Why a session could not be changed while others could; null: all were. */
  readonly failure: SessionError | null;
}

/**
 * Changes the user in all sessions of a user, each by compare-and-set.
 *
 * The sessions are listed twice. A login that began before the first list brings the old user, and may store it afterwards; it is over, or
 * refused by the store, when its `backendTimeout` has passed. Then the second list has its session.
 */
@Injectable()
export class UserUpdates implements OnApplicationShutdown {
  /** They end the pauses that are under way. */
  readonly #waiting = new Set<() => void>();
  #isShutDown = false;

  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly factory: SessionFactory,
    private readonly events: SessionEvents,
  ) {}

  /**
   * @returns how many sessions were changed
   * @throws SessionBackendError, SessionConflictError, SessionDataError, whose message tells how many were changed, or what `change` throws
   */
  async run(update: UserUpdate): Promise<number> {
    assertFunction(update.change);
    const changed: ChangedSessions = new Map();
    try {
      await this.#sweep(update, changed, false);
      await this.#pause();
      const failure = await this.#sweepUntilDone(update, changed);
      if (failure !== null) throw failure;
    } catch (error) {
      throw isIncomplete(error) ? withCount(error, changed.size) : error;
    }
    return changed.size;
  }

  async #sweepUntilDone(update: UserUpdate, changed: ChangedSessions): Promise<SessionError | null> {
    for (let count = 0; count < MOST_SWEEPS; count++) {
      const { wasOvertaken, failure } = await this.#sweep(update, changed, true);
      if (!wasOvertaken) return failure;
    }
    return new SessionConflictError('The sessions of the user kept changing their ids.');
  }

  /** @param withPending whether logins that are not finished are changed too. They fail then, if they bring another user. */
  async #sweep(update: UserUpdate, changed: ChangedSessions, withPending: boolean): Promise<Sweep> {
    const left = await this.store.listByUser(update.tag, this.store.newBudget(), withPending);
    let failure: SessionError | null = null;
    let wasOvertaken = false;
    let count = 0;
    const work = async (): Promise<void> => {
      for (let known = left.pop(); known !== undefined; known = left.pop()) {
        if (++count % SESSIONS_IN_A_TURN === 0) await eventLoopTurn();
        try {
          wasOvertaken = (await this.#changeOne(known, update, changed, withPending)) === 'overtaken' || wasOvertaken;
        } catch (error) {
          if (isOfOneSession(error)) {
            failure ??= error;
            continue;
          }
          // An outage, or a fault of `change`: the other sessions would have it too.
          left.length = 0;
          throw error;
        }
      }
    };
    // Those under way are waited for, so that the count is true.
    const ends = await Promise.allSettled(Array.from({ length: Math.min(SESSIONS_AT_ONCE, left.length) }, work));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return { wasOvertaken, failure };
  }

  async #changeOne(
    known: StoredSession,
    update: UserUpdate,
    changed: ChangedSessions,
    withPending: boolean,
  ): Promise<'done' | 'overtaken'> {
    let changes: readonly Change[] = [];
    const revise = (current: StoredSession) => {
      changes = this.#mayChange(current, changed, withPending) ? this.#changesBy(update, current) : [];
      if (changes.length === 0) return null;
      // The user may have filled the session up to the limit: a role must not stay because of that.
      return { content: apply(current.content, changes), ignoresSizeLimit: true };
    };
    let stored: StoredSession | null;
    try {
      stored = await this.store.compareAndSet.change(known.record.id, known, revise, this.store.newBudget(), 'always');
    } catch (error) {
      // A part of it is damaged, which is logged. It is no session.
      if (error instanceof SessionNotFoundError) return 'done';
      throw error;
    }
    if (stored === null) return 'overtaken';
    if (changes.length > 0 && stored.record.status === 'active') this.#note(stored, update, changed, changes);
    return 'done';
  }

  #mayChange(current: StoredSession, changed: ChangedSessions, withPending: boolean): boolean {
    const { id, status } = current.record;
    if (status === 'pending') return withPending;
    // So a change that counts something counts it once, unless another writer has changed the user since.
    return this.store.isAlive(current) && changed.get(id) !== checksumOfUser(current);
  }

  #changesBy({ change }: UserUpdate, { record, content }: StoredSession): readonly Change[] {
    // Unread, because `change` must not get objects of which another one is made.
    const session = this.factory.open({ record, content: content.unread() });
    const { user } = session;
    if (user === null) return [];
    assertNoResult(change(user), user);
    return Session.stateOf(session).pendingChanges().changes;
  }

  #note(stored: StoredSession, update: UserUpdate, changed: ChangedSessions, changes: readonly Change[]): void {
    const { record, content } = stored;
    changed.set(record.id, checksumOfUser(stored));
    if (!this.events.hasListeners) return;
    const { userId, by } = update;
    const fields = changes.flatMap((change) => ('field' in change ? [change.field] : []));
    const origin = originOf('user-updated', content.readLogin());
    this.events.emit({ type: 'user-updated', sessionId: record.id, userId, fields, by, ...origin });
  }

  /** Long enough for a login to end that brings the old user. The timer keeps the process alive: its caller waits. */
  async #pause(): Promise<void> {
    if (!this.#isShutDown) {
      await new Promise<void>((resolve) => {
        const end = () => {
          clearTimeout(timer);
          this.#waiting.delete(end);
          resolve();
        };
        const timer = setTimeout(end, this.options.backendTimeout + CLOCK_MARGIN_MS);
        this.#waiting.add(end);
      });
    }
    if (!this.#isShutDown) return;
    throw new SessionBackendError(
      'BACKEND_UNAVAILABLE',
      'The application has shut down before logins of the same time could be looked for.',
    );
  }

  onApplicationShutdown(): void {
    this.#isShutDown = true;
    for (const end of [...this.#waiting]) end();
  }
}

function assertFunction(change: unknown): void {
  if (typeof change === 'function') return;
  throw new SessionUsageError('updateUserSessions() takes a function that changes the user that it is given.');
}

function checksumOfUser({ content }: StoredSession): number {
  return checksumFrom(content.userText, 0);
}

/** @throws SessionUsageError when `change` is async, or returns a changed copy, which would not be stored */
function assertNoResult(result: unknown, user: SessionUser): void {
  if (isUnwantedPromise(result)) {
    throw new SessionUsageError(
      'The function given to updateUserSessions() may run several times and must not be async.',
    );
  }
  if (!isPlainObject(result) || Object.is(result, user) || !('userId' in result)) return;
  throw new SessionUsageError(
    'The function given to updateUserSessions() returned a copy of the user, which is not stored. Change the user that it is given.',
  );
}

/** Whether only this session could not be changed. */
function isOfOneSession(error: unknown): error is SessionError {
  return (
    error instanceof SessionConflictError || (error instanceof SessionDataError && error.code === 'SESSION_TOO_LARGE')
  );
}

function isIncomplete(error: unknown): error is SessionBackendError | SessionConflictError | SessionDataError {
  return error instanceof SessionBackendError || isOfOneSession(error);
}

/** The same error, which says what was done. */
function withCount<E extends SessionError>(error: E, count: number): E {
  const sessions = count === 1 ? '1 session was' : `${count} sessions were`;
  error.message = `${sessions} changed, and others may not be: ${error.message} Call updateUserSessions() again.`;
  return error;
}
