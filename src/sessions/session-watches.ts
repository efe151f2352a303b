import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import type { EndedSubscription } from '../backends/session-backend.interface.js';
import { SESSION_CLOCK, type Clock } from '../clock.js';
import { messageOf } from '../errors/message-of.js';
import type { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError } from '../errors/session-errors.js';
import { noRequest } from '../no-request.js';
import { SessionOptions } from '../options/session-options.js';
import { Outage } from '../outage.js';
import { lineageOf } from '../records/alias.js';
import { expiryOf, type StoredSession } from '../records/stored-session.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { SessionState } from './session-state.js';
import { SessionSuccessors, type ReadId } from './session-successors.js';
import { Session } from './session.js';
import { WatchTimer } from './watch-timer.js';
import { Watcher, WatchedSessions, type WatchedSession } from './watched-sessions.js';

/** Looked up by one call of the store. */
const SESSIONS_AT_ONCE = 250;

/** One watch of a session. */
export interface Watch {
  /** The present one of the session, as far as it is known here; `null`: the session has ended. */
  readonly id: SessionId | null;
  readonly stop: () => void;
}

/** A watched session that does not live under its id. */
interface GoneSession extends ReadId {
  readonly watched: WatchedSession;
}

/**
 * Watches sessions for those whose life is bound to them, such as open connections: any number of them, by one timer and one subscription, and by
 * neither while nothing is watched.
 *
 * What ends in this process is known at once. Of what other processes end the backend notifies, if it can; since a notice may be lost or wrong, it
 * leads to a look at that session, and all sessions are looked at every `liveCheckInterval` seconds besides. A session that has got a new id is
 * watched under the new one. A store that fails ends nothing before the expiry that is known.
 */
