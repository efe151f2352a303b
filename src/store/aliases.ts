import type { Clock } from '../clock.js';
import { aliasTarget, type AliasTarget } from '../records/alias.js';
import type { StoredSession } from '../records/stored-session.js';
import type { DeleteResult } from '../backends/session-backend.interface.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { StoreBudget } from './store-budget.js';

/** The most ids that a session may have got since an alias, for the alias to be followed. Each is a read. */
const MOST_HOPS = 32;

/** Whether a call that meets an alias goes on with the session to which it leads: only within the grace, also after it, or not at all. */
export type FollowsAlias = 'within grace' | 'always' | 'never';

/** Where an alias has led. */
export interface FollowedAlias {
  /** The session; `null` if it is gone, or too many ids away. */
  readonly stored: StoredSession | null;
  /** The earliest end of the graces on the way, milliseconds since the epoch. */
  readonly graceEndsAt: number;
}

/** Makes the calls of the store. */
interface AliasStore {
  read(id: SessionId, budget: StoreBudget): Promise<StoredSession | null>;
  delete(id: SessionId, budget: StoreBudget): Promise<DeleteResult>;
}

/** Finds a session by an id that it had before a new id with a grace. Each id between the two is one more read. */
export class Aliases {
  constructor(
    private readonly store: AliasStore,
    private readonly clock: Clock,
  ) {}

  /** @throws SessionNotFoundError when the content of an alias is damaged */
  async follow(alias: StoredSession, budget: StoreBudget): Promise<FollowedAlias> {
    let stored: StoredSession | null = alias;
    let graceEndsAt = Infinity;
    for (let hops = 0; stored?.record.status === 'alias'; hops++) {
      const target: AliasTarget | null = hops < MOST_HOPS ? aliasTarget(stored) : null;
      if (target === null) return { stored: null, graceEndsAt };
      graceEndsAt = Math.min(graceEndsAt, target.graceEndsAt);
      stored = await this.store.read(target.successor, budget);
    }
    return { stored, graceEndsAt };
  }

  /** Reads a session. @returns the alias itself with `never` */
  async read(id: SessionId, follows: FollowsAlias, budget: StoreBudget): Promise<StoredSession | null> {
    const found = await this.store.read(id, budget);
    if (found?.record.status !== 'alias' || follows === 'never') return found;
    const { stored, graceEndsAt } = await this.follow(found, budget);
    return follows === 'always' || graceEndsAt > this.clock.now() ? stored : null;
  }

  /**
   * Ends a session by its id, or by one that it had before.
   *
   * @returns the id under which it ended; `null` if there was none
   */
  async end(id: SessionId, budget: StoreBudget): Promise<SessionId | null> {
    let current = id;
    for (;;) {
      const outcome = await this.store.delete(current, budget);
      if (outcome === 'deleted') return current;
      if (outcome !== 'alias') return null;
      const stored = await this.store.read(current, budget);
      if (stored === null) return null;
      // Not an alias any more: the new id was taken back, and the session is there again.
      if (stored.record.status !== 'alias') continue;
      const target = aliasTarget(stored);
      if (target === null) return null;
      current = target.successor;
    }
  }
}
