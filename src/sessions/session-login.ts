import { Inject, Injectable } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionUsageError } from '../errors/session-errors.js';
import { sessionChannels, trace } from '../events/session-channels.js';
import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';
import { SessionEvents } from '../events/session-events.js';
import { SessionOptions } from '../options/session-options.js';
import { aliasRecord, metadataOfNewId } from '../records/alias.js';
import { apply } from '../records/changes.js';
import { withMetadata, type SessionContent } from '../records/payload.js';
import type { FollowsAlias } from '../store/aliases.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf, type UserTag } from '../tokens/session-secret.js';
import {
  CrossSlotLogin,
  lostRaceError,
  REPLACED,
  type ContentFrom,
  type ExchangedSession,
} from './cross-slot-login.js';
import { Session } from './session.js';
import { SessionEndings } from './session-endings.js';
import { SessionIssuer, type NewSession, type PreparedSession } from './session-issuer.js';
import type { IssuedSession } from './session-results.js';
import { sessionEndedError, type SessionState } from './session-state.js';
import { SessionWatches } from './session-watches.js';
import type { StoredSession } from '../records/stored-session.js';
import type { CheckedUser } from './user-input.js';

/** The new session of a user who logs in. */
export interface Login extends NewSession {
  readonly user: CheckedUser;
  readonly origin: SessionEventOrigin;
}

/** Why and how a session gets a new id. */
export interface Regeneration {
  readonly cause: SessionCause;
  /** For how long the old id is an alias, milliseconds. 0: it is dead at once. */
  readonly graceMs: number;
  /** Whether CSRF tokens of the old id fit as long as the session has the new one. Default: only for the grace. */
  readonly keepsCsrfTokens?: boolean;
  /** The methods by which the user proves their identity now. Default: the proof of the session stays as it is. */
  readonly provenBy?: readonly string[];
  /** Whether connections that are open by the old id end, as for a login: another person may have opened them. Default: they stay. */
  readonly startsLineage?: boolean;
}

/** How a session is exchanged within one slot. */
interface Exchange {
  /** Of the new session; `null` for an anonymous one. */
  readonly userId: string | null;
  readonly tag: UserTag;
  readonly contentFrom: ContentFrom;
  readonly origin: SessionEventOrigin;
  /** What becomes of an old session that has got a new id meanwhile. */
  readonly follows: FollowsAlias;
  /** Default: the old session leaves no alias. */
  readonly graceEndsAt?: number | null;
  readonly keepsExpiry?: boolean;
}

/**
 * Gives a client a new id: at login and at regeneration. When the new id is usable, the old one is not, or is an alias for its grace. If two
 * requests exchange the same old session at once, only one of them gets its data (session fixation: ASVS 7.2.4).
 */
