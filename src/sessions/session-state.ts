import type { Clock } from '../clock/clock.js';
import { SessionDataError } from '../errors/session-errors.js';
import type { Change } from '../records/changes.js';
import { assertJsonValue } from '../records/json-value.js';
import { decodePayload, type DecodedPayload, type SessionFacts } from '../records/payload.js';
import type { SessionRecord, SessionTimes } from '../records/session-record.js';
import type { RandomPool } from '../tokens/random-pool.js';
import type { AnsweredSession } from './answered-session.js';
import type { StoredFlashMessage } from './flash-message.js';
import type { SessionData, SessionUser } from './session-user.js';
import type { Session } from './session.js';
import { assertUser } from './user-input.js';

const FLASH_ID_BYTES = 9;

/** A record and what its payload says. */
export interface StoredSession {
  readonly record: SessionRecord;
  readonly content: DecodedPayload;
}

/** What a session object needs of its surroundings. */
export interface SessionSurroundings {
  readonly clock: Clock;
  readonly random: RandomPool;
}

/** The request that a session was loaded for, as far as a session is concerned. */
export interface SessionRequest {
  regenerate(session: Session): Promise<AnsweredSession>;
}

/** What a commit has to do, and the texts of the view that it was told from. */
export interface PendingChanges {
  readonly changes: readonly Change[];
  readonly userText: string;
  readonly dataText: string;
}

/**
 * Behind a `Session`: the stored session as this holder read it, and what the holder did to it since. Changes are told by comparing
 * texts, and only of the parts that were looked at, so that reading costs next to nothing.
 */
export class SessionState {
  #stored: StoredSession;
  #userText: string;
  #dataText: string;
  #userSeen = false;
  #dataSeen = false;
  #flash: readonly StoredFlashMessage[];
  #added: readonly StoredFlashMessage[] = [];
  #taken: readonly string[] = [];
  #commits: Promise<void> = Promise.resolve();
  /** Through which the client is told of a new id; null: loaded outside of a request. */
  request: SessionRequest | null = null;
  readonly #user: SessionUser | null;
  readonly #userId: string | null;
  readonly #data: SessionData;

  constructor(
    stored: StoredSession,
    private readonly surroundings: SessionSurroundings,
    private accessedAt: number = stored.record.lastAccessed,
  ) {
    this.#stored = stored;
    this.#userText = stored.content.userText;
    this.#dataText = stored.content.dataText;
    this.#user = stored.content.user;
    this.#userId = stored.content.user?.userId ?? null;
    this.#data = stored.content.data;
    this.#flash = stored.content.flash;
  }

  /** The stored session as last seen, read anew from its text: the holder may have changed the objects made from it. */
  snapshot(): StoredSession {
    const { record } = this.#stored;
    return { record, content: decodePayload(record) };
  }

  get record(): SessionRecord {
    return this.#stored.record;
  }

  get facts(): SessionFacts {
    return this.#stored.content.facts;
  }

  /** Milliseconds since the epoch; exact, while the store may be up to `touchInterval` behind. */
  get lastAccessed(): number {
    return this.accessedAt;
  }

  /** The user's id, without the notice that somebody may change the user. */
  get userId(): string | null {
    return this.#user?.userId ?? null;
  }

  get user(): SessionUser | null {
    this.#userSeen = true;
    return this.#user;
  }

  get data(): SessionData {
    this.#dataSeen = true;
    return this.#data;
  }

  addFlash(message: string, category: string): void {
    if (typeof message !== 'string') throw new SessionDataError('A flash message is a string.', 'flash.message');
    if (typeof category !== 'string') throw new SessionDataError('A flash category is a string.', 'flash.category');
    const { clock, random } = this.surroundings;
    this.#added = [...this.#added, { id: random.base64url(FLASH_ID_BYTES), message, category, timestamp: clock.now() }];
  }

  readFlash(clear: boolean): readonly StoredFlashMessage[] {
    const messages = [...this.#flash, ...this.#added];
    if (clear) {
      this.#taken = [...this.#taken, ...this.#flash.map(({ id }) => id)];
      this.#flash = [];
      this.#added = [];
    }
    return messages;
  }

  /** Messages that were added here and that no commit has stored yet; they are forgotten by this. */
  takeUncommittedFlash(): readonly StoredFlashMessage[] {
    const messages = this.#added;
    this.#added = [];
    return messages;
  }

  /** Runs one commit after the other: two that were told from the same changes would store them twice. */
  async inTurn<T>(commit: () => Promise<T>): Promise<T> {
    const before = this.#commits;
    const own = before.then(commit);
    // The chain goes on after a failure, which its own caller is told.
    this.#commits = own.then(
      () => undefined,
      () => undefined,
    );
    return own;
  }

