import { Injectable } from '@nestjs/common';

import type { SessionMetadata } from '../records/payload.js';
import type { StoredSession } from '../records/stored-session.js';
import { SessionBackendError, SessionNotFoundError } from '../errors/session-errors.js';
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

/** What all ids of one session have in common: its first id. A login, a new proof of identity and changed credentials begin another one. */
export function lineageOf(id: SessionId, { lineage }: Pick<SessionMetadata, 'lineage'>): string {
  return lineage ?? id;
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
    return this.#successorOf({ ...known, stored }, (tag) => this.store.listByUser(tag, budget, true), budget);
  }

  /**
   * The same for several at the same time, in their order. The sessions of a user are listed once, however many of them have ended.
   *
   * @returns `unknown` where the store fails, or only a later version of this module knows
   */
  async successorsOf(known: readonly ReadId[]): Promise<(StoredSession | 'unknown' | null)[]> {
    const budget = this.store.newBudget();
    const lists = new Map<UserTag, Promise<StoredSession[]>>();
    const listOf = (tag: UserTag) => {
      const list = lists.get(tag) ?? this.store.listByUser(tag, budget, true);
      lists.set(tag, list);
      return list;
    };
    return Promise.all(known.map((one) => this.#successorOf(one, listOf, budget).catch(unknownIfFailed)));
  }

  async #successorOf(
    { id, lineage, stored }: ReadId,
    listOf: (tag: UserTag) => Promise<StoredSession[]>,
    budget: StoreBudget,
  ): Promise<StoredSession | null> {
    const present = stored?.record.status === 'alias' ? await this.#followed(stored, budget) : stored;
    if (present !== null && this.store.isAlive(present)) return present;
    const list = await listOf(tagOf(id));
    return list.find((other) => this.#isOf(lineage, other)) ?? null;
  }

  async #followed(alias: StoredSession, budget: StoreBudget): Promise<StoredSession | null> {
    try {
      return (await this.store.aliases.follow(alias, budget)).stored;
    } catch (error) {
      // A damaged alias leads nowhere.
      if (error instanceof SessionNotFoundError) return null;
      throw error;
    }
  }

  #isOf(lineage: string, session: StoredSession): boolean {
    return this.store.isAlive(session) && lineageOf(session.record.id, session.content.metadata) === lineage;
  }
}

function unknownIfFailed(error: unknown): 'unknown' {
  if (error instanceof SessionBackendError) return 'unknown';
  throw error;
}
