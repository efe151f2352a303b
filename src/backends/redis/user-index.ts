import { decodeRecord } from '../../records/record-text.js';
import { memberOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import { leastRecentlyUsedFirst } from '../backend-rules.js';
import type { CreateOptions, SessionLimit } from '../session-backend.interface.js';
import { timeText } from './redis-arguments.js';
import type { RedisScripts } from './redis-scripts.js';
import { MEMBERS_AT_ONCE } from './scripts/record-head.js';

/** What became of an attempt to make room for one more session. */
export type RoomResult =
  { readonly outcome: 'room'; readonly evicted: readonly SessionId[] } | { readonly outcome: 'limit' | 'late' };

const NO_LIMIT: SessionLimit = { max: Infinity, onLimit: 'evict-oldest' };

interface Candidate {
  readonly id: SessionId;
  /** As stored. */
  readonly stamp: string;
  /** Milliseconds since the epoch; of an expired session less than of any other. */
  readonly lastAccessed: number;
}

/** The sessions of one user who has more of them than one script may look at. */
export class UserIndex {
  constructor(
    private readonly scripts: RedisScripts,
    private readonly key: string,
    private readonly tag: UserTag,
    private readonly now: () => number,
  ) {}

  /**
   * Evicts sessions until the limit leaves room for one more, part by part: what certainly has to leave is removed before the next part is
   * looked at, so that an attempt that runs out of time has made the next one shorter. Expired sessions leave first.
   *
   * @param options of the creation; the session that it replaces is left alone
   * @param isOver whether the time is up
   */
  async makeRoom({ limit, replaces }: CreateOptions, isOver: () => boolean): Promise<RoomResult> {
    const { max, onLimit } = limit ?? NO_LIMIT;
    const evicted: SessionId[] = [];
    // By id: a scan may come to a session twice.
    const kept = new Map<SessionId, Candidate>();
    let living = 0;
    for (let cursor: string | null = '0'; cursor !== null;) {
      if (isOver()) return { outcome: 'late' };
      const part = await this.#scan(cursor);
      cursor = part.next;
      for (const candidate of part.candidates) {
        if (candidate.id === replaces?.id || kept.has(candidate.id)) continue;
        if (candidate.lastAccessed > -Infinity) living++;
        kept.set(candidate.id, candidate);
      }
      if (onLimit === 'reject' && living >= max) return { outcome: 'limit' };
      // Sorted once for as many as are kept, not for each part.
      if (cursor !== null && kept.size < 2 * max) continue;
      const leaving = [...kept.values()].sort(leastRecentlyUsedFirst).slice(0, Math.max(0, kept.size + 1 - max));
      for (const { id } of leaving) kept.delete(id);
      for (let start = 0; start < leaving.length; start += MEMBERS_AT_ONCE) {
        if (isOver()) return { outcome: 'late' };
        for (const id of await this.#evict(leaving.slice(start, start + MEMBERS_AT_ONCE))) evicted.push(id);
      }
    }
    return { outcome: 'room', evicted };
  }

  async #scan(cursor: string): Promise<{ readonly next: string | null; readonly candidates: Candidate[] }> {
    const [next, ...found] = await this.scripts.sessionxScanHeads(this.key, cursor);
    const candidates: Candidate[] = [];
    for (let position = 0; position < found.length; position += 2) {
      const [member = '', head = ''] = found.slice(position, position + 2);
      const { id, lastAccessed, expiresAt } = decodeRecord((this.tag + member) as SessionId, head);
      const expired = expiresAt <= this.now();
      candidates.push({ id, stamp: timeText(lastAccessed), lastAccessed: expired ? -Infinity : lastAccessed });
    }
    return { next: next === '0' ? null : next, candidates };
  }

  /** @returns those that were unexpired */
  async #evict(candidates: readonly Candidate[]): Promise<SessionId[]> {
    const removed = await this.scripts.sessionxEvict(
      this.key,
      ...candidates.flatMap(({ id, stamp }) => [memberOf(id), stamp]),
    );
    const members = new Set(removed);
    return candidates.flatMap(({ id, lastAccessed }) =>
      lastAccessed > -Infinity && members.has(memberOf(id)) ? [id] : [],
    );
  }
}
