import type { LoggerService } from '@nestjs/common';

import type { Clock } from '../clock.js';
import type { ReadRecord, SessionRecord, SessionTimes } from '../records/session-record.js';
import type { SessionId, UserTag } from '../tokens/session-secret.js';

/** Injection token of the {@link SessionBackend}. */
export const SESSION_BACKEND = Symbol.for('nestjs-sessionx:backend');

/** What the module tells a backend before its first call. */
export interface BackendContext {
  /** Put before every key, so that applications can share a store. */
  readonly keyPrefix: string;
  /** The longest that a call may take, milliseconds; set the driver's own timeouts by it. */
  readonly timeoutMs: number;
  /** The time that decides about expiry. A store's own clock may differ: give it lifetimes, not instants. */
  readonly clock: Clock;
  /** Its lines appear under `SessionModule`. */
  readonly logger: Pick<LoggerService, 'log' | 'warn' | 'error'>;
}

/** How many sessions a user may have, and what a further one does. */
export interface SessionLimit {
  /** Sessions, at least 1. */
  readonly max: number;
  /** As the option `onSessionLimit`. */
  readonly onLimit: 'evict-oldest' | 'reject';
}

/** The session in whose place another one is created. */
export interface ReplacedSession {
  readonly id: SessionId;
  readonly version: number;
  /**
   * The record that takes its place under its id, in the same atomic step: of the status `alias`, without a user tag, of a higher version. A
   * reader of the id finds either the replaced session or the alias of one that can be read. Its `lastAccessed` is the instant of this call. Given
   * only to a backend with `keepsAliases`.
   */
  readonly alias?: SessionRecord;
}

/** How a session is stored for the first time. */
export interface CreateOptions {
  /**
   * Counts the user's living sessions, `active` and `pending` ones, this one included. Of the least recently used ones that are too many, by
   * `lastAccessed` and then by id (see `leastRecentlyUsedFirst`), `evict-oldest` removes those that are not `pending`, and never the new one.
   */
  readonly limit?: SessionLimit | undefined;
  /** A session of the same tag that ceases in the same atomic step, if it still has this version; else nothing happens. */
  readonly replaces?: ReplacedSession | undefined;
  /** Milliseconds from this call to its deadline. A store that gets to it later must not carry it out: for its caller it has failed. */
  readonly timeoutMs: number;
}

/** How a session is stored again. */
export interface ReplaceOptions {
  /** As of `create`. Default: none, as a late write of an outdated version does nothing anyway. */
  readonly timeoutMs?: number;
}

/** `late`: the store came to it after the deadline, and has stored nothing. */
export type ReplaceResult = 'replaced' | 'changed' | 'missing' | 'late';

/** `alias`: what is there is an alias, which a deletion without a version leaves as it is. The caller ends the session to which it leads. */
export type DeleteResult = 'deleted' | 'changed' | 'missing' | 'alias';

/** For calls that may work on many sessions. */
export interface ProgressOptions {
  /**
   * To be called whenever a part of the work is done: the caller then waits for up to `timeoutMs` again. A backend that does all of it at
   * once need not call it.
   */
  readonly progress?: () => void;
}

/** How the sessions of a user are listed. */
export interface ListByUserOptions extends ProgressOptions {
  /**
   * Whether no session may be left out because it is getting a new id just now. A backend whose list and records change in several steps then waits
   * for those that are under way, for up to `timeoutMs`.
   */
  readonly settles?: boolean;
}

/** How the sessions of a user are removed. */
export interface DeleteByUserOptions extends ProgressOptions {
  /** The session that stays, unless another call that is under way, or that has failed, was to remove it. */
  readonly except?: SessionId;
}

/** Gets the ids of sessions that have ended; see {@link SessionBackend.onEnded}. */
export type EndedListener = (ids: readonly SessionId[]) => void;

/** What `onEnded` opened. */
export interface EndedSubscription {
  /** From then on the listener is not called. */
  close(): Promise<void>;
}

/** What became of a session that was to be created. */
export type CreateResult =
  | { readonly outcome: 'created'; /** Sessions that the limit removed. */ readonly evicted: readonly SessionId[] }
  /**
   * Nothing was stored: the id is taken, the limit rejects it, the session to replace has another version or is gone, or the
   * store came to it after the deadline.
   */
  | {
      readonly outcome: 'exists' | 'limit' | 'changed' | 'missing' | 'late';
      /** Sessions that it has ended to make room before. Default: none. */
      readonly evicted?: readonly SessionId[];
    };

