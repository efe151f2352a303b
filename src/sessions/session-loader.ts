import { HttpStatus, Injectable } from '@nestjs/common';

import { normaliseIp } from '../http/ip-address.js';
import { SessionBinding } from './session-binding.js';
import type { ClientIdentity, RequestClient } from '../http/client-identity.js';
import { SessionError } from '../errors/session-error.js';
import {
  SessionExpiredError,
  SessionInvalidError,
  SessionNotFoundError,
  SessionTokenError,
} from '../errors/session-errors.js';
import { RejectionLog } from '../events/rejection-log.js';
import { SessionEvents } from '../events/session-events.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf } from '../tokens/session-secret.js';
import type { VerifiedToken, VerifierVerdict } from '../tokens/token-verifier.js';
import type { Session } from './session.js';
import { SessionContext } from './session-context.js';
import { SessionIssuer } from './session-issuer.js';
import type { StoredSession } from '../records/stored-session.js';

/** Why a token of a request opens nothing. */
export type TokenFault = Extract<VerifierVerdict, { valid: false }>['fault'] | 'TOKEN_AMBIGUOUS';

/** From a token to the living session that it opens, by one read, or to the exact reason why there is none. */
@Injectable()
export class SessionLoader {
  constructor(
    private readonly store: SessionStore,
    private readonly issuer: SessionIssuer,
    private readonly binding: SessionBinding,
    private readonly context: SessionContext,
    private readonly events: SessionEvents,
    private readonly log: RejectionLog,
  ) {}

  /** @throws SessionNotFoundError, SessionInvalidError, SessionSecurityError, SessionBackendError */
  load(token: VerifiedToken, client: RequestClient, budget: StoreBudget): Promise<Session> {
    return this.store.read(token.sessionId, budget, (stored) => this.open(stored, token, () => client));
  }

  /**
   * The session in what was read for `token`.
   *
   * @param clientOf tells the client; called only where it is needed, as to learn an address may be work for the framework
   * @throws as `load()`
   */
  open(stored: StoredSession | null, token: VerifiedToken, clientOf: () => RequestClient): Session {
    const now = this.context.clock.now();
    try {
      if (stored === null) throw new SessionNotFoundError();
      this.#assertUsable(stored, now);
      this.#assertIndexed(stored, token);
      if (this.binding.isOn) this.binding.check(stored.content.facts, clientOf());
    } catch (error) {
      if (isRefusal(error)) this.reject(error, clientOf(), token.sessionId);
      throw error;
    }
    return this.context.open(stored, Math.max(now, stored.record.lastAccessed));
  }

  /** The error for a token that does not verify; told to the listeners too. */
  tokenError(code: TokenFault, client: ClientIdentity): SessionTokenError {
    const error =
      code === 'TOKEN_EXPIRED' ? new SessionExpiredError() : new SessionTokenError(code, TOKEN_FAULTS[code]);
    this.reject(error, client, null);
    return error;
  }

  /** Tells the listeners and the log, who alone learn the exact reason. */
  reject(error: SessionError, { ipAddress }: ClientIdentity, sessionId: string | null): void {
    this.log.note(error);
    const address = ipAddress ? normaliseIp(ipAddress) : null;
    this.events.emit({ type: 'rejected', reason: error.code, sessionId, ipAddress: address });
  }

  #assertUsable({ record, content }: StoredSession, now: number): void {
    // Not told apart from one that never was: most stores forget what has expired, each at a time of its own.
    if (this.store.expiryOf(record, content) <= now) throw new SessionNotFoundError();
    switch (record.status) {
      case 'active':
        return;
      case 'invalidated':
        throw new SessionInvalidError('SESSION_INVALIDATED', 'The session was ended by invalidateSession().');
      case 'pending':
        // A login that was cut off, or is not through yet: its token has been given to nobody.
        throw new SessionNotFoundError();
      default:
        record.status satisfies never;
    }
  }

  /** A session under a tag that is not its user's is not in the index of the user, so no log out everywhere would end it. */
  #assertIndexed({ record, content: { user } }: StoredSession, token: VerifiedToken): void {
    token.hasTagOfUser ??= user === null || this.issuer.tagOfUser(user.userId) === tagOf(record.id);
    if (token.hasTagOfUser) return;
    throw new SessionInvalidError(
      'INDEX_KEY_CHANGED',
      'The session was made under another indexKey, so log out everywhere would miss it. Where keys are rotated, indexKey stays the same.',
    );
  }
}

const TOKEN_FAULTS = {
  TOKEN_MALFORMED: 'The session token is not spelled like one.',
  TOKEN_FORGED: 'The session token is not signed with any of our keys.',
  TOKEN_AMBIGUOUS: 'The request carries more than one session token in one place.',
} as const;

/** Whether a session is known to be absent or unusable, which is a 401; all other errors mean "don't know". */
export function isRefusal(error: unknown): error is SessionError {
  return error instanceof SessionError && error.getStatus() === (HttpStatus.UNAUTHORIZED as number);
}
