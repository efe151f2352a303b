import { Injectable } from '@nestjs/common';

import { lineageOf } from '../records/alias.js';
import type { StoredSession } from '../records/stored-session.js';
import { SessionBackendError } from '../errors/session-errors.js';
import type { ListOfUser } from '../store/aliases.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf, type SessionId, type UserTag } from '../tokens/session-secret.js';

/** An id that a session had at some time. */
export interface KnownId {
  readonly id: SessionId;
  /** See {@link lineageOf}. */
  readonly lineage: string;
}

/** The same, and what was just read under it. */
export interface ReadId extends KnownId {
  readonly stored: StoredSession | null;
}

/** Finds a session that has got a new id since. */
@Injectable()
export class SessionSuccessors {
  constructor(private readonly store: SessionStore) {}

  /**
   * The living session to which an id has come: under it, by the alias that was left there, or else among the sessions of its user. A session
   * without a user is in no index, so it is found by an alias alone.
   *
   * @returns `null` if it has ended
   * @throws SessionBackendError when the store fails
   */
  async successorOf(known: KnownId, budget: StoreBudget): Promise<StoredSession | null> {
    const stored = await this.store.read(known.id, budget);
    return this.#successorOf({ ...known, stored }, this.#listOnce(budget), budget);
  }

  /**
   * The same for several at the same time, in their order. The sessions of a user are listed once, however many of them have ended.
   *
   * @returns `unknown` where the store fails, or only a later version of this module knows
   */
  async successorsOf(known: readonly ReadId[]): Promise<(StoredSession | 'unknown' | null)[]> {
    const budget = this.store.newBudget();
    const listOf = this.#listOnce(budget);
    return Promise.all(known.map((one) => this.#successorOf(one, listOf, budget).catch(unknownIfFailed)));
  }

  #listOnce(budget: StoreBudget): ListOfUser {
    const lists = new Map<UserTag, Promise<StoredSession[]>>();
    return (tag) => {
      const list = lists.get(tag) ?? this.store.listByUser(tag, budget, true);
      lists.set(tag, list);
      return list;
    };
  }

  async #successorOf(
    { id, lineage, stored }: ReadId,
    listOf: ListOfUser,
    budget: StoreBudget,
  ): Promise<StoredSession | null> {
    const isAlias = stored?.record.status === 'alias';
    const { stored: present } = isAlias
      ? await this.store.aliases.follow(stored, budget, { follows: 'always', listOf })
      : { stored };
    if (present !== null && this.store.isAlive(present)) return present;
    const list = await listOf(tagOf(id));
    return list.find((other) => this.#isOf(lineage, other)) ?? null;
  }

  #isOf(lineage: string, session: StoredSession): boolean {
    return this.store.isAlive(session) && lineageOf(session.record.id, session.content.metadata) === lineage;
  }
}

function unknownIfFailed(error: unknown): 'unknown' {
  if (error instanceof SessionBackendError) return 'unknown';
  throw error;
}
