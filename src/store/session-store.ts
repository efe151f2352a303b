import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { setImmediate as eventLoopTurn, setTimeout as sleep } from 'node:timers/promises';

import {
  SESSION_BACKEND,
  type CreateOptions,
  type CreateResult,
  type DeleteResult,
  type EndedListener,
  type EndedSubscription,
  type SessionBackend,
} from '../backends/session-backend.interface.js';
import { Waits } from '../backends/waits.js';
import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionBackendError, SessionNotFoundError } from '../errors/session-errors.js';
import { sessionChannels } from '../events/session-channels.js';
import { SessionEvents } from '../events/session-events.js';
import { assertProvided, BACKEND_METHODS } from '../options/assert-provided.js';
import { SessionOptions } from '../options/session-options.js';
import { DamagedRecordError } from '../records/record-errors.js';
import type { ReadRecord, SessionRecord, SessionTimes } from '../records/session-record.js';
import { wholeText } from '../records/stored-text.js';
import {
  changesNothing,
  expiryOf,
  revisedRecord,
  storedSession,
  type SessionRevision,
  type StoredSession,
} from '../records/stored-session.js';
import type { SessionId, UserTag } from '../tokens/session-secret.js';
import { AbandonedSessions, type AbandonedSession } from './abandoned-sessions.js';
import { Aliases } from './aliases.js';
import { BackendCalls } from './backend-calls.js';
import { BackendLifecycle } from './backend-lifecycle.js';
import {
  isBoolean,
  isCount,
  isCreateResult,
  isDeletion,
  isRecords,
  isRecordsOrNulls,
  isReplacement,
  isSessionIds,
  isTimedReplacement,
} from './backend-responses.js';
import { CompareAndSet } from './compare-and-set.js';
import { DamageLog } from './damage-log.js';
import { RecordRead, storedIn, type RecordReadServices } from './record-read.js';
import { assertRecordSize } from './record-size.js';
import { StoreBudget } from './store-budget.js';

/** Decoded in one turn of the event loop. */
const RECORDS_AT_ONCE = 500;
/** Between two looks whether a store responds again. */
const RECONNECT_PAUSE_MS = 50;

/** Options for a new record. */
export interface NewRecordOptions extends Pick<CreateOptions, 'limit'> {
  readonly replaces?: ReadRecord | undefined;
  /** What is left in its place. */
  readonly alias?: SessionRecord | undefined;
}

/**
 * Wraps the backend for the rest of the module: calls keep to a time budget, payloads are decoded, a failure of a driver becomes a typed
 * error without the driver's text, and every change is a compare-and-set that is retried until it succeeds or the time is up.
 */
