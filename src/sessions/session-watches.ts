import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { AsyncResource } from 'node:async_hooks';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import type { EndedSubscription } from '../backends/session-backend.interface.js';
import { SESSION_CLOCK, type Clock } from '../clock.js';
import { messageOf } from '../errors/message-of.js';
import type { SessionError } from '../errors/session-error.js';
import { SessionNotFoundError } from '../errors/session-errors.js';
import { SessionOptions } from '../options/session-options.js';
import type { StoredSession } from '../records/stored-session.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { SessionState } from './session-state.js';
import { SessionSuccessors, lineageOf, type ReadId } from './session-successors.js';
import { Session } from './session.js';

/** Looked up by one call of the store. */
const SESSIONS_AT_ONCE = 250;

/** Made while this file is loaded, outside of any request: a request that ends a session must not lend its context to those who watch it. */
const noRequest = new AsyncResource('SessionWatches');

/** One who wants to know of the end of a session. */
interface Watcher {
  readonly ended: (reason: SessionError) => void;
  /** null: it has ended, or is not watched any more. */
  watched: WatchedSession | null;
}

/** A session that is watched, under its present id as far as it is known here. */
interface WatchedSession {
  id: SessionId;
  readonly lineage: string;
  /** When it ends if nothing renews it, as known here; milliseconds since the epoch. */
  expiresAt: number;
  readonly watchers: Set<Watcher>;
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
  readonly #byId = new Map<SessionId, WatchedSession>();
  /** To be looked at. */
  readonly #due = new Set<WatchedSession>();
  readonly #intervalMs: number;
  #isLooking = false;
  #timer: NodeJS.Timeout | undefined;
  /** By `performance.now()`. */
  #firesAt = Infinity;
  #nextRoundAt = Infinity;
  #subscribing: Promise<EndedSubscription | null> | undefined;
  #isBlind = false;
  #isShutDown = false;

  constructor(
    { liveCheckInterval }: SessionOptions,
    private readonly store: SessionStore,
    private readonly successors: SessionSuccessors,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
  ) {
    this.#intervalMs = liveCheckInterval * 1000;
  }

  async onApplicationShutdown(): Promise<void> {
    this.#isShutDown = true;
    this.#byId.clear();
    this.#due.clear();
    await this.#rest();
  }

  /**
   * Calls `ended` once when the session has ended, in this call if that is known already. Never in the async context of the caller, or of who ends it.
   *
   * @returns ends the watch
   */
  watch(session: Session, ended: (reason: SessionError) => void): () => void {
    const state = Session.stateOf(session);
    const watcher: Watcher = { ended, watched: null };
    if (state.isEnded) this.#notify(watcher, hasEnded());
    else if (!this.#isShutDown) this.#add(watcher, state);
    return () => {
      this.#remove(watcher);
    };
  }

  /** Called when this process has ended a session. */
  ended(id: string): void {
    const watched = this.#byId.get(id as SessionId);
    if (watched !== undefined) this.#end(watched, hasEnded());
  }

  /** Called when this process has given a session a new id. */
  hasNewId(formerId: string, stored: StoredSession): void {
    const watched = this.#byId.get(formerId as SessionId);
    if (watched === undefined) return;
    const { record, content } = stored;
    if (lineageOf(record.id, content.metadata) === watched.lineage) this.#move(watched, stored);
    else this.#end(watched, hasEnded());
  }

  #add(watcher: Watcher, { record: { id }, metadata, expiresAt }: SessionState): void {
    const known = this.#byId.get(id);
    const watched = known ?? { id, lineage: lineageOf(id, metadata), expiresAt, watchers: new Set() };
    watcher.watched = watched;
    watched.watchers.add(watcher);
    if (known !== undefined) return;
    this.#byId.set(id, watched);
    this.#arm(watched.expiresAt);
    // It may have ended since it was loaded.
    this.#look(watched);
  }

