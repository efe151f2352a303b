import { memberOf, type SessionId } from '../../tokens/session-secret.js';
import { leastRecentlyUsedFirst } from '../backend-rules.js';
import type { CreateOptions, SessionLimit } from '../session-backend.interface.js';
import { MEMBERS_AT_ONCE } from './scripts/record-head.js';
import type { StoredHead, UserIndex } from './user-index.js';

/** What became of an attempt to make room for one more session. */
export type RoomResult =
  { readonly outcome: 'room'; readonly evicted: readonly SessionId[] } | { readonly outcome: 'limit' | 'late' };

interface Candidate {
  readonly id: SessionId;
  /** Milliseconds since the epoch; -Infinity of an expired session, which leaves before all others. */
  readonly lastAccessed: number;
  readonly head: StoredHead;
}

/** Keeps the limit of a user who has more sessions than one script may look at. */
export class SessionRoom {
  readonly #evicted: SessionId[] = [];

  /** @param isOver whether the time of the creation is up */
  constructor(
    private readonly index: UserIndex,
    private readonly limit: SessionLimit,
    private readonly replaces: CreateOptions['replaces'],
    private readonly isOver: () => boolean,
  ) {}

  /**
   * Ends sessions until the limit leaves room for one more: first what a log-out everywhere has not ended yet, then the expired ones, then
   * the least recently used ones. It goes part by part, and what certainly has to leave is ended before the next part is looked at, so that
   * an attempt that runs out of time has made the next one shorter.
   *
   * @throws NewerRecordError when one of them is of a newer form
   */
  async make(): Promise<RoomResult> {
    const keep = this.replaces === undefined ? '' : memberOf(this.replaces.id);
    const isSwept = !this.isOver() && (await this.index.sweep(keep, this.#evicted, () => !this.isOver()));
    if (!isSwept) return { outcome: 'late' };
    const outcome = await this.#evictExcess();
    return outcome === 'room' ? { outcome, evicted: this.#evicted } : { outcome };
  }

  async #evictExcess(): Promise<RoomResult['outcome']> {
    const { max, onLimit } = this.limit;
    // By id: a scan may come to a session twice.
    const kept = new Map<SessionId, Candidate>();
    let living = 0;
    for (let cursor: string | null = '0'; cursor !== null;) {
      if (this.isOver()) return 'late';
      const part = await this.index.scanHeads(cursor);
      cursor = part.next;
      for (const head of part.heads) {
        if (head.id === this.replaces?.id || kept.has(head.id)) continue;
        const isLiving = head.expiresAt > this.index.now();
        if (isLiving) living++;
        kept.set(head.id, { id: head.id, lastAccessed: isLiving ? head.lastAccessed : -Infinity, head });
      }
      if (onLimit === 'reject' && living >= max) return 'limit';
      // Sorted once for as many as are kept, not for each part.
      if (cursor !== null && kept.size < 2 * max) continue;
      const leaving = [...kept.values()].sort(leastRecentlyUsedFirst).slice(0, Math.max(0, kept.size + 1 - max));
      for (const { id } of leaving) kept.delete(id);
      for (let start = 0; start < leaving.length; start += MEMBERS_AT_ONCE) {
        if (this.isOver()) return 'late';
        await this.#evict(leaving.slice(start, start + MEMBERS_AT_ONCE));
      }
    }
    return 'room';
  }

  async #evict(candidates: readonly Candidate[]): Promise<void> {
    const removed = new Set(await this.index.evictUnused(candidates.map(({ head }) => head)));
    for (const { id, lastAccessed } of candidates) {
      if (lastAccessed > -Infinity && removed.has(id)) this.#evicted.push(id);
    }
  }
}