@Injectable()
export class SessionWatches implements OnApplicationShutdown {
  readonly #logger = new Logger('SessionModule');
  readonly #watched = new WatchedSessions((error) => {
    this.#logger.error(`What was to be done at the end of a session has failed: ${messageOf(error)}`);
  });
  /** To be looked at before the round: new watches and new ids, and what a notice or an expiry names. A slow store may make a round long. */
  readonly #urgent = new Set<WatchedSession>();
  readonly #due = new Set<WatchedSession>();
  readonly #timer: WatchTimer;
  readonly #outage: Outage;
  #isLooking = false;
  #subscribing: Promise<EndedSubscription | null> | undefined;
  #isShutDown = false;

  constructor(
    { liveCheckInterval }: SessionOptions,
    private readonly store: SessionStore,
    private readonly successors: SessionSuccessors,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
  ) {
    this.#outage = new Outage(clock);
    this.#timer = new WatchTimer(liveCheckInterval * 1000, (isRound) => {
      this.#lookAround(isRound);
    });
  }

  onApplicationShutdown(): void {
    this.#isShutDown = true;
    this.#watched.clear();
    this.#urgent.clear();
    this.#due.clear();
    // The backend closes what is open in any case.
    void this.#unsubscribe();
  }

  /**
   * Calls `ended` once when the session has ended, in this call if that is known already. Never in the async context of the caller, or of who ends it.
   */
  watch(session: Session, ended: (reason: SessionError) => void): Watch {
    const state = Session.stateOf(session);
    const watcher = new Watcher(ended);
    if (state.isEnded) this.#watched.notify(watcher, endedError());
    else if (!this.#isShutDown) this.#add(watcher, state);
    return {
      get id() {
        return watcher.watched?.id ?? null;
      },
      stop: () => {
        this.#watched.remove(watcher);
      },
    };
  }

  #add(watcher: Watcher, { record: { id }, metadata, expiresAt }: SessionState): void {
    if (!this.#watched.add(watcher, { id, lineage: lineageOf(id, metadata), expiresAt })) return;
    this.#expires(expiresAt);
    // It may have ended since it was loaded.
    if (watcher.watched !== null) this.#look(watcher.watched);
  }

  /** Called when this process has ended a session. */
  ended(id: string): void {
    const watched = this.#watched.get(id);
    if (watched !== undefined) this.#watched.end(watched, endedError());
  }

  /** Called when this process has given a session a new id. */
  idChanged(formerId: string, stored: StoredSession): void {
    const watched = this.#watched.get(formerId);
    if (watched === undefined) return;
    const { record, content } = stored;
    if (lineageOf(record.id, content.metadata) === watched.lineage) this.#move(watched, stored);
    else this.#watched.end(watched, endedError());
  }

  /** Called when this process has changed how long a session lasts: it may end sooner than was known. */
  lifetimeChanged(id: string, expiresAt: number): void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    watched.expiresAt = expiresAt;
    this.#expires(expiresAt);
  }

  /** Goes on under the id of `stored`. */
  #move(watched: WatchedSession, stored: StoredSession): void {
    const present = this.#watched.move(watched, stored.record.id);
    this.#renewed(present, stored);
    // A notice that came before this found no watch.
    this.#look(present);
  }

  #renewed(watched: WatchedSession, { record, content }: StoredSession): void {
    watched.expiresAt = expiryOf(record, content.metadata);
    this.#expires(watched.expiresAt);
  }

  // When to look

  #expires(expiresAt: number): void {
    if (!this.#isShutDown) this.#timer.setWithin(expiresAt - this.clock.now());
  }

  #lookAround(isRound: boolean): void {
    if (this.#watched.size === 0) {
      // Here and not with the last watch: a single client that comes and goes would make and drop a connection each time.
      void this.#unsubscribe();
      return;
    }
    const now = this.clock.now();
    let earliest = Infinity;
    for (const watched of this.#watched.all()) {
      const hasExpired = watched.expiresAt <= now;
      if (!hasExpired) earliest = Math.min(earliest, watched.expiresAt);
      if (hasExpired) this.#look(watched);
      else if (isRound) this.#look(watched, this.#due);
    }
    this.#expires(earliest);
  }

  /** Never throws. */
  async #unsubscribe(): Promise<void> {
    this.#timer.stop();
    const subscribing = this.#subscribing;
    this.#subscribing = undefined;
    try {
      await (await subscribing)?.close();
    } catch (error) {
      this.#logger.warn(`The subscription to the ends of sessions could not be closed: ${messageOf(error)}`);
    }
  }

  /** @returns when it is subscribed, or cannot be */
  async #subscribed(budget: StoreBudget): Promise<void> {
    this.#subscribing ??= this.store
      .onEnded((ids) => {
        for (const id of ids) {
          const watched = this.#watched.get(id);
          if (watched !== undefined) this.#look(watched);
        }
      })
      .catch((error: unknown) => {
        this.#logger.warn(
          `The session store does not notify of ended sessions, so open connections learn of them every liveCheckInterval seconds: ${messageOf(error)}`,
        );
        return null;
      });
    const subscribing = this.#subscribing;
    await budget.run(() => subscribing).catch(() => null);
  }

  // Looking

  #look(watched: WatchedSession, among: Set<WatchedSession> = this.#urgent): void {
    among.add(watched);
    if (this.#isLooking) return;
    this.#isLooking = true;
    noRequest.runInAsyncScope(() => {
      void this.#lookAtDue();
    });
  }

  /** Never throws. */
  async #lookAtDue(): Promise<void> {
    // So that connections which come at the same time are looked up together.
    await eventLoopTurn();
    for (let part = this.#takeDue(); part.length > 0; part = this.#takeDue()) {
      try {
        await this.#subscribed(this.store.newBudget());
        await this.#lookForSuccessors(await this.#lookAt(part));
        this.#lookSucceeded();
      } catch (error) {
        this.#lookFailed(error, part);
      }
    }
    this.#isLooking = false;
  }

  /** At most half of a full part is urgent if the round fills the other half, so that many new watches do not delay the round. */
  #takeDue(): WatchedSession[] {
    const part: WatchedSession[] = [];
    this.#take(part, this.#urgent, SESSIONS_AT_ONCE - Math.min(this.#due.size, SESSIONS_AT_ONCE / 2));
    this.#take(part, this.#due, SESSIONS_AT_ONCE);
    return part;
  }

  /** @param most how many `part` may then hold */
  #take(part: WatchedSession[], queue: Set<WatchedSession>, most: number): void {
    for (const watched of queue) {
      if (part.length === most) return;
      this.#urgent.delete(watched);
      this.#due.delete(watched);
      if (this.#watched.has(watched)) part.push(watched);
    }
  }

  /** @returns those that do not live under their id */
  async #lookAt(part: readonly WatchedSession[]): Promise<GoneSession[]> {
    const ids = part.map(({ id }) => id);
    const found = await this.store.readMany(ids, this.store.newBudget());
    const gone: GoneSession[] = [];
    for (const [index, watched] of part.entries()) {
      const { id, lineage } = watched;
      if (id !== ids[index]) continue;
      const stored = found[index] ?? null;
      if (stored === 'unknown') this.#endIfExpired(watched);
      else if (stored === null || !this.store.isAlive(stored)) gone.push({ watched, id, lineage, stored });
      else this.#renewed(watched, stored);
    }
    return gone;
  }

  async #lookForSuccessors(gone: readonly GoneSession[]): Promise<void> {
    const successors = await this.successors.successorsOf(gone);
    for (const [index, { watched, id }] of gone.entries()) {
      if (watched.id !== id || !this.#watched.has(watched)) continue;
      const successor = successors[index] ?? null;
      if (successor === 'unknown') this.#endIfExpired(watched);
      else if (successor === null)
        this.#watched.end(watched, this.#hasExpired(watched) ? expiredError() : endedError());
      else if (successor.record.id === watched.id) this.#renewed(watched, successor);
      else this.#move(watched, successor);
    }
  }

  /** Nothing is known, which is no end. */
  #lookFailed(error: unknown, part: readonly WatchedSession[]): void {
    for (const watched of part) this.#endIfExpired(watched);
    // A look at few may have met the one server that is down. Behind a full one the others are not tried: they come again in the next round.
    if (part.length === SESSIONS_AT_ONCE) this.#giveUp();
    if (!this.#outage.failed()) return;
    this.#logger.warn(
      `The sessions of open connections cannot be looked up, so these stay open until the known expiry of their session: ${messageOf(error)}`,
    );
  }

  #giveUp(): void {
    for (const watched of [...this.#urgent, ...this.#due]) this.#endIfExpired(watched);
    this.#urgent.clear();
    this.#due.clear();
  }

  #lookSucceeded(): void {
    if (this.#outage.succeeded()) this.#logger.log('The sessions of open connections can be looked up again.');
  }

  #endIfExpired(watched: WatchedSession): void {
    if (this.#hasExpired(watched) && this.#watched.has(watched)) this.#watched.end(watched, expiredError());
  }

  #hasExpired({ expiresAt }: WatchedSession): boolean {
    return expiresAt <= this.clock.now();
  }
}

function endedError(): SessionNotFoundError {
  return new SessionNotFoundError('The session of this connection has ended.', 'SESSION_ENDED');
}

function expiredError(): SessionNotFoundError {
  return new SessionNotFoundError('The session of this connection has expired.', 'SESSION_EXPIRED');
}
