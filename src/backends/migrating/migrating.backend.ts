import { assertMethods, BACKEND_METHODS } from '../../options/assert-provided.js';
import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import { closeBackend, openBackends } from '../backend-opening.js';
import { isListed } from '../backend-rules.js';
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
  ListByUserOptions,
  SessionBackend,
} from '../session-backend.interface.js';
import { createBeside } from './create-beside.js';
import { endAllOfUser } from './end-all-of-user.js';
import { isPlaceholder } from './move-marks.js';
import { RecordMover } from './record-mover.js';
import { SessionLocator } from './session-locator.js';
import { settled, UNSETTLED } from './settled.js';

interface Opened {
  readonly locator: SessionLocator;
  readonly mover: RecordMover;
  readonly timeoutMs: number;
}

/**
 * Two stores as one, to move from `old` to `next` while the application runs. A session is read from wherever it is, moves to `next` with
 * its first write or touch, and is ended wherever it is. At any time at most one of the stores has it alive, so that no user who was
 * logged out comes back through the other. For the moment in which neither has it, calls for it wait. A small record that opens nothing
 * stays in the store that it has left, until the session would have expired there.
 *
 * To switch several processes one after the other, let all of them know both stores first:
 *
 * 1. everywhere `new MigratingBackend(old, next)`, which still writes to `old`,
 * 2. everywhere `new MigratingBackend(next, old)`,
 * 3. when the longest session has ended, `next` alone.
 *
 * While processes of the first two steps run side by side, each moves sessions its own way. A session that has just been moved therefore
 * stays where it is for ten minutes, and is changed there: so no call can miss it because it moved twice meanwhile. In this phase, and for
 * those ten minutes, a limit is kept only as far as the processes know of each other's logins, and the count of a logout everywhere may miss
 * a session that is being moved; it ends all the same.
 */
export class MigratingBackend implements SessionBackend {
  #state: Opened | undefined;

  /**
   * @param next the store to move to
   * @param old the store to move from
   * @throws TypeError when one of them is no backend
   */
  constructor(
    private readonly next: SessionBackend,
    private readonly old: SessionBackend,
  ) {
    assertMethods('The first argument of MigratingBackend', next, BACKEND_METHODS);
    assertMethods('The second argument of MigratingBackend', old, BACKEND_METHODS);
  }

  /** Whether both stores do. */
  get keepsAliases(): boolean {
    return this.next.keepsAliases === true && this.old.keepsAliases === true;
  }

