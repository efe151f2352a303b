import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { SessionBackendError } from '../../errors/session-errors.js';
import { LineLimit } from '../../line-limit.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import { tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import { isListed, laterTimes, leastRecentlyUsedFirst } from '../backend-rules.js';
import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  DeleteResult,
  EndedListener,
  EndedSubscription,
  ReplaceOptions,
  ReplaceResult,
  DeleteByUserOptions,
  SessionBackend,
  SessionLimit,
} from '../session-backend.interface.js';
import { RecordTable } from './record-table.js';
import type { StoredRecord } from './stored-record.js';
import { startSweeping } from './sweep-timer.js';
import { TurnEnd } from './turn-end.js';
import { warningFor } from './surroundings.js';

/** Between two turns of the event loop; about a millisecond's work. */
const RECORDS_PER_SLICE = 500;
/** The version of a record that has ended and is about to be removed. */
const ENDED = -1;

/** How much memory the sessions may take. */
export interface MemoryBackendOptions {
  /**
   * The most records that are kept. Beyond it the oldest leave that sign no user in: anonymous, invalidated, and aliases. Where there are none, a
   * new session is a 503, and no user is signed out by another one's login. Default 100,000.
   */
  readonly maxRecords?: number | undefined;
}

/**
 * Sessions in the memory of this process: the default, for development, tests, and applications of one process that may forget. Every
 * operation runs within one turn of the event loop, which makes it atomic.
 */
export class MemoryBackend implements SessionBackend {
  readonly keepsAliases: boolean = true;
  readonly #maxRecords: number;
  readonly #turnEnd = new TurnEnd();
  #records = new RecordTable();
  #context: BackendContext | undefined;
  #timer: NodeJS.Timeout | undefined;
  #fullLines: LineLimit | undefined;
  readonly #listeners = new Set<{ readonly listener: EndedListener }>();

  /** @throws TypeError when `maxRecords` is not a positive integer */
  constructor({ maxRecords = 100_000 }: MemoryBackendOptions = {}) {
    if (!Number.isInteger(maxRecords) || maxRecords < 1) throw new TypeError('maxRecords is an integer, at least 1.');
    this.#maxRecords = maxRecords;
  }

  open(context: BackendContext): Promise<void> {
    if (this.#context !== undefined && this.#context.keyPrefix !== context.keyPrefix) {
      if (this.#timer !== undefined) {
        return Promise.reject(new TypeError('One MemoryBackend cannot be open with two different backendKeyPrefix.'));
      }
      // What lies under another prefix is not to be seen, as in a store that others use too.
      this.#records = new RecordTable();
    }
    this.#context = context;
    this.#fullLines = new LineLimit(context.clock);
    this.#timer ??= startSweeping(() => void this.clearExpired());
    const warning = warningFor(process.env);
    if (warning !== null) context.logger.warn(warning);
    return Promise.resolve();
  }

