import type { Clock } from '../clock.js';
import { SessionConflictError } from '../errors/session-errors.js';
import { aliasLineageOf, aliasTarget } from '../records/alias.js';
import type { StoredSession } from '../records/stored-session.js';
import type { DeleteResult } from '../backends/session-backend.interface.js';
import { tagOf, type SessionId, type UserTag } from '../tokens/session-secret.js';
import type { StoreBudget } from './store-budget.js';

/** The most ids that a session may have got since an alias, for the alias to be followed. Each is a read. */
const MOST_HOPS = 32;

/** After so many the session is looked for among those of its user instead, which is one call. */
const FEW_HOPS = 3;

/** How often the end of a session is tried that gets a new id each time. */
const MOST_TRIES = 32;

/** Whether a call that meets an alias goes on with the session to which it leads: only within the grace, also after it, or not at all. */
export type FollowsAlias = 'within grace' | 'always' | 'never';

/** Lists the sessions of a user, also those that are getting a new id just now. */
export type ListOfUser = (tag: UserTag) => Promise<StoredSession[]>;

/** Where an alias has led. */
interface FollowedAlias {
  /** The session; `null` if it is gone, or too many ids away. */
  readonly stored: StoredSession | null;
  /** The earliest end of the graces on the way, milliseconds since the epoch. Once one is over, the later ones may not count. */
  readonly graceEndsAt: number;
}

/** How an alias is followed. */
interface FollowOptions {
  /** Default: within the grace. */
  readonly follows?: Exclude<FollowsAlias, 'never'>;
  /** Default: the store lists them. */
  readonly listOf?: ListOfUser;
}

/** Makes the calls of the store. */
interface AliasStore {
  read(id: SessionId, budget: StoreBudget): Promise<StoredSession | null>;
  delete(id: SessionId, budget: StoreBudget): Promise<DeleteResult>;
  listByUser(tag: UserTag, budget: StoreBudget, settles: true): Promise<StoredSession[]>;
  isAlive(session: StoredSession): boolean;
}

/**
 * Finds a session by an id that it had before a new id with a grace. Each id between the two is one more read. Where there are many, and no grace has
 * to be known any more, the session is found in the index of its user. One without a user is in none, so it is given up after `MOST_HOPS`.
 */
export class Aliases {
  constructor(
    private readonly store: AliasStore,
    private readonly clock: Clock,
  ) {}

  /** Where an alias leads. */
  async follow(
    alias: StoredSession,
    budget: StoreBudget,
    { follows = 'within grace', listOf = (tag) => this.store.listByUser(tag, budget, true) }: FollowOptions = {},
  ): Promise<FollowedAlias> {
    let stored: StoredSession | null = alias;
    let graceEndsAt = Infinity;
    for (let hops = 0; stored?.record.status === 'alias'; hops++) {
      const target = aliasTarget(stored);
      if (target === null) return { stored: null, graceEndsAt };
      graceEndsAt = Math.min(graceEndsAt, target.graceEndsAt);
      const mayStillServe = follows === 'within grace' && graceEndsAt > this.clock.now();
      if (hops >= FEW_HOPS && !mayStillServe && target.lineage !== null) {
        const list = await listOf(tagOf(target.successor));
        return { stored: list.find((session) => this.#isOf(target.lineage, session)) ?? null, graceEndsAt };
      }
      if (hops === MOST_HOPS) return { stored: null, graceEndsAt };
      stored = await this.store.read(target.successor, budget);
    }
    return { stored, graceEndsAt };
  }

  #isOf(lineage: string | null, session: StoredSession): boolean {
    return this.store.isAlive(session) && aliasLineageOf(session) === lineage;
  }

  /** Reads a session. @returns the alias itself with `never` */
  async read(id: SessionId, follows: FollowsAlias, budget: StoreBudget): Promise<StoredSession | null> {
    const found = await this.store.read(id, budget);
    if (found?.record.status !== 'alias' || follows === 'never') return found;
    const { stored, graceEndsAt } = await this.follow(found, budget, { follows });
    return follows === 'always' || graceEndsAt > this.clock.now() ? stored : null;
  }

  /**
   * Ends a session by its id, or by one that it had before.
   *
   * @param known what `read()` has just returned for `id`, with `always`. Default: nothing is known
   * @returns the id under which it ended; `null` if there was none
   * @throws SessionConflictError when it got a new id at each try
   */
  async end(id: SessionId, budget: StoreBudget, known?: StoredSession | null): Promise<SessionId | null> {
    let current = known?.record.id ?? id;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const outcome = await this.store.delete(current, budget);
      if (outcome === 'deleted') return current;
      // What led nowhere a moment ago leads nowhere now.
      if (outcome !== 'alias' || known === null) return null;
      const present = await this.read(current, 'always', budget);
      if (present === null) return null;
      current = present.record.id;
    }
    throw new SessionConflictError('The session got a new id each time that it was to be ended. Try again.');
  }
}
