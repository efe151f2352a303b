import { setTimeout as sleep } from 'node:timers/promises';

import { retryPauseMs } from '../backends/backend-rules.js';
import { SessionConflictError } from '../errors/session-errors.js';
import type { SessionRevision, StoredSession } from '../records/stored-session.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { Aliases, FollowsAlias } from './aliases.js';
import { KeyedQueue } from './keyed-queue.js';
import type { StoreBudget } from './store-budget.js';

/** The revision of a session as it is stored; `null`: it stays as it is. */
type Revise = (stored: StoredSession) => SessionRevision | null;

/** Replaces the record of a session in the version that was read. @returns the session as stored; `null` if there is no such session */
type Replace = (
  stored: StoredSession,
  revision: SessionRevision,
  budget: StoreBudget,
) => Promise<StoredSession | 'changed' | 'unchanged' | null>;

/** Changes sessions by compare-and-set, again and again until no other writer is faster or the time is up. */
export class CompareAndSet {
  readonly #queues = new KeyedQueue();

  constructor(
    private readonly aliases: Aliases,
    private readonly replace: Replace,
  ) {}

  /**
   * Stores what `revise` makes of a session. It is called again with the newer session if another writer was faster, so it must be pure. If it
   * returns `null`, or a revision that changes nothing, nothing is written.
   *
   * @param known the session as the caller has already read it; saves a read, and may be outdated
   * @param follows what becomes of an `id` that the session no longer has
   * @returns the session as stored, perhaps under a newer id; `null` if there is no such session
   * @throws SessionConflictError when the budget ends before an attempt succeeds
   * @throws SessionDataError when the revision is too large
   */
  change(
    id: SessionId,
    known: StoredSession | null,
    revise: Revise,
    budget: StoreBudget,
    follows: FollowsAlias = 'within grace',
  ): Promise<StoredSession | null> {
    const attempt = (stored: StoredSession, isLatest: boolean) => this.#attempt(stored, isLatest, revise, budget);
    let current = known;
    return this.#queues.run(
      id,
      async (turn) => {
        await budget.run(() => turn);
        // The previous writer has changed the session, so a compare-and-set on the known version would fail.
        current = null;
      },
      () => this.retry(id, current, attempt, budget, follows),
    );
  }

  async #attempt(
    stored: StoredSession,
    isLatest: boolean,
    revise: Revise,
    budget: StoreBudget,
  ): Promise<StoredSession | 'changed' | 'outdated' | null> {
    const revision = revise(stored);
    if (revision === null) return stored;
    const replaced = await this.replace(stored, revision, budget);
    if (replaced !== 'unchanged') return replaced;
    // True only for the version that the caller knows. Another writer may have changed it since, and the last write wins.
    return isLatest ? stored : 'outdated';
  }

  /**
   * Calls `attempt` with a stored session, and again with the newer one each time that another writer was faster.
   *
   * @param known the session as the caller has already read it; `null` if it has not
   * @param attempt returns `changed` if another writer was faster, `outdated` if it needs the latest version
   * @param follows what becomes of an `id` that the session no longer has; with `never`, `attempt` gets the alias
   * @returns `null` if there is no such session any more
   * @throws SessionConflictError when the budget ends before
   */
  async retry<Result>(
    id: SessionId,
    known: StoredSession | null,
    attempt: (stored: StoredSession, isLatest: boolean) => Promise<Result | 'changed' | 'outdated'>,
    budget: StoreBudget,
    follows: FollowsAlias = 'within grace',
  ): Promise<Result | null> {
    let lost = 0;
    let isLatest = known === null;
    let stored = known ?? (await this.aliases.read(id, follows, budget));
    while (stored !== null) {
      const result = await attempt(stored, isLatest);
      if (result !== 'changed' && result !== 'outdated') return result;
      if (result === 'changed') await this.#pause(++lost, budget);
      stored = await this.aliases.read(id, follows, budget);
      isLatest = true;
    }
    return null;
  }

  /** A random pause, so that writers that collided once do not collide again. */
  async #pause(tries: number, budget: StoreBudget): Promise<void> {
    const pauseMs = retryPauseMs(tries);
    if (budget.remainingMs <= pauseMs) {
      throw new SessionConflictError(
        'Other requests kept changing this session until backendTimeout was over. Try again.',
      );
    }
    await budget.run(() => sleep(pauseMs));
  }
}