  create(record: SessionRecord, { limit, replaces, timeoutMs }: CreateOptions): Promise<CreateResult> {
    if (timeoutMs <= 0) return Promise.resolve({ outcome: 'late' });
    const result = this.#create(record, limit, replaces);
    return result === 'full' ? Promise.reject(this.#full()) : Promise.resolve(result);
  }

  read(id: SessionId): Promise<SessionRecord | null> {
    return new Promise((resolve) => {
      this.#turnEnd.wait(() => {
        const present = this.#find(id);
        resolve(present === undefined ? null : present.handOut());
      });
    });
  }

  readMany(ids: readonly SessionId[]): Promise<(SessionRecord | null)[]> {
    return Promise.all(ids.map((id) => this.read(id)));
  }

  onEnded(listener: EndedListener): Promise<EndedSubscription> {
    const entry = { listener };
    this.#listeners.add(entry);
    const close = (): Promise<void> => {
      this.#listeners.delete(entry);
      return Promise.resolve();
    };
    return Promise.resolve({ close });
  }

  replace(
    record: SessionRecord,
    ifVersion: number,
    { timeoutMs = Infinity }: ReplaceOptions = {},
  ): Promise<ReplaceResult> {
    if (timeoutMs <= 0) return Promise.resolve('late');
    const present = this.#find(record.id);
    if (present === undefined) return Promise.resolve('missing');
    if (present.version !== ifVersion) return Promise.resolve('changed');
    const isEnd = present.status === 'active' && record.status !== 'active';
    this.#records.update(present, { ...record, ...laterTimes(present, record) });
    if (isEnd) this.#notifyEnded([record.id]);
    return Promise.resolve('replaced');
  }

  touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    const present = this.#find(id);
    if (present?.status !== 'active') return Promise.resolve(false);
    this.#records.setTimes(present, laterTimes(present, times));
    return Promise.resolve(true);
  }

  delete(id: SessionId, { ifVersion }: { readonly ifVersion?: number } = {}): Promise<DeleteResult> {
    const present = this.#find(id);
    if (present === undefined) return Promise.resolve('missing');
    if (present.status === 'alias' && ifVersion === undefined) return Promise.resolve('alias');
    if (present.status === 'invalidated' && ifVersion === undefined) return Promise.resolve('missing');
    if (ifVersion !== undefined && present.version !== ifVersion) return Promise.resolve('changed');
    this.#records.remove(present);
    if (present.status === 'active') this.#notifyEnded([id]);
    return Promise.resolve('deleted');
  }

  listByUser(tag: UserTag): Promise<SessionRecord[]> {
    return Promise.resolve(this.#living(tag).map((record) => record.handOut()));
  }

  /** All end at once. Those of a user with many are removed part by part, with requests let through in between. */
  async deleteByUser(tag: UserTag, { except }: DeleteByUserOptions = {}): Promise<SessionId[]> {
    const leaving = this.#living(tag).filter(({ id }) => id !== except);
    const ended = leaving.filter(({ status }) => status === 'active').map(({ id }) => id);
    for (const record of leaving) record.version = ENDED;
    this.#notifyEnded(ended);
    for (const [index, record] of leaving.entries()) {
      this.#records.remove(record);
      if (index % RECORDS_PER_SLICE === RECORDS_PER_SLICE - 1) await eventLoopTurn();
    }
    return ended;
  }

  /** Lets requests through in between; no operation needs it done, as each looks at the expiry itself. */
  async clearExpired(): Promise<number> {
    const now = this.#now();
    let looked = 0;
    let removed = 0;
    for (const record of this.#records.due(now)) {
      if (isOver(record, now)) {
        this.#records.remove(record);
        removed++;
      }
      if (++looked % RECORDS_PER_SLICE === 0) await eventLoopTurn();
    }
    return removed;
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
    return Promise.resolve();
  }

  #create(
    record: SessionRecord,
    limit: SessionLimit | undefined,
    replaces: CreateOptions['replaces'],
  ): CreateResult | 'full' {
    if (this.#find(record.id) !== undefined) return { outcome: 'exists' };
    const replaced = replaces && this.#find(replaces.id);
    if (replaces !== undefined && replaced === undefined) return { outcome: 'missing' };
    if (replaces !== undefined && replaced?.version !== replaces.version) return { outcome: 'changed' };

    const excess = limit === undefined || !isListed(record) ? [] : this.#excess(record, limit, replaced);
    if (excess.length > 0 && limit?.onLimit === 'reject') return { outcome: 'limit' };

    const evicted = excess.filter(({ status }) => status !== 'pending');
    const leaving = replaced === undefined ? evicted : [replaced, ...evicted];
    // A pending one is of a login that ends another session in its next step: that one must not leave before, with what it has to hand on.
    const needsRoom = leaving.length === 0 && record.status !== 'pending';
    if (needsRoom && !this.#makeRoom()) return 'full';
    for (const one of leaving) this.#records.remove(one);
    // Without room for both, the old id is dead at once.
    const keptAlias = replaces?.alias !== undefined && this.#makeRoom(2) ? replaces.alias : null;
    this.#records.add(record);
    if (keptAlias !== null) this.#records.add(keptAlias);
    this.#notifyEnded(leaving.map(({ id }) => id));
    return { outcome: 'created', evicted: evicted.map(({ id }) => id) };
  }

  #notifyEnded(ids: readonly SessionId[]): void {
    if (ids.length === 0) return;
    for (const { listener } of [...this.#listeners]) listener(ids);
  }

  /** Those that a limit leaves no room for beside `record`. */
  #excess(record: SessionRecord, { max }: SessionLimit, replaced: StoredRecord | undefined): StoredRecord[] {
    const tag = tagOf(record.id);
    if (this.#records.countListed(tag) < max) return [];
    const others = this.#living(tag).filter((other) => other !== replaced);
    const excess = others.length + 1 - max;
    return excess <= 0 ? [] : others.sort(leastRecentlyUsedFirst).slice(0, excess);
  }

  /** What the index of a user lists. Expired ones leave here. */
  #living(tag: UserTag): StoredRecord[] {
    return this.#records.listed(tag).filter((record) => this.#lives(record));
  }

  /** A record that has not expired; an expired one leaves here. */
  #find(id: SessionId): StoredRecord | undefined {
    const record = this.#records.get(id);
    return record !== undefined && this.#lives(record) ? record : undefined;
  }

  /** Removes it if it does not. */
  #lives(record: StoredRecord): boolean {
    if (!isOver(record, this.#now())) return true;
    this.#records.remove(record);
    return false;
  }

  /** For so many more records, of which at most one has no room. False: all that are there are of users who are signed in. */
  #makeRoom(count = 1): boolean {
    if (this.#records.size + count <= this.#maxRecords) return true;
    const leaving = this.#records.oldestExpendable() ?? this.#anExpired();
    if (leaving === null) return false;
    this.#records.remove(leaving);
    this.#notifyEnded([leaving.id]);
    return true;
  }

  #anExpired(): StoredRecord | null {
    const now = this.#now();
    for (const record of this.#records.due(now)) if (isOver(record, now)) return record;
    return null;
  }

  #full(): SessionBackendError {
    const message = `MemoryBackend holds ${this.#maxRecords} sessions, all of them of users who are signed in, and takes no other: raise maxRecords, or set maxSessionsPerUser.`;
    this.#fullLines?.log('full', (more) => {
      this.#context?.logger.error(`${message} New sessions get 503${more}.`);
    });
    return new SessionBackendError('BACKEND_UNAVAILABLE', message);
  }

  #now(): number {
    return this.#context?.clock.now() ?? Date.now();
  }
}

function isOver({ expiresAt, version }: StoredRecord, now: number): boolean {
  return expiresAt <= now || version === ENDED;
}
