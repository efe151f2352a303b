import { ok, strictEqual } from 'node:assert/strict';

import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  SessionBackend,
} from '../../backends/session-backend.interface.js';
import { withText } from '../../records/record-text.js';
import type { SessionRecord, SessionStatus } from '../../records/session-record.js';
import { RandomPool } from '../../tokens/random-pool.js';
import {
  anonymousTag,
  newSecret,
  sessionIdOf,
  tagOf,
  userTag,
  type SessionId,
  type UserTag,
} from '../../tokens/session-secret.js';
import { FakeClock } from '../fake-clock.js';

/** Long enough for a call on a loaded machine. */
const TIMEOUT_MS = 5_000;
const LIFETIME_MS = 3_600_000;
const SHORT_TIMEOUT_MS = 20;
const random = new RandomPool();

/** Describes a backend to the suite. */
export interface BackendSubject {
  /** A new instance. Instances that are created one after the other use the same store, unless `again` is given. */
  create(): SessionBackend | Promise<SessionBackend>;
  /** A second instance on the store of `first`, as in another process. Default: `create()`. */
  again?(first: SessionBackend): SessionBackend | Promise<SessionBackend>;
  /** Replaces a record with a value that is not a record of this module. Default: that requirement is left out. */
  damage?(key: DamagedKey): Promise<void>;
  /** For a backend without `keepsAliases`: the requirements of aliases are left out. */
  aliases?: false | undefined;
  /**
   * Gives a record a form that only a later version of the backend knows, such as `encodeRecord` with a higher number. Default: that
   * requirement is left out.
   */
  writeNewer?(key: DamagedKey): Promise<void>;
}

/** The location of a record that is to be damaged, or to get a newer form. */
export interface DamagedKey {
  readonly backend: SessionBackend;
  readonly keyPrefix: string;
  readonly id: SessionId;
}

/** Two instances on one store, their common clock, and records to store. */
export class Arena {
  readonly clock = new FakeClock();
  readonly keyPrefix = `conformance-${random.base64url(6)}:`;
  readonly user: UserTag = this.newUser();

  private constructor(
    readonly subject: BackendSubject,
    readonly one: SessionBackend,
    readonly two: SessionBackend,
  ) {}

  static async open(subject: BackendSubject): Promise<Arena> {
    const one = await subject.create();
    const two = await (subject.again?.(one) ?? subject.create());
    const arena = new Arena(subject, one, two);
    for (const backend of arena.#backends()) await backend.open?.(arena.#context());
    return arena;
  }

  /** A further instance on the same store, under another `keyPrefix`; `null` if it refuses to open with one. */
  async openWithOtherPrefix(): Promise<SessionBackend | null> {
    const other = await (this.subject.again?.(this.one) ?? this.subject.create());
    try {
      await other.open?.({ ...this.#context(), keyPrefix: `${this.keyPrefix}other:` });
    } catch {
      return null;
    }
    return other;
  }

  async close(): Promise<void> {
    for (const backend of this.#backends()) await backend.close();
  }

  newUser(): UserTag {
    return userTag('the key of the conformance suite', random.base64url(12));
  }

  /** A record of `user`; an anonymous one if `null`. */
  record(
    user: UserTag | null = this.user,
    { status = 'active', lifetimeMs = LIFETIME_MS, payload = 'payload' }: RecordOptions = {},
  ): SessionRecord {
    const id = sessionIdOf(newSecret(user ?? anonymousTag(random), random));
    const now = this.clock.now();
    return { id, version: 1, status, userTag: user, lastAccessed: now, expiresAt: now + lifetimeMs, payload };
  }

  /** A further record under the tag of `record`, as a regeneration makes it. */
  sibling(record: SessionRecord): SessionRecord {
    return { ...record, id: sessionIdOf(newSecret(tagOf(record.id), random)), version: 1 };
  }

  /** What a new id with a grace leaves under the id of `record`. */
  alias(record: SessionRecord, successor: SessionRecord): SessionRecord {
    const lastAccessed = this.clock.now();
    return {
      ...record,
      version: record.version + 1,
      status: 'alias',
      userTag: null,
      lastAccessed,
      payload: successor.id,
    };
  }

  create(
    record: SessionRecord,
    options: Omit<CreateOptions, 'timeoutMs'> = {},
    backend: SessionBackend = this.one,
  ): Promise<CreateResult> {
    return backend.create(record, { timeoutMs: TIMEOUT_MS, ...options });
  }

  /** A record that is in the store. */
  async stored(user?: UserTag | null, options?: RecordOptions): Promise<SessionRecord> {
    const record = this.record(user, options);
    strictEqual((await this.create(record)).outcome, 'created');
    return record;
  }

  /** The record as the other instance reads it. */
  async read(id: SessionId): Promise<SessionRecord | null> {
    const record = await this.two.read(id);
    // An expired record may be returned or not.
    return record === null || record.expiresAt <= this.clock.now() ? null : withText(record);
  }

  async listed(user: UserTag = this.user): Promise<SessionId[]> {
    return ids(await this.two.listByUser(user));
  }

  /** Alternates between the two instances. */
  turn(index: number): SessionBackend {
    return index % 2 === 0 ? this.one : this.two;
  }

  /** Compare-and-set until it succeeds, as in the module. */
  async increment(id: SessionId, backend: SessionBackend): Promise<void> {
    for (let tries = 0; tries < 10_000; tries++) {
      const record = await backend.read(id);
      ok(record, 'a record that no call deletes is missing');
      const next = { ...record, version: record.version + 1, payload: String(Number(record.payload) + 1) };
      if ((await backend.replace(next, record.version)) === 'replaced') return;
    }
    throw new Error('10,000 attempts of a compare-and-set have all failed');
  }

  #backends(): Set<SessionBackend> {
    return new Set([this.one, this.two]);
  }

  #context(): BackendContext {
    const silent = { log: ignore, warn: ignore, error: ignore };
    return { keyPrefix: this.keyPrefix, timeoutMs: TIMEOUT_MS, clock: this.clock, logger: silent };
  }
}

interface RecordOptions {
  readonly status?: SessionStatus;
  readonly lifetimeMs?: number;
  readonly payload?: string;
}

/**
 * Makes a call with a short timeout, and blocks the process until its deadline has passed, so that the call cannot receive any reply before.
 *
 * @param call gets the timeout
 * @param look starts after the deadline and before the call continues, so that what it does not find was not done in time
 */
export async function overtakenByDeadline<Result, Found>(
  call: (timeoutMs: number) => Promise<Result>,
  look: () => Promise<Found>,
): Promise<{ readonly result: Result; readonly found: Found }> {
  const endsAt = performance.now() + 2 * SHORT_TIMEOUT_MS;
  const calling = call(SHORT_TIMEOUT_MS);
  while (performance.now() < endsAt);
  const looking = look();
  const [result, found] = await Promise.all([calling, looking]);
  return { result, found };
}

/** `count` calls at once. */
export function atOnce<T>(count: number, call: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(index)));
}

/** The ids of records, sorted. */
export function ids(records: readonly SessionRecord[]): SessionId[] {
  return records.map(({ id }) => id).sort();
}

function ignore(): void {
  // The suite checks what a backend does, not what it logs.
}