@Injectable()
export class SessionStore implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger('SessionModule');
  readonly #waits = new Waits();
  readonly #damage = new DamageLog(this.#logger);
  readonly #lifecycle: BackendLifecycle;
  readonly #calls: BackendCalls;
  readonly #reads: RecordReadServices;
  readonly #abandoned: AbandonedSessions;
  /** Finds and ends sessions by ids that they had before. */
  readonly aliases: Aliases;
  /** Changes sessions. */
  readonly compareAndSet: CompareAndSet;

  constructor(
    @Inject(SESSION_BACKEND) private readonly backend: SessionBackend,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
    private readonly options: SessionOptions,
    events: SessionEvents,
  ) {
    assertProvided('SESSION_BACKEND', backend, BACKEND_METHODS);
    this.#abandoned = new AbandonedSessions(
      (id, ifVersion) => this.delete(id, this.newBudget(), { ifVersion }),
      options.backendTimeout,
      this.#logger,
    );
    this.#lifecycle = new BackendLifecycle(backend, {
      keyPrefix: options.backendKeyPrefix,
      timeoutMs: options.backendTimeout,
      clock,
      logger: this.#logger,
    });
    this.aliases = new Aliases(this, clock);
    this.compareAndSet = new CompareAndSet(this.aliases, (stored, revision, budget) =>
      this.#replace(stored, revision, budget),
    );
    this.#calls = new BackendCalls(this.#lifecycle, this.#logger, events, clock);
    this.#reads = { backend, calls: this.#calls, damage: this.#damage };
  }

  async onModuleInit(): Promise<void> {
    await this.#lifecycle.open();
  }

  /** The earlier shutdown hooks run while requests are still in flight (Nest), so the store closes in the last one. */
  async onApplicationShutdown(): Promise<void> {
    this.#abandoned.close();
    await this.#lifecycle.close();
    this.#waits.rest();
  }

  newBudget(): StoreBudget {
    return new StoreBudget(this.options.backendTimeout, this.#waits);
  }

  /**
   * @param replaces the session that the new one replaces, as it was read
   * @throws SessionDataError when the record is too large
   */
  async create(
    record: SessionRecord,
    { limit, replaces, alias }: NewRecordOptions,
    budget: StoreBudget,
  ): Promise<CreateResult> {
    this.assertFits(record, replaces ?? null);
    try {
      return await this.#calls.make(['create', record.id], budget, isCreateResult, () =>
        this.backend.create(record, {
          timeoutMs: budget.remainingMs,
          limit,
          replaces: replaces && replacementOf(replaces, alias),
        }),
      );
    } catch (error) {
      if (!isUnknownOutcome(error)) throw error;
      if (alias !== undefined) return this.#createdWithAlias(record, alias, error, budget);
      // The store may have created the session, but no client gets its token.
      this.abandon({ id: record.id, versions: [record.version] }, budget);
      throw error;
    }
  }

  /** Whether the backend can leave an alias. */
  get keepsAliases(): boolean {
    return this.backend.keepsAliases === true;
  }

  /**
   * Finds out what became of a creation whose response was lost. If the alias is there, and leads to a session that lives, the session has its
   * new id. If not, or if that is not known either, the client keeps its old id. The new session is not ended then: if it does exist, the old id
   * still leads to it.
   *
   * @throws `error` unless the session was created
   */
  async #createdWithAlias(
    { id }: SessionRecord,
    alias: SessionRecord,
    error: unknown,
    budget: StoreBudget,
  ): Promise<CreateResult> {
    const left = await this.#readWhenBack(alias.id, budget);
    if (left === null || wholeText(left.record.payload) !== alias.payload || left.record.status !== 'alias')
      throw error;
    const created = await this.#readWhenBack(id, budget);
    if (created === null) throw error;
    return { outcome: 'created', evicted: [] };
  }

  /** Reads until the store responds: the connection on which a response was lost is made anew. `null`: no such session, or no response in time. */
  async #readWhenBack(id: SessionId, budget: StoreBudget): Promise<StoredSession | null> {
    try {
      for (;;) {
        const found = await this.read(id, budget).catch(noResponse);
        if (found !== 'no response') return found;
        await budget.run(() => sleep(RECONNECT_PAUSE_MS));
      }
    } catch {
      return null;
    }
  }

  /**
   * Makes a pending session active. A call that reaches the store too late changes nothing, because its caller has already failed.
   *
   * @returns `null` if the session has ended in the meantime
   */
  async activate(
    { record }: StoredSession,
    revision: Omit<SessionRevision, 'status'>,
    budget: StoreBudget,
  ): Promise<StoredSession | null> {
    const next = revisedRecord(record, { ...revision, status: 'active' });
    const outcome = await this.#calls.make(['replace', record.id], budget, isTimedReplacement, () =>
      this.backend.replace(next, record.version, { timeoutMs: budget.remainingMs }),
    );
    switch (outcome) {
      case 'replaced':
        return storedSession(next, next.id, this.#damage);
      case 'changed':
      case 'missing':
        return null;
      case 'late':
        throw new SessionBackendError(
          'BACKEND_TIMEOUT',
          'The session store processed the new session after backendTimeout and did not activate it. Try again.',
        );
      default:
        return outcome satisfies never;
    }
  }

  /**
   * Ends in the background a session whose token is sent to no client. It waits until the calls that failed within `budget` can no longer take
   * effect.
   */
  abandon(session: AbandonedSession, budget: StoreBudget): void {
    this.#abandoned.add(session, budget.remainingMs);
  }

  /**
   * Refuses a record that is larger than `maxSessionBytes` allows, on every backend alike.
   *
   * @param before the record that it replaces; `null` if there is none
   * @throws SessionDataError 413
   */
  assertFits(record: Pick<SessionRecord, 'payload'>, before: Pick<ReadRecord, 'payload'> | null): void {
    assertRecordSize(record, before, this.options.maxSessionBytes);
  }

  /**
   * Reads a session, living or not. Every request calls this, so it is written without `await`.
   *
   * @param use is called with the session in the same turn of the event loop in which the store responds; its result is returned
   * @returns `null` if there is no session, or if its record is damaged, which is logged
   */
  read(id: SessionId, budget: StoreBudget): Promise<StoredSession | null>;
  read<Result>(
    id: SessionId,
    budget: StoreBudget,
    use: (stored: StoredSession | null) => Result | Promise<Result>,
  ): Promise<Result>;
  read(id: SessionId, budget: StoreBudget, use: (stored: StoredSession | null) => unknown = itself): Promise<unknown> {
    if (!this.#calls.areOpen) return this.#calls.open(budget).then(() => this.read(id, budget, use));
    const read = new RecordRead(this.#reads, id, budget, use);
    if (!sessionChannels.store.hasSubscribers) return budget.complete(read);
    return this.#calls
      .traceRead(id, budget, () => read.make())
      .then(
        (record) => read.returned(record),
        (error: unknown) => read.failed(error),
      );
  }

  /**
   * Reads several sessions, in their order, each as `read()` does.
   *
   * @returns `unknown` for one that only a later version of this module can read, or whose read fails by itself
   * @throws SessionBackendError when the store fails
   */
  async readMany(ids: readonly SessionId[], budget: StoreBudget): Promise<(StoredSession | 'unknown' | null)[]> {
    const records = await this.#recordsOf(ids, budget);
    const reads = await Promise.allSettled(
      ids.map(async (id, index) => {
        const record = records?.[index];
        const stored = record === undefined ? 'damaged' : storedIn(record, id, this.#reads);
        return stored === 'damaged' ? this.read(id, budget).catch(unknownIfNewer) : stored;
      }),
    );
    const isDown = reads.every(({ status }) => status === 'rejected');
    return reads.map((read) => {
      if (read.status === 'fulfilled') return read.value;
      if (isDown) throw read.reason;
      return 'unknown';
    });
  }

  /** @returns null where each is to be read by itself */
  async #recordsOf(ids: readonly SessionId[], budget: StoreBudget): Promise<(ReadRecord | null)[] | null> {
    if (this.backend.readMany === undefined) return null;
    const call = () => this.backend.readMany?.(ids) ?? Promise.resolve(null);
    try {
      return await this.#calls.make(['readMany', null], budget, isRecordsOrNulls(ids.length), call);
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) unknownIfNewer(error);
      return null;
    }
  }

  /** Subscribes to the ends of sessions. @returns null: the backend cannot notify of them */
  async onEnded(listener: EndedListener): Promise<EndedSubscription | null> {
    if (!this.#calls.areOpen) await this.#calls.open(this.newBudget());
    return (await this.backend.onEnded?.(listener)) ?? null;
  }

  touch(id: SessionId, times: SessionTimes, budget: StoreBudget): Promise<boolean> {
    return this.#calls.make(['touch', id], budget, isBoolean, () => this.backend.touch(id, times));
  }

  /** Deletes a session; without `ifVersion`, in any version. */
  delete(id: SessionId, budget: StoreBudget, options?: { readonly ifVersion?: number }): Promise<DeleteResult> {
    return this.#calls.make(['delete', id], budget, isDeletion, () => this.backend.delete(id, options));
  }

  /** @param settles whether sessions that are getting a new id just now are waited for */
  async listByUser(tag: UserTag, budget: StoreBudget, settles = false): Promise<StoredSession[]> {
    const progress = () => {
      budget.renew();
    };
    const records = await this.#calls.make(['listByUser', null], budget, isRecords, () =>
      this.backend.listByUser(tag, settles ? { progress, settles } : { progress }),
    );
    const sessions: StoredSession[] = [];
    for (const [index, record] of records.entries()) {
      const stored = this.#listed(record);
      if (stored !== null) sessions.push(stored);
      if (index % RECORDS_AT_ONCE === RECORDS_AT_ONCE - 1) await eventLoopTurn();
    }
    return sessions;
  }

  /** Deletes the sessions of a user that have ended, and that the store still counts. @returns whether there were any */
  async deleteEnded(tag: UserTag | null, budget: StoreBudget): Promise<boolean> {
    if (tag === null) return false;
    const now = this.clock.now();
    const all = await this.listByUser(tag, budget);
    const ended = all.filter(({ record, content }) => expiryOf(record, content.metadata) <= now);
    await Promise.all(ended.map(({ record: { id, version } }) => this.delete(id, budget, { ifVersion: version })));
    return ended.length > 0;
  }

  /** @returns `null` if the record is damaged, or its client cannot be read */
  #listed(record: ReadRecord): StoredSession | null {
    try {
      const stored = storedSession(record, record.id, this.#damage);
      // Read now, because the list shows the client: damage must be found here.
      stored.content.readLogin();
      return stored;
    } catch (error) {
      // The content has reported itself.
      if (error instanceof SessionNotFoundError) return null;
      if (!(error instanceof DamagedRecordError)) throw error;
      this.#damage.note(record.id, error);
      return null;
    }
  }

  /** May take longer than the budget, which is renewed after each completed part. */
  deleteByUser(tag: UserTag, budget: StoreBudget, options?: { readonly except?: SessionId }): Promise<SessionId[]> {
    const progress = () => {
      budget.renew();
    };
    return this.#calls.make(['deleteByUser', null], budget, isSessionIds, () =>
      this.backend.deleteByUser(tag, { ...options, progress }),
    );
  }

  /** Without a time limit: there may be millions of records, and no request waits for it. */
  clearExpired(): Promise<number> {
    const unlimited = new StoreBudget(Infinity, this.#waits);
    return this.#calls.make(
      ['clearExpired', null],
      unlimited,
      isCount,
      async () => (await this.backend.clearExpired?.()) ?? 0,
    );
  }

  /** Whether `record` is usable at this instant, by status and times. */
  isAlive({ record, content }: StoredSession): boolean {
    return record.status === 'active' && expiryOf(record, content.metadata) > this.clock.now();
  }

  /** @returns `unchanged` if the revision changes nothing, `changed` if another writer was faster */
  async #replace(
    { record }: StoredSession,
    revision: SessionRevision,
    budget: StoreBudget,
  ): Promise<StoredSession | 'changed' | 'unchanged' | null> {
    const next = revisedRecord(record, revision);
    if (changesNothing(next, record)) return 'unchanged';
    if (revision.ignoresSizeLimit !== true) this.assertFits(next, record);
    const outcome = await this.#calls.make(['replace', record.id], budget, isReplacement, () =>
      this.backend.replace(next, record.version),
    );
    switch (outcome) {
      case 'replaced':
        return storedSession(next, next.id, this.#damage);
      case 'missing':
        return null;
      case 'changed':
        return 'changed';
      default:
        return outcome satisfies never;
    }
  }
}

/** For a record that only a later version of this module can read. @throws `error` if it is another one */
export function unknownIfNewer(error: unknown): 'unknown' {
  if (error instanceof SessionBackendError && error.code === 'BACKEND_RECORD_NEWER') return 'unknown';
  throw error;
}

function itself<T>(value: T): T {
  return value;
}

/** @throws every other error */
function noResponse(error: unknown): 'no response' {
  if (isUnknownOutcome(error)) return 'no response';
  throw error;
}

function isUnknownOutcome(error: unknown): boolean {
  return error instanceof SessionBackendError && error.code !== 'BACKEND_RECORD_NEWER';
}

function replacementOf(
  { id, version }: Pick<SessionRecord, 'id' | 'version'>,
  alias: SessionRecord | undefined,
): NonNullable<CreateOptions['replaces']> {
  return alias === undefined ? { id, version } : { id, version, alias };
}
