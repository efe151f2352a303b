import { systemClock, type Clock } from '../clock.js';
import { SessionUsageError } from '../errors/session-errors.js';
import { normaliseIp } from '../http/ip-address.js';
import { SessionOptions } from '../options/session-options.js';
import { assertJsonValue } from '../records/json-value.js';
import { encodePayload, NO_USER } from '../records/payload.js';
import { decodePayload } from '../records/stored-payload.js';
import { authMethodsOf } from '../sessions/proof-of-identity.js';
import { Session } from '../sessions/session.js';
import { SessionState } from '../sessions/session-state.js';
import type { NewSessionUser, SessionData } from '../records/session-user.js';
import { checkedUser } from '../sessions/user-input.js';
import { RandomPool } from '../tokens/random-pool.js';
import { anonymousTag, newSecret, sessionIdOf } from '../tokens/session-secret.js';

/** Options of `fakeSession()`, all optional. */
export interface FakeSessionOptions {
  /** Default: none, an anonymous session. */
  readonly user?: NewSessionUser | null | undefined;
  readonly data?: Partial<SessionData> | undefined;
  readonly ipAddress?: string | null | undefined;
  readonly userAgent?: string | null | undefined;
  /** When the user last proved their identity. Default: now. */
  readonly authenticatedAt?: Date | undefined;
  /** How they proved it. Default: nothing is known. */
  readonly authMethods?: readonly string[] | undefined;
  /** Seconds of idle lifetime. Default: that of the option `sessionTtl`, 3600. */
  readonly ttl?: number | undefined;
  /** Default: the clock of the operating system. */
  readonly clock?: Clock | undefined;
}

/**
 * A session for unit tests of handlers. It is in no store, so `SessionService` does not find it.
 *
 * @throws SessionDataError when user or data cannot be stored, as for a real session
 * @throws SessionUsageError when there is a proof of identity without a user, or its methods are wrong
 *
 * @example expect(new CartController().show(fakeSession({ user: { userId: 'ann' }, data: { cart: [] } }))).toEqual([]);
 */
export function fakeSession({
  user = null,
  data = {},
  ipAddress = null,
  userAgent = null,
  authenticatedAt,
  authMethods,
  ttl,
  clock = systemClock,
}: FakeSessionOptions = {}): Session {
  const { maxSessionBytes, sessionTtl } = new SessionOptions();
  assertJsonValue(data, 'data', maxSessionBytes);
  const random = new RandomPool();
  const tag = anonymousTag(random);
  const id = sessionIdOf(newSecret(tag, random));
  const createdAt = clock.now();
  const ttlMs = (ttl ?? sessionTtl) * 1000;
  if (user === null && (authenticatedAt !== undefined || authMethods !== undefined)) {
    throw new SessionUsageError('A session without a user has no proof of identity: pass a user to fakeSession().');
  }
  const owner = user === null ? null : checkedUser(user, maxSessionBytes);
  const metadata = {
    createdAt,
    ttlMs,
    absoluteExpiresAt: null,
    ipAddress: ipAddress && normaliseIp(ipAddress),
    userAgent,
    isRemembered: false,
    authenticatedAt: owner === null ? null : (authenticatedAt?.getTime() ?? createdAt),
    authMethods: authMethodsOf(authMethods),
    idIssuedAt: createdAt,
    formerIds: [],
    lineage: null,
    deadId: null,
  };
  const record = {
    id,
    version: 1,
    status: 'active' as const,
    userTag: owner === null ? null : tag,
    lastAccessed: createdAt,
    expiresAt: createdAt + ttlMs,
    payload: encodePayload(id, { metadata, userText: owner?.text ?? NO_USER, data, flash: [], oneTime: [] }),
  };
  const stored = { record, content: decodePayload(record) };
  return new Session(new SessionState(stored, { clock, random, maxSessionBytes }));
}
