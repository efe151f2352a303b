import { Injectable } from '@nestjs/common';
import { createSecretKey, type KeyObject } from 'node:crypto';

import type { CreateOptions, CreateResult } from '../backends/session-backend.interface.js';
import { isPlainObject } from '../is-object.js';
import { SessionBinding } from './session-binding.js';
import type { RequestClient } from '../http/client-identity.js';
import { SessionBackendError, SessionConflictError, SessionUsageError } from '../errors/session-errors.js';
import type { SessionEventOrigin } from '../events/session-event.js';
import { sessionChannels, trace } from '../events/session-channels.js';
import { SessionEvents } from '../events/session-events.js';
import { indexKeyOf } from '../options/secret-keys.js';
import { SessionOptions } from '../options/session-options.js';
import { assertJsonValue } from '../records/json-value.js';
import { encodePayload, NO_USER, type SessionContent, type SessionMetadata } from '../records/payload.js';
import { encodedPayload } from '../records/stored-payload.js';
import type { SessionRecord } from '../records/session-record.js';
import { SessionStore, type NewRecordOptions } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { BoundedSerializer } from '../tokens/bounded-serializer.js';
import {
  anonymousTag,
  newSecret,
  sessionIdOf,
  userTag,
  type SessionSecret,
  type UserTag,
} from '../tokens/session-secret.js';
import { authMethodsOf } from './proof-of-identity.js';
import { SessionFactory } from './session-factory.js';
import { SessionEndings } from './session-endings.js';
import { SessionLifetimes, type NewSessionLifetime } from './session-lifetimes.js';
import type { IssuedSession } from './session-results.js';
import type { StoredSession } from '../records/stored-session.js';
import type { NewSessionUser, SessionData } from '../records/session-user.js';
import { checkedUser, type CheckedUser } from './user-input.js';

/** The values of a new session. */
export interface NewSession {
  /** `null` for an anonymous session. */
  readonly user: CheckedUser | null;
  readonly client: RequestClient;
  /** Default: none. */
  readonly data?: Partial<SessionData> | undefined;
  /** Default: that of the options. */
  readonly lifetime?: NewSessionLifetime;
  /** How the user has proved their identity. Default: none. */
  readonly methods?: readonly string[] | undefined;
}

/** A record that is ready to be stored. */
export interface PreparedSession {
  readonly secret: SessionSecret;
  readonly record: SessionRecord;
  readonly metadata: SessionMetadata;
  /** `null` for an anonymous session. */
  readonly userId: string | null;
}

/** The session that a new one replaces, as it was read, and the alias that is left in its place, if any. */
type Replacement = Required<Pick<NewRecordOptions, 'replaces'>> & Pick<NewRecordOptions, 'alias'>;

/** A new session that is stored, and its token. */
export interface InsertedSession {
  readonly token: string;
  readonly stored: StoredSession;
  /** `null` for an anonymous session. */
  readonly userId: string | null;
}

const EVICTED = { reason: 'evicted-by-limit', by: null } as const;

/** Creates sessions: prepares the record, signs its token, stores it and emits `created`. */
@Injectable()
export class SessionIssuer {
  readonly #indexKey: KeyObject;
  readonly #limit: CreateOptions['limit'];

  constructor(
    private readonly options: SessionOptions,
    private readonly store: SessionStore,
    private readonly binding: SessionBinding,
    private readonly factory: SessionFactory,
    private readonly endings: SessionEndings,
    private readonly events: SessionEvents,
    private readonly serializer: BoundedSerializer,
    private readonly lifetimes: SessionLifetimes,
  ) {
    const { maxSessionsPerUser: max, onSessionLimit: onLimit } = options;
    this.#limit = max === null ? undefined : { max, onLimit };
    this.#indexKey = createSecretKey(indexKeyOf(options), 'utf8');
  }

