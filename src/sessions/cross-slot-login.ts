import { Inject, Injectable } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionConflictError } from '../errors/session-errors.js';
import type { SessionEventOrigin } from '../events/session-event.js';
import { SessionOptions } from '../options/session-options.js';
import { encodePayload, type SessionContent } from '../records/payload.js';
import type { StoredSession } from '../records/stored-session.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf, type SessionId } from '../tokens/session-secret.js';
import { SessionEndings } from './session-endings.js';
import { SessionIssuer, type InsertedSession, type PreparedSession } from './session-issuer.js';
import type { SessionState } from './session-state.js';

export const REPLACED = { reason: 'replaced-at-login', by: null } as const;

/** Computes the content of the new session from the old one as it was when it ended. It may be called several times. */
export type ContentFrom = (old: StoredSession) => SessionContent;

/** The new session, and the id that the old one had in the end: another request may have given it a newer one. */
export interface ExchangedSession {
  readonly inserted: InsertedSession;
  readonly replacedId: SessionId;
}

/** The id that the old session had when it was deleted, and the new content, which was computed from it. */
interface DeletedSession {
  readonly sessionId: SessionId;
  readonly content: SessionContent;
}

interface CrossSlotExchange {
  readonly contentFrom: ContentFrom;
  readonly origin: SessionEventOrigin;
}

/**
 * A login that exchanges a session for one under another tag: an anonymous session, or one of another user. Their keys may be in different slots,
 * where no single step is atomic. Therefore:
 *
 * 1. The new session is stored as `pending`. No client can use it yet.
 * 2. The old one is deleted in the version that was read, and its data is carried over.
 * 3. The new one is made active, and others make room for it.
 *
 * A crash in between leaves at most the old one usable, and only the caller that deletes it continues.
 */
@Injectable()
export class CrossSlotLogin {
  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
    private readonly endings: SessionEndings,
  ) {}

  /**
   * @param prepared the new session; its content is computed anew from the old session
   * @returns `null` if the old session has ended
   * @throws SessionConflictError when the user was logged out everywhere during the login
   */
  async run(
    previous: SessionState,
    prepared: PreparedSession,
    { contentFrom, origin }: CrossSlotExchange,
    budget: StoreBudget,
  ): Promise<ExchangedSession | null> {
    // A content that is too large must throw before anything is deleted.
    const checkedContentFrom: ContentFrom = (old) => {
      const content = contentFrom(old);
      this.store.assertFits({ payload: encodePayload(prepared.record.id, content) }, null);
      return content;
    };
    checkedContentFrom(previous.snapshot());
    const pending = await this.issuer.insert(this.#asPending(prepared), null, origin, budget);

    let deleted: DeletedSession | null = null;
    try {
      deleted = await this.#deleteAsRead(previous, checkedContentFrom, budget);
      if (deleted === null) {
        await this.store.delete(prepared.record.id, budget);
        return null;
      }
      const { content } = deleted;
      const active = this.issuer.limitEvicts
        ? await this.#createInPlaceOf(pending, content, origin, budget)
        : await this.#activate(pending, content, prepared.record.expiresAt, budget);
      if (active === null) throw lostRaceError();
      return { inserted: active, replacedId: deleted.sessionId };
    } catch (error) {
      const { id, version } = pending.stored.record;
      this.store.abandon({ id, versions: [version, version + 1] }, budget);
      if (deleted !== null) {
        previous.lost();
        this.endings.announce(deleted.sessionId, previous.userId, REPLACED, origin, previous.record.id);
      }
      throw error;
    }
  }

  /** If a crash leaves it behind, it counts against the user's limit, so it expires as soon as no activation is possible any more. */
  #asPending(prepared: PreparedSession): PreparedSession {
    const { record } = prepared;
    const expiresAt = Math.min(record.expiresAt, this.clock.now() + 2 * this.options.backendTimeout);
    return { ...prepared, record: { ...record, status: 'pending', expiresAt } };
  }

  /** @returns `null` if another client had ended it */
  #deleteAsRead(previous: SessionState, contentFrom: ContentFrom, budget: StoreBudget): Promise<DeletedSession | null> {
    const attempt = async (old: StoredSession) => {
      if (!this.store.isAlive(old)) return null;
      const content = contentFrom(old);
      const { id, version } = old.record;
      const outcome = await this.store.delete(id, budget, { ifVersion: version });
      if (outcome === 'missing') return null;
      return outcome === 'deleted' ? { sessionId: id, content } : 'changed';
    };
    return this.store.compareAndSet.retry(previous.record.id, previous.snapshot(), attempt, budget, 'always');
  }

  /** @returns `null` if the pending session has ended */
  async #activate(
    pending: InsertedSession,
    content: SessionContent,
    expiresAt: number,
    budget: StoreBudget,
  ): Promise<InsertedSession | null> {
    const stored = await this.store.activate(pending.stored, { content, expiresAt }, budget);
    return stored && { ...pending, stored };
  }

  /**
   * Instead of an activation where the limit evicts others: only a creation can evict and store in one step, so that a login that fails has
   * ended none.
   *
   * @returns `null` if the pending session has ended
   */
  async #createInPlaceOf(
    { stored, userId }: InsertedSession,
    content: SessionContent,
    origin: SessionEventOrigin,
    budget: StoreBudget,
  ): Promise<InsertedSession | null> {
    const replaces = stored.record;
    const living = this.issuer.prepare(content, userId, tagOf(replaces.id));
    const inserted = await this.issuer.insert(living, { replaces }, origin, budget);
    return inserted === 'changed' || inserted === 'missing' ? null : inserted;
  }
}

export function lostRaceError(): SessionConflictError {
  return new SessionConflictError('Another request ended or replaced this session in the meantime. Log in again.');
}
