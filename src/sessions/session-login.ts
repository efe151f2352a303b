import { Injectable } from '@nestjs/common';

import type { ClientIdentity } from '../binding/session-binding.js';
import { SessionConflictError } from '../errors/session-errors.js';
import { SessionEvents } from '../events/session-events.js';
import { SessionOptions } from '../options/session-options.js';
import { apply, type Change } from '../records/changes.js';
import type { SessionContent } from '../records/payload.js';
import type { SessionRecord } from '../records/session-record.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf, type UserTag } from '../tokens/session-secret.js';
import { Session } from './session.js';
import { SessionContext } from './session-context.js';
import { SessionIssuer, type Draft, type IssuedSession, type SessionLifetime } from './session-issuer.js';
import type { StoredSession } from './session-state.js';
import type { SessionUser } from './session-user.js';

/** Who logs in, from where, and for how long. */
export interface Login {
  readonly user: SessionUser;
  readonly client: ClientIdentity;
  readonly lifetime: SessionLifetime;
}

/** What the new session is, given the old one as it was when it ended. */
type Succession = (old: StoredSession) => SessionContent;

/**
 * Gives a client a new id: at login and at regeneration. The old id is dead when the new one lives, and of two that exchange one old
 * session at once, one gets its data (session fixation: ASVS 7.2.4).
 */
@Injectable()
export class SessionLogin {
  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly context: SessionContext,
    private readonly events: SessionEvents,
  ) {}

  /** @throws SessionConflictError when `previous` was ended or exchanged by somebody else meanwhile */
  async login(
    previous: Session | null,
    { user, client, lifetime }: Login,
    budget: StoreBudget,
  ): Promise<IssuedSession> {
    const tag = this.issuer.tagOfUser(user.userId);
    const fresh = this.issuer.newContent(this.issuer.newFacts(client, lifetime), user);
    // Told first: a value that cannot be stored must show before anything has been deleted.
    const changes = previous === null ? [] : Session.stateOf(previous).pendingChanges().changes;
    const succeed: Succession = (old) => this.#carriedOver(old, changes, fresh);
    const issued =
      (previous && (await this.#exchangeFor(previous, tag, fresh, succeed, budget))) ??
      (await this.issuer.create(await this.issuer.draft(tag, fresh), budget));
    this.events.emit({ type: 'created', sessionId: issued.session.sessionId, userId: user.userId });
    if (previous !== null) this.#ended(previous);
    return issued;
  }

  /** Null: `previous` had a user and has ended, so there is nothing to exchange, and nothing that somebody else could have planted. */
  async #exchangeFor(
    previous: Session,
    tag: UserTag,
    fresh: SessionContent,
    succeed: Succession,
    budget: StoreBudget,
  ): Promise<IssuedSession | null> {
    const issued =
      tagOf(previous.sessionId) === tag
        ? await this.#exchange(previous, tag, succeed, budget)
        : await this.#exchangeAcrossSlots(previous, tag, fresh, succeed, budget);
    if (issued === null && previous.isAnonymous) throw lostRace();
    return issued;
  }

  /** @throws SessionConflictError when `session` was ended or exchanged by somebody else meanwhile */
  async regenerate(session: Session, budget: StoreBudget): Promise<IssuedSession> {
    const previousSessionId = session.sessionId;
    const { changes } = Session.stateOf(session).pendingChanges();
    const issued = await this.#exchange(
      session,
      tagOf(previousSessionId),
      (old) => apply(old.content, changes),
      budget,
    );
    if (issued === null) throw lostRace();
    const { sessionId } = issued.session;
    this.events.emit({ type: 'regenerated', sessionId, previousSessionId, userId: userIdOf(issued.session) });
    return issued;
  }

  /**
   * Within one slot the store does it in one step; when somebody changed the old session meanwhile, his change is let in first. Null: the
   * old session has ended.
   */
  async #exchange(
    previous: Session,
    tag: UserTag,
    succeed: Succession,
    budget: StoreBudget,
  ): Promise<IssuedSession | null> {
    const startsAt = this.context.clock.now();
    let old: StoredSession | null = Session.stateOf(previous).snapshot();
    for (;;) {
      if (old === null || !this.store.isAlive(old)) return null;
      const draft = await this.issuer.draft(tag, succeed(old), startsAt);
      const replaces = { id: old.record.id, version: old.record.version };
      const stored = await this.issuer.put(draft, { replaces }, budget);
      if (stored === 'missing') return null;
      if (stored !== 'changed') return this.issuer.issue(draft, stored);
      old = await this.store.read(replaces.id, budget);
    }
  }

  /**
   * Across slots no step is atomic, so: the new session as `pending`, then the old one is deleted as it was read, then the new one is
   * activated. A crash in between leaves at most the old one usable, and whoever deletes the old one is the only one to go on. Null: the old session has ended.
   */
  async #exchangeAcrossSlots(
    previous: Session,
    tag: UserTag,
    fresh: SessionContent,
    succeed: Succession,
    budget: StoreBudget,
  ): Promise<IssuedSession | null> {
    const draft = await this.issuer.draft(tag, fresh);
    const pending = await this.issuer.put(this.#asPending(draft), {}, budget);
    if (pending === 'changed' || pending === 'missing') throw lostRace();

    const old = await this.#deleteAsRead(previous, budget);
    if (old === null) {
      await this.store.delete(draft.record.id, budget);
      return null;
    }
    const content = succeed(old);
    const { expiresAt } = draft.record;
    const active = await this.store.change(
      draft.record.id,
      pending,
      ({ record }) => (record.status === 'pending' ? { content, status: 'active', expiresAt } : null),
      budget,
    );
    // Logged out everywhere while the login was under way.
    if (active?.record.status !== 'active') throw lostRace();
    return this.issuer.issue(draft, active);
  }

  /** A pending session that a crash leaves behind counts against the user's limit, so it is gone when no activation can come any more. */
  #asPending(draft: Draft): Draft {
    const { record } = draft;
    const expiresAt = Math.min(record.expiresAt, this.context.clock.now() + 2 * this.options.backendTimeout);
    return { ...draft, record: { ...record, status: 'pending', expiresAt } };
  }

  /** The old session as it was when it was deleted; null: somebody else had ended it. */
  async #deleteAsRead(previous: Session, budget: StoreBudget): Promise<StoredSession | null> {
    let old: StoredSession | null = Session.stateOf(previous).snapshot();
    while (old !== null && this.store.isAlive(old)) {
      const { id, version }: SessionRecord = old.record;
      const outcome = await this.store.delete(id, budget, { ifVersion: version });
      if (outcome === 'deleted') return old;
      old = outcome === 'missing' ? null : await this.store.read(id, budget);
    }
    return null;
  }

  /** The data and flash messages of an anonymous session, or of the same user's, move on; another user's never do. */
  #carriedOver({ content: old }: StoredSession, changes: readonly Change[], fresh: SessionContent): SessionContent {
    const ofAnother = old.user !== null && old.user.userId !== fresh.user?.userId;
    if (!this.options.regenerateOnLogin || ofAnother) return fresh;
    const { data, flash } = apply(old, changes);
    return { ...fresh, data, flash };
  }

  #ended(previous: Session): void {
    const { sessionId } = previous;
    this.events.emit({ type: 'ended', reason: 'replaced-at-login', sessionId, userId: userIdOf(previous) });
  }
}

function userIdOf(session: Session): string | null {
  return session.user?.userId ?? null;
}

function lostRace(): SessionConflictError {
  return new SessionConflictError('The session was ended or exchanged by another request meanwhile; log in again.');
}