  /** The tag under which a user's sessions are found. */
  tagOfUser(userId: string): UserTag {
    return userTag(this.#indexKey, userId);
  }

  /**
   * Creates a session that replaces no other.
   *
   * @throws SessionConflictError when the user has too many sessions
   */
  create(created: NewSession, origin: SessionEventOrigin, budget: StoreBudget): Promise<IssuedSession> {
    return trace(
      sessionChannels.login,
      { operation: origin.cause, sessionId: null },
      () => this.#create(created, origin, budget),
      ({ session }) => ({ outcome: 'created', sessionId: session.sessionId }),
    );
  }

  async #create(created: NewSession, origin: SessionEventOrigin, budget: StoreBudget): Promise<IssuedSession> {
    const prepared = this.prepare(this.contentOf(created), created.user?.userId ?? null);
    const inserted = await this.insert(prepared, null, origin, budget);
    this.announce(inserted, origin);
    return this.issue(inserted);
  }

  /**
   * The content of a new session.
   *
   * @throws SessionUsageError when a lifetime or a method is wrong, a binding is on and its value is not known, or `data` is not an object
   * @throws SessionDataError when `data` cannot be stored as it is
   */
  contentOf(created: NewSession): SessionContent {
    const { user, data = {} } = created;
    this.assertData(data);
    return { metadata: this.#metadataOf(created), userText: user?.text ?? NO_USER, data, flash: [], oneTime: [] };
  }

  #metadataOf({ user, client, lifetime = {}, methods }: NewSession): SessionMetadata {
    const { createdAt, ttlMs, absoluteExpiresAt, isRemembered } = this.lifetimes.ofNewSession(user === null, lifetime);
    const { ipAddress, userAgent } = this.binding.identityToStore(client);
    // Without spreads: V8 gives each object that they begin a hidden class of its own, which costs more than all else here.
    return {
      createdAt,
      ttlMs,
      absoluteExpiresAt,
      isRemembered,
      ipAddress,
      userAgent,
      authenticatedAt: user === null ? null : createdAt,
      authMethods: methodsOf(user, methods),
      idIssuedAt: createdAt,
      formerIds: [],
      lineage: null,
      deadId: null,
    };
  }

  /** @throws SessionUsageError when `data` is not an object, SessionDataError when it cannot be stored as it is */
  assertData(data: unknown): void {
    if (!isPlainObject(data)) {
      throw new SessionUsageError(
        'The data of a session must be an object, such as { cart: [] }. Put the value under a key.',
      );
    }
    assertJsonValue(data, 'data', this.options.maxSessionBytes);
  }

  /** @throws SessionDataError when `user` cannot be stored */
  newUser(user: NewSessionUser): CheckedUser {
    return checkedUser(user, this.options.maxSessionBytes);
  }

  /**
   * A record under a new secret and id.
   *
   * @param userId of the user in `content`; `null` for an anonymous session
   * @param tag default: that of the user, or a random one for an anonymous session
   * @param startsAt when its idle lifetime begins; default: when the session was created
   */
  prepare(
    content: SessionContent,
    userId: string | null,
    tag: UserTag = this.#tagFor(userId),
    startsAt: number = content.metadata.createdAt,
  ): PreparedSession {
    const secret = newSecret(tag, this.factory.random);
    const id = sessionIdOf(secret);
    const { metadata } = content;
    const { ttlMs, absoluteExpiresAt } = metadata;
    const record: SessionRecord = {
      id,
      version: 1,
      status: 'active',
      userTag: userId === null ? null : tag,
      lastAccessed: startsAt,
      expiresAt: Math.min(startsAt + ttlMs, absoluteExpiresAt ?? Infinity),
      // In the turn in which it was checked: the application may still change its own objects.
      payload: encodePayload(id, content),
    };
    return { secret, record, metadata, userId };
  }

