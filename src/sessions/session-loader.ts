import { Injectable } from '@nestjs/common';

import { isRefusal, type SessionError } from '../errors/session-error.js';
import {
  SessionExpiredError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionTokenError,
} from '../errors/session-errors.js';
import { sessionChannels, trace } from '../events/session-channels.js';
import { SessionRejections } from '../events/session-rejections.js';
import type { ClientIdentity, RequestClient } from '../http/client-identity.js';
import { expiryOf, type StoredSession } from '../records/stored-session.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf } from '../tokens/session-secret.js';
import { TokenVerifier, type VerifiedToken, type VerifierVerdict } from '../tokens/token-verifier.js';
import { SessionBinding } from './session-binding.js';
import { SessionFactory } from './session-factory.js';
import { SessionIssuer } from './session-issuer.js';
import { SessionReuse } from './session-reuse.js';
import { Session } from './session.js';

/** Why a token of a request is invalid. */
export type TokenFault = Extract<VerifierVerdict, { valid: false }>['fault'] | 'TOKEN_AMBIGUOUS';

/** The living session of a token, or the exact reason why there is none. */
export type LoadResult =
  | { readonly session: Session; readonly refusal?: undefined }
  | { readonly session?: undefined; readonly refusal: SessionError };

/** The result of a check. `alias`: the token names a former id; the session has got a newer one. */
type CheckResult = LoadResult | { readonly session?: undefined; readonly alias: StoredSession };

/** A session that was loaded without a request, and its token. */
interface LoadedSession {
  readonly session: Session;
  readonly token: VerifiedToken;
}

/** Knows the client of a request. */
interface ClientSource {
  readonly client: RequestClient;
}

/** Checks what the store has for a token: makes the session of it, or the exact reason why there is none. */
@Injectable()
export class SessionLoader {
  constructor(
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly binding: SessionBinding,
    private readonly factory: SessionFactory,
    private readonly rejections: SessionRejections,
    private readonly verifier: TokenVerifier,
    private readonly reuse: SessionReuse,
  ) {}

  /**
   * For a token without a request.
   *
   * @throws SessionTokenError, SessionNotFoundError, SessionInvalidError, SessionSecurityError, SessionBackendError
   */
  loadByText(text: string, client: ClientIdentity, budget: StoreBudget): Promise<LoadedSession> {
    if (!sessionChannels.load.hasSubscribers) return this.#loadByText(text, client, budget);
    return trace(
      sessionChannels.load,
      { operation: 'token', sessionId: null },
      () => this.#loadByText(text, client, budget),
      ({ session }) => ({ outcome: 'found', sessionId: session.sessionId }),
    );
  }

