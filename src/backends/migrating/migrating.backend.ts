import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import { closeBackend, openBackends } from '../backend-opening.js';
import type {
  BackendContext,
  CreateOptions,
  CreateResult,
  ReplaceOptions,
  ReplaceResult,
  SessionBackend,
} from '../session-backend.interface.js';
import { isStandIn, RecordMover } from './record-mover.js';
import { settled, UNSETTLED } from './settled.js';

interface Opened {
  readonly mover: RecordMover;
  readonly timeoutMs: number;
}

interface Whereabouts {
  readonly store: 'next' | 'old';
  readonly record: SessionRecord;
}

/**
 * Two stores as one, to move from `old` to `next` while the application runs. A session is read from wherever it is, moves to `next` with
 * its first write or touch, and is deleted from both. At any time at most one of the stores has it alive, so that nobody who was
 * logged out comes back through the other. For the moment in which neither has it, calls for it wait.
 *
 * To switch several processes one after the other, let all of them know both stores first:
 *
 * 1. everywhere `new MigratingBackend(old, next)`, which still writes to `old`,
 * 2. everywhere `new MigratingBackend(next, old)`,
 * 3. when the longest session has ended, `next` alone.
 *
 * While processes of the first two steps run side by side, a limit of sessions is kept only as far as they know of each other's logins, and
 * the count of a logout everywhere may miss a session that they move to and fro; it ends all the same.
 */
export class MigratingBackend implements SessionBackend {
  #state: Opened | undefined;

  /**
   * @param next the store to move to
   * @param old the store to move from
   */
  constructor(
    private readonly next: SessionBackend,
    private readonly old: SessionBackend,
  ) {}

  async open(context: BackendContext): Promise<void> {
    this.#state = { mover: new RecordMover(this.next, this.old, context), timeoutMs: context.timeoutMs };
    await openBackends([this.next, this.old], context);
  }

  async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const startedAt = performance.now();
    // A limit counts what is in `next`, and what is replaced has to be there.
    if (record.userTag !== null) await this.#moveUser(record.userTag);
    else if (options.replaces !== undefined) await this.#moveRecord(options.replaces.id);
    return this.next.create(record, { ...options, deadline: options.deadline - (performance.now() - startedAt) });
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    const found = await this.#settled(() => this.#find(id));
    return found === null ? null : found.record;
  }

  async replace(record: SessionRecord, ifVersion: number, { deadline }: ReplaceOptions = {}): Promise<ReplaceResult> {
    const startedAt = performance.now();
    return this.#settled(async () => {
      const left = deadline === undefined ? {} : { deadline: deadline - (performance.now() - startedAt) };
      const outcome = await this.next.replace(record, ifVersion, left);
      if (outcome === 'replaced' || outcome === 'late') return outcome;
      const found = await this.#find(record.id);
      if (found === UNSETTLED) return UNSETTLED;
      if (found === null) return 'missing';
      if (found.record.version !== ifVersion) return 'changed';
      // It has come in the meantime.
      if (found.store === 'next') return UNSETTLED;
      switch (await this.#opened().mover.move(record, found.record)) {
        case 'moved':
          return 'replaced';
        case 'ended':
          return 'missing';
        case 'not-ours':
          return UNSETTLED;
      }
    });
  }

  async touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    return this.#settled(async () => {
      if (await this.next.touch(id, times)) return true;
      const found = await this.#find(id);
      if (found === UNSETTLED) return UNSETTLED;
      if (found?.record.status !== 'active') return false;
      if (found.store === 'old') await this.#opened().mover.move(found.record, found.record);
      return UNSETTLED;
    });
  }

  /**
   * First from the old store: whoever is moving the session from there has to delete it there himself, and sees that he came too late. And
   * there once more in the end, for whoever moves it the other way.
   */
  async delete(id: SessionId, options?: { readonly ifVersion?: number }): Promise<'deleted' | 'changed' | 'missing'> {
    const old = await this.old.delete(id, options);
    if (old === 'changed') return old;
    const next = await this.next.delete(id, old === 'deleted' ? {} : options);
    if (old === 'deleted') return old;
    return next === 'missing' ? this.old.delete(id, options) : next;
  }

  async listByUser(tag: UserTag): Promise<SessionRecord[]> {
    const byId = new Map<SessionId, SessionRecord>();
    for (const record of await this.#inEitherStore((store) => store.listByUser(tag))) {
      const known = byId.get(record.id);
      if (known === undefined || isStandIn(known) || !isStandIn(record)) byId.set(record.id, record);
    }
    return [...byId.values()];
  }

  async deleteByUser(tag: UserTag, options?: { readonly except?: SessionId }): Promise<SessionId[]> {
    // Before anything is deleted, as it refuses where either store has a record of a newer form.
    for (const store of [this.old, this.next]) await store.listByUser(tag);
    const ended = await this.#inEitherStore(async (store) => {
      // A session between the two stores is active in neither, and ends with its stand-in.
      const moving = (await store.listByUser(tag)).filter(isStandIn).map(({ id }) => id);
      return [...moving.filter((id) => id !== options?.except), ...(await store.deleteByUser(tag, options))];
    });
    return [...new Set(ended)];
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

  /** Looks where a session comes to last once more: a move in either direction is overtaken so. */
  async #find(id: SessionId): Promise<Whereabouts | typeof UNSETTLED | null> {
    let moving = false;
    for (const store of ['next', 'old', 'next'] as const) {
      const record = await this[store].read(id);
      if (record === null) continue;
      if (!isStandIn(record)) return { store, record };
      moving = true;
    }
    return moving ? UNSETTLED : null;
  }

  /** One after the other, the old one twice, so that a session which moves meanwhile is met, whichever way it goes. */
  async #inEitherStore<T>(call: (store: SessionBackend) => Promise<T[]>): Promise<T[]> {
    const found = [];
    for (const store of [this.old, this.next, this.old]) found.push(...(await call(store)));
    return found;
  }

  async #moveUser(tag: UserTag): Promise<void> {
    for (const { id } of await this.old.listByUser(tag)) await this.#moveRecord(id);
  }

  /** Moves a record as it is, if it is in the old store. */
  async #moveRecord(id: SessionId): Promise<void> {
    await this.#settled(async () => {
      const found = await this.#find(id);
      if (found === UNSETTLED) return UNSETTLED;
      if (found?.store !== 'old') return;
      await this.#opened().mover.move(found.record, found.record);
      return UNSETTLED;
    });
  }
}