  #tagFor(userId: string | null): UserTag {
    return userId === null ? anonymousTag(this.factory.random) : this.tagOfUser(userId);
  }

  /**
   * Stores a prepared session. Its token is signed before: if signing fails, no session is left behind.
   *
   * @param replaced `null`: it replaces none
   * @returns `changed` or `missing` if the session that it should replace has changed or ended
   * @throws SessionConflictError when the user has too many sessions
   */
  insert(
    prepared: PreparedSession,
    replaced: null,
    origin: SessionEventOrigin,
    budget: StoreBudget,
  ): Promise<InsertedSession>;
  insert(
    prepared: PreparedSession,
    replaced: Replacement,
    origin: SessionEventOrigin,
    budget: StoreBudget,
  ): Promise<InsertedSession | 'changed' | 'missing'>;
  async insert(
    { secret, record, metadata, userId }: PreparedSession,
    replaced: Replacement | null,
    origin: SessionEventOrigin,
    budget: StoreBudget,
  ): Promise<InsertedSession | 'changed' | 'missing'> {
    const signed = this.sign(secret, metadata.absoluteExpiresAt);
    const token = typeof signed === 'string' ? signed : await signed;
    const limit = this.#limits(record) ? this.#limit : undefined;
    const options = { limit, replaces: replaced?.replaces, alias: replaced?.alias };
    for (let isFirst = true; ; isFirst = false) {
      const { outcome, evicted = [] }: CreateResult = await this.store.create(record, options, budget);
      for (const evictedId of evicted) this.endings.announce(evictedId, userId, EVICTED, origin);
      switch (outcome) {
        case 'created':
          return { token, stored: { record, content: encodedPayload(record, metadata) }, userId };
        case 'changed':
        case 'missing':
          if (replaced === null) throw notCreatedError();
          return outcome;
        case 'limit':
          // A session whose lifetime was made shorter has ended, and the store does not know that yet.
          if (isFirst && (await this.store.deleteEnded(record.userTag, budget))) break;
          throw new SessionConflictError(
            "The user has reached maxSessionsPerUser. End a session, raise the limit, or set onSessionLimit to 'evict-oldest'.",
            'SESSION_LIMIT',
          );
        case 'exists':
        case 'late':
          throw notCreatedError();
        default:
          return outcome satisfies never;
      }
    }
  }

  /** Whether the limit of sessions applies to `record`. A pending one evicts none, because its login may yet fail. */
  #limits({ userTag, status }: SessionRecord): boolean {
    return userTag !== null && !(status === 'pending' && this.limitEvicts);
  }

  /** Whether a new session may end others of its user. */
  get limitEvicts(): boolean {
    return this.#limit?.onLimit === 'evict-oldest';
  }

  /** Emits `created`. */
  announce({ stored, userId }: InsertedSession, origin: SessionEventOrigin): void {
    if (!this.events.hasListeners) return;
    this.events.emit({ type: 'created', sessionId: stored.record.id, userId, ...origin });
  }

  issue({ token, stored }: InsertedSession): IssuedSession {
    return { session: this.factory.open(stored), token };
  }

  /**
   * A token for `secret`, issued now, under the current key.
   *
   * @param expiresAt when the session ends, however it is used; `null` if it has no such end
   * @throws SessionUsageError when the serializer returns a token that no header or cookie can carry unchanged
   * @throws SessionBackendError when the serializer does not settle in time
   */
  sign(secret: SessionSecret, expiresAt: number | null): string | Promise<string> {
    const issuedAt = this.factory.clock.now();
    return this.serializer.serialize(expiresAt === null ? { secret, issuedAt } : { secret, issuedAt, expiresAt });
  }
}

function methodsOf(user: CheckedUser | null, methods: unknown): readonly string[] {
  if (user !== null || methods === undefined) return authMethodsOf(methods);
  throw new SessionUsageError('A session without a user has no proof of identity: pass a user, or leave methods out.');
}

function notCreatedError(): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_TIMEOUT',
    'The session store processed the new session after backendTimeout and did not create it. Try again.',
  );
}