  async #loadByText(text: string, client: ClientIdentity, budget: StoreBudget): Promise<LoadedSession> {
    const token = await this.verifier.verify(typeof text === 'string' ? text : '');
    if (!token.valid) throw this.refuseToken(token.fault, client);
    const stored = await this.store.read(token.sessionId, budget);
    const { session, refusal } = await this.check(stored, token, { client }, budget);
    if (session === undefined) throw refusal;
    return { session, token };
  }

  /**
   * The session of a token, if what the store has for it lives and fits the client. A refusal is reported.
   *
   * @param stored as read; null: there is none
   * @param from its `client` is read only if needed, because some frameworks have to compute the address
   * @returns a promise only if the token names a former id, which takes one more read of the store for each id since
   * @throws SessionBackendError when the store does not say whether the session lives
   */
  check(
    stored: StoredSession | null,
    token: VerifiedToken,
    from: ClientSource,
    budget: StoreBudget,
  ): LoadResult | Promise<LoadResult> {
    const checked = this.#checkStored(stored, token, from);
    return 'alias' in checked ? this.#follow(checked.alias, token, from, budget) : checked;
  }

  /**
   * Loads the session to which an alias leads. A client that came with the old id gets no token, neither a new one nor the old one renewed. After
   * its grace it is refused, and the use reported.
   */
  async #follow(
    alias: StoredSession,
    token: VerifiedToken,
    from: ClientSource,
    budget: StoreBudget,
  ): Promise<LoadResult> {
    const { stored, graceEndsAt } = await this.store.aliases.follow(alias, budget);
    if (stored !== null && this.store.isAlive(stored) && graceEndsAt <= this.factory.clock.now()) {
      await this.reuse.handle(stored, token.sessionId, from.client, budget);
      return this.#refused(idReplacedError(), token, from);
    }
    const checked = this.#checkStored(stored, token, from);
    if ('alias' in checked) return this.#refused(new SessionNotFoundError(), token, from);
    if (checked.session !== undefined) Session.stateOf(checked.session).clientHasOldId = true;
    return checked;
  }

  #checkStored(stored: StoredSession | null, token: VerifiedToken, from: ClientSource): CheckResult {
    if (stored === null) return this.#refused(new SessionNotFoundError(), token, from);
    const now = this.factory.clock.now();
    const refusal = this.#refusalOf(stored, token, now, from);
    if (refusal === null) return { session: this.factory.open(stored, Math.max(now, stored.record.lastAccessed)) };
    return refusal === 'alias' ? { alias: stored } : this.#refused(refusal, token, from);
  }

  #refused(refusal: SessionError, token: VerifiedToken, from: ClientSource): LoadResult {
    this.rejections.report(refusal, from.client, token.sessionId);
    return { refusal };
  }

  #refusalOf(
    stored: StoredSession,
    token: VerifiedToken,
    now: number,
    from: ClientSource,
  ): SessionError | 'alias' | null {
    const { record, content } = stored;
    // Same error as for a session that never existed, because each store removes expired records at a time of its own.
    if (expiryOf(record, content.metadata) <= now) return new SessionNotFoundError();
    switch (record.status) {
      case 'active':
        break;
      case 'pending':
        // The token of a pending login has not been sent to any client yet.
        return new SessionNotFoundError();
      case 'invalidated':
        return new SessionInvalidError('SESSION_INVALIDATED', 'The session was ended by invalidateSession().');
      case 'alias':
        return 'alias';
      default:
        record.status satisfies never;
    }
    try {
      if (!this.#isIndexed(stored, token)) {
        return new SessionInvalidError(
          'INDEX_KEY_CHANGED',
          'The session was created under another indexKey, so log out everywhere would miss it. Keep indexKey unchanged when you rotate keys.',
        );
      }
      if (this.binding.isOn) this.binding.check(content.metadata, from.client);
      return null;
    } catch (error) {
      // The session is bound to another client, or its stored user or client is damaged.
      if (isRefusal(error)) return error;
      throw error;
    }
  }

  /** A session under a tag that is not its user's is not in the index of the user, so log out everywhere would not end it. */
  #isIndexed({ record, content }: StoredSession, token: VerifiedToken): boolean {
    // The user is parsed only at the first use of a token.
    token.hasTagOfUser ??= content.user === null || this.issuer.tagOfUser(content.user.userId) === tagOf(record.id);
    return token.hasTagOfUser;
  }

  /** Reports a token that does not verify. @returns the error for it */
  refuseToken(fault: TokenFault, client: ClientIdentity): SessionTokenError {
    const error =
      fault === 'TOKEN_EXPIRED' ? new SessionExpiredError() : new SessionTokenError(fault, TOKEN_FAULTS[fault]);
    this.rejections.report(error, client, null);
    return error;
  }
}

function idReplacedError(): SessionNotFoundError {
  return new SessionNotFoundError(
    'The session has a newer id, and the grace for this one is over. A client sends the latest token that it got; a longer grace helps those that are slow.',
    'SESSION_ID_REPLACED',
  );
}

const TOKEN_FAULTS = {
  TOKEN_MALFORMED:
    'The session token is malformed. It must be the text that login(), start() or createSession() returned.',
  TOKEN_FORGED:
    'The session token is not signed with any key of secretKey. Was a key removed, or does the token come from another application?',
  TOKEN_AMBIGUOUS: 'The request carries more than one session token in the same place.',
} as const;