/**
 * Where sessions live. These comments are the contract.
 *
 * - Missing is not an error. An error means that the store failed and nothing is known; throw whatever the driver throws, the module
 *   turns it into a `SessionBackendError` without its text.
 * - Compare-and-set is all there is: a backend never merges and never retries a write.
 * - Each write is one atomic step, and conditional, so that one that arrives late can neither bring back nor overwrite anything.
 * - A value under the key that is no record of ours: `read` throws `DamagedRecordError`, the writes treat it as missing.
 * - A record of a form that only a later version of the backend knows: each call that would have to understand it throws
 *   `NewerRecordError` and writes nothing, also where it is one among others, as for `listByUser`, `deleteByUser` and a limit that would have to
 *   evict it. It stays in the index. `create` finds its id taken.
 * - The index of a user lists the user's `active` and `pending` sessions: those with a `userTag`. Expired ones leave it as it is used.
 */
export interface SessionBackend {
  /**
   * Whether `create` leaves the `alias` of a replaced session, and `delete` reports one. Default: no. The module then refuses `rotateEvery` and a
   * grace for an old id, and all else works.
   */
  readonly keepsAliases?: boolean;

  /**
   * Called once before the first use, and anew after `close()`, perhaps with another context. It must not wait longer than `timeoutMs`, and
   * not fail because the store is down. What it throws is shown to the developer as it is: say what is set up wrong, and no secret.
   */
  open?(context: BackendContext): Promise<void>;

  /** Stores a new record and enters it in its user's index. */
  create(record: SessionRecord, options: CreateOptions): Promise<CreateResult>;

  /** One round trip; a second one is allowed where there is no such record. An expired record may be returned or not; a missing one is null. */
  read(id: SessionId): Promise<ReadRecord | null>;

  /**
   * What `read` returns for each id, in their order, by fewer round trips. Optional: without it, each id is read by itself. It may throw what `read`
   * throws for one of them; then each is read by itself too.
   */
  readMany?(ids: readonly SessionId[]): Promise<(ReadRecord | null)[]>;

  /**
   * Notifies `listener` of sessions that any process has ended or replaced under this prefix, soon after it is done. Optional: without it, connections
   * learn of the end of their session by `liveCheckInterval`. A notice may be lost, and may be wrong: the module looks at each session.
   *
   * Resolves when it is subscribed, or when it is known that this cannot be done now, which is no error. It must not wait longer than `timeoutMs`,
   * must cost nothing where it is not called, and must do no harm to the calls that end sessions, whatever becomes of the subscription. `close()` of
   * the backend closes all that are open.
   */
  onEnded?(listener: EndedListener): Promise<EndedSubscription>;

  /**
   * Stores `record` in place of the version `ifVersion` of itself; never creates. Times never go back: the later of the stored and the
   * given ones stays. An `invalidated` record leaves the index.
   */
  replace(record: SessionRecord, ifVersion: number, options?: ReplaceOptions): Promise<ReplaceResult>;

  /**
   * Moves the times of an active record forward, in the index too, and leaves its version; each time moves only if it is later than the
   * stored one. False: there is no such active record, and none was made.
   */
  touch(id: SessionId, times: SessionTimes): Promise<boolean>;

  /**
   * Removes a record and its entry in the index. To remove what is not there is `missing`, not an error. An alias stays, see {@link DeleteResult}.
   * An invalidated session stays too, and is `missing`: it has ended already, and goes on to say why.
   *
   * @param options with `ifVersion`, a record of that version is removed whatever its status, and one of another version stays as it is, also one
   * that is not complete yet
   */
  delete(id: SessionId, options?: { readonly ifVersion?: number }): Promise<DeleteResult>;

  /** The living records in a user's index, in no particular order. */
  listByUser(tag: UserTag, options?: ListByUserOptions): Promise<SessionRecord[]>;

  /**
   * Removes all sessions of a user but `except`, and returns the ids of the active, unexpired ones that it removed. One step decides which
   * they are, so that a login at the same time is ended or listed afterwards. The removal may take several steps, as long as the sessions
   * stay listed until they are removed, no other session takes the place of one of them, and a later call removes what one that failed has
   * left. When it resolves, all are gone. Its cost follows from the number of that user's sessions alone.
   */
  deleteByUser(tag: UserTag, options?: DeleteByUserOptions): Promise<SessionId[]>;

  /** For stores that do not expire by themselves: removes expired records and returns how many. */
  clearExpired?(): Promise<number>;

  /** Resolves when the store responds. */
  ping(): Promise<void>;

  /** Gives up what `open` opened, and nothing that the application handed in. It must not wait longer than `timeoutMs`. */
  close(): Promise<void>;
}