  hasStoredFlash(): boolean {
    return this.#flash.length > 0;
  }

  hasChanges(): boolean {
    return this.pendingChanges().changes.length > 0;
  }

  /** @throws SessionDataError when the holder put in a value that cannot be stored, or changed the user's id */
  pendingChanges(): PendingChanges {
    const userText = this.#userSeen && this.#user !== null ? this.#checkedUserText(this.#user) : this.#userText;
    const dataText = this.#dataSeen ? this.#checkedDataText() : this.#dataText;
    const changes: Change[] = [];
    if (userText !== this.#userText) {
      for (const { key, value, removed } of differences(this.#userText, userText)) {
        changes.push(removed ? { op: 'remove-user-field', field: key } : { op: 'set-user-field', field: key, value });
      }
    }
    if (dataText !== this.#dataText) {
      for (const { key, value, removed } of differences(this.#dataText, dataText)) {
        changes.push(removed ? { op: 'remove', key } : { op: 'set', key, value });
      }
    }
    for (const id of this.#taken) changes.push({ op: 'take-flash', id });
    for (const message of this.#added) changes.push({ op: 'add-flash', message });
    return { changes, userText, dataText };
  }

  /** Told after `pending` was stored as `stored`: what was pending is so no longer. */
  committed(pending: PendingChanges, stored: StoredSession): void {
    const settled = new Set(pending.changes.map((change) => flashIdOf(change)));
    this.#stored = stored;
    this.#userText = pending.userText;
    this.#dataText = pending.dataText;
    this.#flash = [...this.#flash, ...this.#added.filter(({ id }) => settled.has(id))];
    this.#added = this.#added.filter(({ id }) => !settled.has(id));
    this.#taken = this.#taken.filter((id) => !settled.has(id));
  }

  /** Told after another path than a commit has stored a newer record, such as a flash take. */
  stored(stored: StoredSession): void {
    const left = new Set(stored.content.flash.map(({ id }) => id));
    this.#stored = stored;
    this.#flash = this.#flash.filter(({ id }) => left.has(id));
  }

  /** Told after the store has moved the times. */
  touched(times: SessionTimes): void {
    const { record, content } = this.#stored;
    const lastAccessed = Math.max(record.lastAccessed, times.lastAccessed);
    const expiresAt = Math.max(record.expiresAt, times.expiresAt);
    this.#stored = { record: { ...record, lastAccessed, expiresAt }, content };
  }

  #checkedUserText(user: SessionUser): string {
    assertUser(user);
    if (user.userId !== this.#userId) {
      throw new SessionDataError(
        'user.userId of a session cannot be changed: call login(), which makes a new session for the other user.',
        'user.userId',
        'USER_ID_CHANGED',
      );
    }
    return JSON.stringify(user);
  }

  #checkedDataText(): string {
    assertJsonValue(this.#data, 'data');
    return JSON.stringify(this.#data);
  }
}

interface Difference {
  readonly key: string;
  readonly value: unknown;
  readonly removed: boolean;
}

/** The keys in which two objects, given as JSON, differ. The values are copies, which the holder cannot reach any more. */
function differences(beforeText: string, afterText: string): Difference[] {
  const before = new Map(Object.entries(JSON.parse(beforeText) as object));
  const after = new Map(Object.entries(JSON.parse(afterText) as object));
  const changed = [...after]
    .filter(([key, value]) => !before.has(key) || JSON.stringify(before.get(key)) !== JSON.stringify(value))
    .map(([key, value]): Difference => ({ key, value: value as unknown, removed: false }));
  const removed = [...before.keys()]
    .filter((key) => !after.has(key))
    .map((key): Difference => ({ key, value: undefined, removed: true }));
  return [...changed, ...removed];
}

function flashIdOf(change: Change): string | undefined {
  switch (change.op) {
    case 'add-flash':
      return change.message.id;
    case 'take-flash':
      return change.id;
    default:
      return undefined;
  }
}