@Injectable()
export class SessionLogin {
  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly crossSlot: CrossSlotLogin,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
    private readonly endings: SessionEndings,
    private readonly events: SessionEvents,
    private readonly watches: SessionWatches,
  ) {}

  /**
   * @returns `previous` if it is given and has not ended; it is then the new session
   * @throws SessionConflictError when another client has exchanged `previous` in the meantime, or ended it and it was anonymous; it is then
   * unchanged. Also when the user was logged out everywhere during the login, by which `previous` may have ended too
   */
  login(previous: Session | null, login: Login, budget: StoreBudget): Promise<IssuedSession> {
    const create = () => this.issuer.create(login, login.origin, budget);
    if (previous === null) return create();
    const state = Session.stateOf(previous);
    return state.inTurn(() => {
      // By a call that had its turn before.
      if (state.isEnded) return create();
      return this.#traced('login', previous, () => this.#replace(previous, login, budget));
    });
  }

  #traced(operation: SessionCause, previous: Session, call: () => Promise<IssuedSession>): Promise<IssuedSession> {
    return trace(
      sessionChannels.login,
      { operation, sessionId: null, previousSessionId: previous.sessionId },
      call,
      ({ session }) => ({ outcome: 'replaced', sessionId: session.sessionId }),
    );
  }

  async #replace(previous: Session, login: Login, budget: StoreBudget): Promise<IssuedSession> {
    const state = Session.stateOf(previous);
    const { userId } = state;
    const { sessionId } = previous;
    const fresh = this.issuer.contentOf(login);
    // Checked first: a value that cannot be stored must throw before anything is deleted.
    const carried = this.#carriesOver(state, login) ? state.pendingChanges() : null;
    const contentFrom: ContentFrom = ({ content }) => {
      if (carried === null) return fresh;
      const { data, flash, oneTime } = apply(content, carried.changes);
      return { ...fresh, data, flash, oneTime };
    };
    const exchanged = await this.#exchangeAtLogin(state, login, fresh, contentFrom, budget);
    const inserted =
      exchanged?.inserted ??
      (await this.issuer.insert(this.issuer.prepare(fresh, login.user.userId), null, login.origin, budget));
    if (carried === null || exchanged === null) state.replaceBy(inserted.stored);
    else state.continueAs(inserted.stored, carried);
    state.clientHasOldId = false;
    this.issuer.announce(inserted, login.origin);
    if (exchanged !== null) this.endings.announce(exchanged.replacedId, userId, REPLACED, login.origin, sessionId);
    return { session: previous, token: inserted.token };
  }

  /** Data and flash messages are carried over from an anonymous session or from one of the same user, never from another user's. */
  #carriesOver({ userId }: SessionState, { user }: Login): boolean {
    return this.options.regenerateOnLogin && (userId === null || userId === user.userId);
  }

  /** @returns `null` if `previous` had a user and has ended: there is nothing to exchange, and nothing that an attacker could have planted */
  async #exchangeAtLogin(
    previous: SessionState,
    login: Login,
    fresh: SessionContent,
    contentFrom: ContentFrom,
    budget: StoreBudget,
  ): Promise<ExchangedSession | null> {
    const { origin } = login;
    const { userId } = login.user;
    const tag = this.issuer.tagOfUser(userId);
    const exchanged =
      tagOf(previous.record.id) === tag
        ? await this.#exchange(previous, { userId, tag, contentFrom, origin, follows: 'always' }, budget)
        : await this.crossSlot.run(previous, this.issuer.prepare(fresh, userId, tag), { contentFrom, origin }, budget);
    if (exchanged === null && previous.userId === null) throw lostRaceError();
    return exchanged;
  }

  /**
   * @returns in a request: `session`, which now has the new id. Outside of a request: another object, and `session` has ended.
   * @throws SessionConflictError when `session` was ended or exchanged by another client meanwhile, or its client has a token of an old
   * id
   */
  regenerate(session: Session, regeneration: Regeneration, budget: StoreBudget): Promise<IssuedSession> {
    return Session.stateOf(session).inTurn(() =>
      this.#traced(regeneration.cause, session, () => this.#regenerate(session, regeneration, budget)),
    );
  }

  async #regenerate(
    session: Session,
    { cause, graceMs, provenBy, keepsCsrfTokens, startsLineage }: Regeneration,
    budget: StoreBudget,
  ): Promise<IssuedSession> {
    const state = Session.stateOf(session);
    if (state.isEnded) throw sessionEndedError();
    if (graceMs > 0) this.#assertKeepsAliases();
    if (state.clientHasOldId) throw lostRaceError();
    const previousSessionId = session.sessionId;
    const { userId } = state;
    const pending = state.pendingChanges();
    const now = this.clock.now();
    const graceEndsAt = graceMs > 0 ? now + graceMs : null;
    const idChange = { now, graceEndsAt, keepsCsrfTokens, startsLineage };
    const contentFrom: ContentFrom = ({ record, content }) => {
      const metadata = metadataOfNewId(content.metadata, record.id, idChange);
      const proof = provenBy === undefined ? {} : { authenticatedAt: now, authMethods: provenBy };
      return { ...apply(content, pending.changes), metadata: withMetadata(metadata, proof) };
    };
    const origin = state.originOf(cause);
    const tag = tagOf(previousSessionId);
    // A new id is a use of the session.
    const keepsExpiry = !this.options.slidingExpiration;
    const exchange = { userId, tag, contentFrom, origin, follows: 'never', graceEndsAt, keepsExpiry } as const;
    const exchanged = await this.#exchange(state, exchange, budget);
    if (exchanged === null) throw lostRaceError();
    const { inserted } = exchanged;
    const { id: sessionId } = inserted.stored.record;
    this.events.emit({ type: 'regenerated', sessionId, previousSessionId, userId, ...origin });
    this.watches.idChanged(previousSessionId, inserted.stored);
    if (state.listener !== null) {
      state.continueAs(inserted.stored, pending);
      state.clientHasOldId = false;
      return { session, token: inserted.token };
    }
    state.end('ended');
    return this.issuer.issue(inserted);
  }

  /**
   * Within one slot the store exchanges the sessions in one step. If another request has changed the old session in the meantime, the exchange is
   * repeated with that change.
   *
   * @returns `null` if the old session has ended
   */
  #exchange(
    previous: SessionState,
    { userId, tag, contentFrom, origin, follows, graceEndsAt = null, keepsExpiry = false }: Exchange,
    budget: StoreBudget,
  ): Promise<ExchangedSession | null> {
    const now = this.clock.now();
    const attempt = async (old: StoredSession) => {
      if (!this.store.isAlive(old)) return null;
      const renewed = this.issuer.prepare(contentFrom(old), userId, tag, now);
      const prepared = keepsExpiry ? withExpiry(renewed, old.record.expiresAt) : renewed;
      const alias = graceEndsAt === null ? undefined : aliasRecord(old, prepared.record, { now, graceEndsAt });
      const inserted = await this.issuer.insert(prepared, { replaces: old.record, alias }, origin, budget);
      if (inserted === 'missing') return null;
      return inserted === 'changed' ? inserted : { inserted, replacedId: old.record.id };
    };
    return this.store.compareAndSet.retry(previous.record.id, previous.snapshot(), attempt, budget, follows);
  }

  #assertKeepsAliases(): void {
    if (this.store.keepsAliases) return;
    throw new SessionUsageError(
      'The backend cannot keep an old id for a grace: it has no keepsAliases. Call regenerateSessionId() without a grace, or add to the backend what SessionBackend says of aliases.',
    );
  }
}

function withExpiry(prepared: PreparedSession, expiresAt: number): PreparedSession {
  return { ...prepared, record: { ...prepared.record, expiresAt } };
}