  #remove(watcher: Watcher): void {
    const { watched } = watcher;
    watcher.watched = null;
    if (watched?.watchers.delete(watcher) === true && watched.watchers.size === 0) this.#forget(watched);
  }

  #forget(watched: WatchedSession): void {
    this.#due.delete(watched);
    if (this.#byId.get(watched.id) === watched) this.#byId.delete(watched.id);
  }

  #end(watched: WatchedSession, reason: SessionError): void {
    this.#forget(watched);
    for (const watcher of watched.watchers) {
      // One of them may have removed another.
      if (watcher.watched !== watched) continue;
      watcher.watched = null;
      this.#notify(watcher, reason);
    }
  }

  #notify(watcher: Watcher, reason: SessionError): void {
    try {
      noRequest.runInAsyncScope(watcher.ended, undefined, reason);
    } catch (error) {
      this.#logger.error(`What was to be done at the end of a session has failed: ${messageOf(error)}`);
    }
  }

  /** Goes on under the id of `stored`, perhaps together with others who watch it by that. */
  #move(watched: WatchedSession, stored: StoredSession): void {
    this.#forget(watched);
    const { id } = stored.record;
    watched.id = id;
    const other = this.#byId.get(id);
    if (other === undefined) this.#byId.set(id, watched);
    for (const watcher of other === undefined ? [] : watched.watchers) {
      watcher.watched = other ?? null;
      other?.watchers.add(watcher);
    }
    const present = other ?? watched;
    this.#renewed(present, stored);
    // A notice that came before this had no one to go to.
    this.#look(present);
  }

  #renewed(watched: WatchedSession, { record, content }: StoredSession): void {
    watched.expiresAt = this.store.expiryOf(record, content);
    this.#arm(watched.expiresAt);
  }

  // When to look

  /** Sets the timer, so that it fires at `expiresAt` at the latest. */
  #arm(expiresAt: number): void {
    if (this.#isShutDown) return;
    const now = performance.now();
    if (this.#nextRoundAt === Infinity) this.#nextRoundAt = now + this.#intervalMs;
    // One that has expired is looked at by then, or is under way.
    const leftMs = Math.max(expiresAt - this.clock.now(), 0);
    const firesAt = Math.min(this.#nextRoundAt, now + leftMs);
    if (firesAt >= this.#firesAt) return;
    clearTimeout(this.#timer);
    this.#firesAt = firesAt;
    this.#timer = noRequest.runInAsyncScope(() =>
      setTimeout(this.#tick, Math.max(Math.ceil(firesAt - now), 1)).unref(),
    );
  }

  readonly #tick = (): void => {
    this.#firesAt = Infinity;
    if (this.#byId.size === 0) {
      void this.#rest();
      return;
    }
    const isRound = performance.now() >= this.#nextRoundAt;
    if (isRound) this.#nextRoundAt = performance.now() + this.#intervalMs;
    const now = this.clock.now();
    let earliest = Infinity;
    for (const watched of this.#byId.values()) {
      const hasExpired = watched.expiresAt <= now;
      if (!hasExpired) earliest = Math.min(earliest, watched.expiresAt);
      if (isRound || hasExpired) this.#look(watched);
    }
    this.#arm(earliest);
  };

  /** Nothing is watched any more. A little later than that, so that a single client that comes and goes does not make and drop a connection each time. */
  async #rest(): Promise<void> {
    clearTimeout(this.#timer);
    this.#firesAt = Infinity;
    this.#nextRoundAt = Infinity;
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
          const watched = this.#byId.get(id);
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

  #look(watched: WatchedSession): void {
    this.#due.add(watched);
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
    while (this.#due.size > 0) {
      await this.#subscribed(this.store.newBudget());
      const part: WatchedSession[] = [];
      for (const watched of this.#due) {
        if (part.length === SESSIONS_AT_ONCE) break;
        part.push(watched);
        this.#due.delete(watched);
      }
      try {
        await this.#lookAt(part, this.store.newBudget());
        this.#sees();
      } catch (error) {
        this.#isBlindBy(error, part);
      }
    }
    this.#isLooking = false;
  }

  async #lookAt(part: readonly WatchedSession[], budget: StoreBudget): Promise<void> {
    const ids = part.map(({ id }) => id);
    const found = await this.store.readMany(ids, budget);
    const gone: GoneSession[] = [];
    for (const [index, watched] of part.entries()) {
      if (watched.id !== ids[index]) continue;
      const stored = found[index] ?? null;
      if (stored === 'unknown') this.#endIfExpired(watched);
      else if (stored === null || !this.store.isAlive(stored))
        gone.push({ watched, id: watched.id, lineage: watched.lineage, stored });
      else this.#renewed(watched, stored);
    }
    if (gone.length > 0) await this.#lookForSuccessors(gone, budget);
  }

  async #lookForSuccessors(gone: readonly GoneSession[], budget: StoreBudget): Promise<void> {
    const successors = await this.successors.successorsOf(gone, budget);
    for (const [index, { watched, id }] of gone.entries()) {
      if (this.#byId.get(id) !== watched) continue;
      const successor = successors[index] ?? null;
      if (successor === null) this.#end(watched, this.#hasExpired(watched) ? hasExpired() : hasEnded());
      else if (successor.record.id === watched.id) this.#renewed(watched, successor);
      else this.#move(watched, successor);
    }
  }

  /** Nothing is known, which is no end. */
  #isBlindBy(error: unknown, part: readonly WatchedSession[]): void {
    const undecided = [...part, ...this.#due];
    // They come again in the next round.
    this.#due.clear();
    for (const watched of undecided) this.#endIfExpired(watched);
    if (this.#isBlind) return;
    this.#isBlind = true;
    this.#logger.warn(
      `The sessions of open connections cannot be looked up, so these stay open until the known expiry of their session: ${messageOf(error)}`,
    );
  }

  #sees(): void {
    if (this.#isBlind) this.#logger.log('The sessions of open connections can be looked up again.');
    this.#isBlind = false;
  }

  #endIfExpired(watched: WatchedSession): void {
    if (this.#hasExpired(watched) && this.#byId.get(watched.id) === watched) this.#end(watched, hasExpired());
  }

  #hasExpired({ expiresAt }: WatchedSession): boolean {
    return expiresAt <= this.clock.now();
  }
}

function hasEnded(): SessionNotFoundError {
  return new SessionNotFoundError('The session of this connection has ended.', 'SESSION_ENDED');
}

function hasExpired(): SessionNotFoundError {
  return new SessionNotFoundError('The session of this connection has expired.', 'SESSION_EXPIRED');
}