  async open(context: BackendContext): Promise<void> {
    const { next, old } = this;
    this.#state = {
      locator: new SessionLocator({ next, old }, () => context.clock.now()),
      mover: new RecordMover(next, old, context),
      timeoutMs: context.timeoutMs,
    };
    await openBackends([next, old], context);
  }

  async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const startedAt = performance.now();
    // A limit counts what is in the store in which the session is made.
    const inOld = record.userTag === null ? [] : await this.#moveUser(record.userTag);
    const remove = (id: SessionId) => this.delete(id);
    return this.#settled(async () => {
      const left = { ...options, timeoutMs: options.timeoutMs - (performance.now() - startedAt) };
      const result = await createBeside(this.next, record, left, { records: inOld, delete: remove });
      const { replaces } = options;
      if (replaces === undefined || (result.outcome !== 'missing' && result.outcome !== 'changed')) return result;
      const found = await this.#opened().locator.findForWrite(replaces.id);
      if (found === null) return { ...result, outcome: 'missing' };
      if (found.at === 'moving') return UNSETTLED;
      if (found.record.version !== replaces.version) return { ...result, outcome: 'changed' };
      if (found.at === 'next') return UNSETTLED;
      if (!found.stays) {
        await this.#opened().mover.move(found.record, found.record, found.leftover);
        return UNSETTLED;
      }
      const inNext = record.userTag === null ? [] : await this.next.listByUser(record.userTag);
      const beside = await createBeside(this.old, record, left, { records: inNext, delete: remove });
      return beside.outcome === 'missing' || beside.outcome === 'changed' ? UNSETTLED : beside;
    });
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    return this.#settled(async () => {
      const found = await this.#opened().locator.find(id);
      if (found === null) return null;
      return found.at === 'moving' ? UNSETTLED : found.record;
    });
  }

  async replace(record: SessionRecord, ifVersion: number, { timeoutMs }: ReplaceOptions = {}): Promise<ReplaceResult> {
    const startedAt = performance.now();
    return this.#settled(async () => {
      const left = timeoutMs === undefined ? {} : { timeoutMs: timeoutMs - (performance.now() - startedAt) };
      const outcome = await this.next.replace(record, ifVersion, left);
      if (outcome === 'replaced' || outcome === 'late') return outcome;
      const found = await this.#opened().locator.findForWrite(record.id);
      if (found === null) return 'missing';
      if (found.at === 'moving') return UNSETTLED;
      if (found.record.version !== ifVersion) return 'changed';
      // It has come in the meantime.
      if (found.at === 'next') return UNSETTLED;
      // The last step of a move has no deadline.
      if (found.stays || timeoutMs !== undefined) {
        const inOld = await this.old.replace(record, ifVersion, left);
        return inOld === 'replaced' || inOld === 'late' ? inOld : UNSETTLED;
      }
      const moved = await this.#opened().mover.move(record, found.record, found.leftover);
      return moved === 'moved' ? 'replaced' : UNSETTLED;
    });
  }

  async touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    return this.#settled(async () => {
      if (await this.next.touch(id, times)) return true;
      const found = await this.#opened().locator.findForWrite(id);
      if (found === null) return false;
      if (found.at === 'moving') return UNSETTLED;
      if (found.record.status !== 'active') return false;
      if (found.at === 'next') return UNSETTLED;
      if (found.stays) return (await this.old.touch(id, times)) || UNSETTLED;
      const moved = await this.#opened().mover.move({ ...found.record, ...times }, found.record, found.leftover);
      return moved === 'moved' || UNSETTLED;
    });
  }

  /** Where the session is, by its version: whether it was this call that ended it, or a move was faster, is decided there. */
  async delete(id: SessionId, { ifVersion }: { readonly ifVersion?: number } = {}): Promise<DeleteResult> {
    return this.#settled(async () => {
      const found = await this.#opened().locator.findForWrite(id);
      if (found === null) return 'missing';
      if (found.at === 'moving') {
        // Which version of it is being moved, nothing tells.
        if (ifVersion !== undefined) return UNSETTLED;
        // Without its placeholder it ends, if the placeholder is not what a move has left whose session was ended before.
        const outcome = await this[found.store].delete(id, { ifVersion: found.placeholder.version });
        return outcome === 'deleted' && found.hasLeft ? outcome : UNSETTLED;
      }
      const { version, status } = found.record;
      if (status === 'alias' && ifVersion === undefined) return 'alias';
      if (status === 'invalidated' && ifVersion === undefined) return 'missing';
      if (ifVersion !== undefined && ifVersion !== version) return 'changed';
      const outcome = await this[found.at].delete(id, { ifVersion: version });
      return outcome === 'deleted' ? outcome : UNSETTLED;
    });
  }

  async listByUser(tag: UserTag, options?: ListByUserOptions): Promise<SessionRecord[]> {
    const byId = new Map<SessionId, SessionRecord>();
    // The old store twice, so that a session which moves meanwhile is met, whichever way it goes.
    for (const store of [this.old, this.next, this.old]) {
      for (const record of await store.listByUser(tag, options)) {
        const known = byId.get(record.id);
        if (known === undefined || isPlaceholder(known) || !isPlaceholder(record)) byId.set(record.id, record);
      }
    }
    const records = [];
    for (const record of byId.values()) {
      const settledRecord = isPlaceholder(record) ? await this.read(record.id) : record;
      if (settledRecord !== null && isListed(settledRecord)) records.push(settledRecord);
    }
    return records;
  }

  async deleteByUser(tag: UserTag, options: DeleteByUserOptions = {}): Promise<SessionId[]> {
    // Before anything is deleted, as it refuses where either store has a record of a newer form.
    for (const store of [this.old, this.next]) await store.listByUser(tag, options);
    return endAllOfUser({ next: this.next, old: this.old }, tag, options);
  }

  /** By those of the stores that can notify. A session that moves is looked at, and found where it is. */
  async onEnded(listener: EndedListener): Promise<EndedSubscription> {
    const subscriptions: EndedSubscription[] = [];
    const close = async (): Promise<void> => {
      await Promise.all(subscriptions.map((subscription) => subscription.close()));
    };
    try {
      for (const store of [this.next, this.old]) {
        const subscription = await store.onEnded?.(listener);
        if (subscription !== undefined) subscriptions.push(subscription);
      }
    } catch (error) {
      // Nothing would close the first one.
      await close();
      throw error;
    }
    return { close };
  }

  async clearExpired(): Promise<number> {
    const counts = await Promise.all([this.next.clearExpired?.(), this.old.clearExpired?.()]);
    return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  }

  async ping(): Promise<void> {
    await Promise.all([this.next.ping(), this.old.ping()]);
  }

  async close(): Promise<void> {
    await Promise.all([closeBackend(this.next), closeBackend(this.old)]);
  }

  #opened(): Opened {
    if (this.#state === undefined) throw new Error('MigratingBackend was used before open()');
    return this.#state;
  }

  #settled<T>(attempt: () => Promise<T | typeof UNSETTLED>): Promise<T> {
    return settled(attempt, this.#opened().timeoutMs);
  }

  /** @returns the sessions of the user that stay in the old store */
  async #moveUser(tag: UserTag): Promise<SessionRecord[]> {
    const staying = [];
    for (const { id } of await this.old.listByUser(tag)) {
      const record = await this.#moveUnlessItStays(id);
      if (record !== null) staying.push(record);
    }
    return staying;
  }

  /** @returns the session if it stays in the old store; null: it is in the new one, or has ended */
  async #moveUnlessItStays(id: SessionId): Promise<SessionRecord | null> {
    return this.#settled(async () => {
      const found = await this.#opened().locator.findForWrite(id);
      if (found?.at !== 'old') return found?.at === 'moving' ? UNSETTLED : null;
      if (found.stays) return found.record;
      await this.#opened().mover.move(found.record, found.record, found.leftover);
      return UNSETTLED;
    });
  }
}
