import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import { oldestFirst } from '../oldest-first.js';
import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  SessionBackend,
  SessionLimit,
} from '../session-backend.interface.js';
import { ExpiryBuckets } from './expiry-buckets.js';

const SWEEP_INTERVAL_MS = 30_000;

export interface MemoryBackendOptions {
  /** The most records that are kept; beyond it the oldest anonymous ones leave first, then the oldest of all. Default 100,000. */
  readonly maxRecords?: number;
}

/**
 * Sessions in the memory of this process: the default, for development, tests, and applications of one process that may forget. Every
 * operation runs within one turn of the event loop, which makes it atomic.
 */
export class MemoryBackend implements SessionBackend {
  readonly #maxRecords: number;
  /** In the order of creation, anonymous and signed-in apart, so that the first to leave is the first in its map. */
  readonly #anonymous = new Map<SessionId, SessionRecord>();
  readonly #signedIn = new Map<SessionId, SessionRecord>();
  readonly #byUser = new Map<UserTag, Set<SessionId>>();
  readonly #expiry = new ExpiryBuckets();
  #context: BackendContext | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @throws TypeError when `maxRecords` is not a positive integer */
  constructor({ maxRecords = 100_000 }: MemoryBackendOptions = {}) {
    if (!Number.isInteger(maxRecords) || maxRecords < 1) throw new TypeError('maxRecords is an integer, at least 1.');
    this.#maxRecords = maxRecords;
  }

  open(context: BackendContext): Promise<void> {
    if (this.#context !== undefined && this.#context.keyPrefix !== context.keyPrefix) {
      return Promise.reject(
        new TypeError('One MemoryBackend cannot serve two applications with different backendKeyPrefix.'),
      );
    }
    this.#context = context;
    this.#timer ??= setInterval(() => void this.clearExpired(), SWEEP_INTERVAL_MS).unref();
    if (process.env.NODE_ENV === 'production') {
      context.logger.warn(
        'Sessions are in the memory of this process: a restart ends them, and other processes do not see them.',
      );
    }
    return Promise.resolve();
  }

  create(record: SessionRecord, { limit, replaces, deadline }: CreateOptions): Promise<CreateResult> {
    if (deadline <= 0) return Promise.resolve({ outcome: 'late' });
    return Promise.resolve(this.#create(record, limit, replaces));
  }

  read(id: SessionId): Promise<SessionRecord | null> {
    return Promise.resolve(this.#find(id) ?? null);
  }

  replace(record: SessionRecord, ifVersion: number): Promise<'replaced' | 'changed' | 'missing'> {
    const present = this.#find(record.id);
    if (present === undefined) return Promise.resolve('missing');
    if (present.version !== ifVersion) return Promise.resolve('changed');
    this.#put({ ...record, ...laterTimes(present, record) });
    return Promise.resolve('replaced');
  }

  touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    const present = this.#find(id);
    if (present?.status !== 'active') return Promise.resolve(false);
    this.#put({ ...present, ...laterTimes(present, times) });
    return Promise.resolve(true);
  }

  delete(
    id: SessionId,
    { ifVersion }: { readonly ifVersion?: number } = {},
  ): Promise<'deleted' | 'changed' | 'missing'> {
    const present = this.#find(id);
    if (present === undefined) return Promise.resolve('missing');
    if (ifVersion !== undefined && present.version !== ifVersion) return Promise.resolve('changed');
    this.#remove(present);
    return Promise.resolve('deleted');
  }

  listByUser(tag: UserTag): Promise<SessionRecord[]> {
    return Promise.resolve(this.#living(tag));
  }

  deleteByUser(tag: UserTag, { except }: { readonly except?: SessionId } = {}): Promise<SessionId[]> {
    const ended = this.#living(tag).filter(({ id }) => id !== except);
    for (const record of ended) this.#remove(record);
    return Promise.resolve(ended.map(({ id }) => id));
  }

  clearExpired(): Promise<number> {
    let removed = 0;
    this.#expiry.sweep(this.#now(), (id) => {
      const record = this.#stored(id);
      if (record === undefined) return null;
      if (record.expiresAt > this.#now()) return record.expiresAt;
      this.#remove(record);
      removed++;
      return null;
    });
    return Promise.resolve(removed);
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    return Promise.resolve();
  }

  #create(record: SessionRecord, limit: SessionLimit | undefined, replaces: CreateOptions['replaces']): CreateResult {
    if (this.#find(record.id) !== undefined) return { outcome: 'exists' };
    const replaced = replaces && this.#find(replaces.id);
    if (replaces !== undefined && replaced === undefined) return { outcome: 'missing' };
    if (replaces !== undefined && replaced?.version !== replaces.version) return { outcome: 'changed' };

    const others = this.#living(tagOf(record.id)).filter(({ id }) => id !== replaces?.id);
    const excess = limit === undefined || record.userTag === null ? 0 : Math.max(0, others.length + 1 - limit.max);
    if (excess > 0 && limit?.onLimit === 'reject') return { outcome: 'limit' };
    const evicted = others.sort(oldestFirst).slice(0, excess);

    if (replaced !== undefined) this.#remove(replaced);
    for (const one of evicted) this.#remove(one);
    this.#put(record);
    this.#expiry.add(record.id, record.expiresAt);
    this.#keepBounds();
    return { outcome: 'created', evicted: evicted.map(({ id }) => id) };
  }

  #put(record: SessionRecord): void {
    if (record.userTag === null) {
      this.#anonymous.set(record.id, record);
      return;
    }
    this.#signedIn.set(record.id, record);
    if (record.status === 'invalidated') this.#unlist(record.userTag, record.id);
    else this.#list(record.userTag, record.id);
  }

  #remove({ id, userTag }: SessionRecord): void {
    this.#anonymous.delete(id);
    this.#signedIn.delete(id);
    if (userTag !== null) this.#unlist(userTag, id);
  }

  #list(tag: UserTag, id: SessionId): void {
    const listed = this.#byUser.get(tag);
    if (listed === undefined) this.#byUser.set(tag, new Set([id]));
    else listed.add(id);
  }

  #unlist(tag: UserTag, id: SessionId): void {
    const listed = this.#byUser.get(tag);
    if (listed?.delete(id) && listed.size === 0) this.#byUser.delete(tag);
  }

  #living(tag: UserTag): SessionRecord[] {
    return [...(this.#byUser.get(tag) ?? [])].flatMap((id) => this.#find(id) ?? []);
  }

  /** A record that has not expired; an expired one leaves here. */
  #find(id: SessionId): SessionRecord | undefined {
    const record = this.#stored(id);
    if (record === undefined || record.expiresAt > this.#now()) return record;
    this.#remove(record);
    return undefined;
  }

  #stored(id: SessionId): SessionRecord | undefined {
    return this.#signedIn.get(id) ?? this.#anonymous.get(id);
  }

  #keepBounds(): void {
    while (this.#anonymous.size + this.#signedIn.size > this.#maxRecords) {
      const [oldest] = (this.#anonymous.size > 0 ? this.#anonymous : this.#signedIn).values();
      if (oldest === undefined) return;
      this.#remove(oldest);
    }
  }

  #now(): number {
    return this.#context?.clock.now() ?? Date.now();
  }
}

function laterTimes(stored: SessionTimes, given: SessionTimes): SessionTimes {
  return {
    lastAccessed: Math.max(stored.lastAccessed, given.lastAccessed),
    expiresAt: Math.max(stored.expiresAt, given.expiresAt),
  };
}
