import type { SessionRecord, SessionTimes } from '../../records/session-record.js';
import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import type { BackendContext, CreateOptions, CreateResult, SessionBackend } from '../session-backend.interface.js';
import { RecordMover } from './record-mover.js';

/**
 * Two stores as one, to move from `old` to `next` while the application runs. A session is read from wherever it is, moves to `next` with
 * its first write or touch, and is deleted from both. At any time at most one of the stores has it alive, so that nobody who was
 * logged out comes back through the other.
 *
 * To switch several processes one after the other, let all of them know both stores first:
 *
 * 1. everywhere `new MigratingBackend(old, next)`, which still writes to `old`,
 * 2. everywhere `new MigratingBackend(next, old)`,
 * 3. when the longest session has ended, `next` alone.
 *
 * While processes of the first two steps run side by side, a limit of sessions is kept only as far as they know of each other's logins.
 */
export class MigratingBackend implements SessionBackend {
  readonly #mover: RecordMover;

  /**
   * @param next the store to move to
   * @param old the store to move from
   */
  constructor(
    private readonly next: SessionBackend,
    private readonly old: SessionBackend,
  ) {
    this.#mover = new RecordMover(next, old);
  }

  async open(context: BackendContext): Promise<void> {
    await Promise.all([this.next.open?.(context), this.old.open?.(context)]);
    this.#mover.open(context);
  }

  async create(record: SessionRecord, options: CreateOptions): Promise<CreateResult> {
    const startedAt = performance.now();
    // A limit counts what is in `next`, and what is replaced has to be there.
    if (record.userTag !== null) await this.#moveUser(record.userTag);
    else if (options.replaces !== undefined) await this.#mover.fetch(options.replaces.id);
    return this.next.create(record, { ...options, deadline: options.deadline - (performance.now() - startedAt) });
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    const record = await this.next.read(id);
    if (record !== null && record.status !== 'pending') return record;
    // Missing here and there: it may have moved in between.
    return (await this.old.read(id)) ?? this.next.read(id);
  }

  async replace(record: SessionRecord, ifVersion: number): Promise<'replaced' | 'changed' | 'missing'> {
    const outcome = await this.next.replace(record, ifVersion);
    if (outcome === 'replaced') return outcome;
    const old = await this.old.read(record.id);
    if (old === null) return outcome === 'changed' ? outcome : this.next.replace(record, ifVersion);
    if (old.version !== ifVersion) return 'changed';
    return this.#mover.move(record, old);
  }

  async touch(id: SessionId, times: SessionTimes): Promise<boolean> {
    if (await this.next.touch(id, times)) return true;
    await this.#mover.fetch(id);
    return this.next.touch(id, times);
  }

  /** First from the old store: whoever is moving the session has to delete it there himself, and sees that he came too late. */
  async delete(id: SessionId, options?: { readonly ifVersion?: number }): Promise<'deleted' | 'changed' | 'missing'> {
    const old = await this.old.delete(id, options);
    if (old === 'changed') return old;
    const next = await this.next.delete(id, old === 'deleted' ? {} : options);
    return old === 'deleted' ? old : next;
  }

  async listByUser(tag: UserTag): Promise<SessionRecord[]> {
    const old = await this.old.listByUser(tag);
    const next = await this.next.listByUser(tag);
    const byId = new Map(old.map((record) => [record.id, record]));
    for (const record of next) {
      if (record.status !== 'pending' || !byId.has(record.id)) byId.set(record.id, record);
    }
    return [...byId.values()];
  }

  async deleteByUser(tag: UserTag, options?: { readonly except?: SessionId }): Promise<SessionId[]> {
    const old = await this.old.deleteByUser(tag, options);
    const next = await this.next.deleteByUser(tag, options);
    return [...new Set([...old, ...next])];
  }

  async clearExpired(): Promise<number> {
    const counts = await Promise.all([this.next.clearExpired?.(), this.old.clearExpired?.()]);
    return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  }

  async ping(): Promise<void> {
    await Promise.all([this.next.ping(), this.old.ping()]);
  }

  async close(): Promise<void> {
    await Promise.all([this.next.close(), this.old.close()]);
  }

  async #moveUser(tag: UserTag): Promise<void> {
    for (const { id } of await this.old.listByUser(tag)) await this.#mover.fetch(id);
  }
}
