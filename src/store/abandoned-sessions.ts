import type { LoggerService } from '@nestjs/common';

import { backoffMs } from '../backends/backend-rules.js';
import type { SessionId } from '../tokens/session-secret.js';

/** The most that wait at once; beyond it the store is down for so many logins that a rest must end by itself. */
const MOST_WAITING = 1000;
/** An outage that lasts longer leaves sessions that end by themselves. */
const GIVE_UP_AFTER_MS = 300_000;
const LONGEST_PAUSE_MS = 30_000;
/** For clocks of store and process that do not run at the same speed. */
const MARGIN_MS = 50;

/** A session whose creation has failed for its caller, while the store may have it. No client has its token. */
export interface AbandonedSession {
  readonly id: SessionId;
  /** The versions in which the failed calls may have left it, the earliest first. */
  readonly versions: readonly number[];
}

interface Waiting extends AbandonedSession {
  /** When the store carries out no call for it any more; by `performance.now()`, as all here. */
  readonly dueAt: number;
}

/**
 * Ends abandoned sessions in the background, as they would count against `maxSessionsPerUser` until they expire. Each is deleted only in
 * a version that the failed calls may have left, after their deadline: a deletion that came earlier could be overtaken by them.
 *
 * One call at a time; while the store fails, with growing pauses. Bounded in number and time, and nothing here keeps the process alive.
 */
export class AbandonedSessions {
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #closed = false;
  /** In a row. */
  #failures = 0;
  #warned = false;

  constructor(
    private readonly remove: (id: SessionId, ifVersion: number) => Promise<'deleted' | 'changed' | 'missing'>,
    private readonly pauseMs: number,
    private readonly logger: Pick<LoggerService, 'warn'>,
  ) {}

  /** @param deadlineMs milliseconds from now, after which the store carries out no failed call for it any more */
  add(session: AbandonedSession, deadlineMs: number): void {
    if (this.#closed) return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.#warn();
      return;
    }
    this.#waiting.push({ ...session, dueAt: performance.now() + Math.max(0, deadlineMs) + MARGIN_MS });
    this.#schedule(0);
  }

  /** Forgets what waits. A call that is under way may still end, and its outcome no longer matters. */
  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(pauseMs: number): void {
    const [next] = this.#waiting;
    if (next === undefined || this.#running || this.#timer !== undefined) return;
    const untilDueMs = next.dueAt - performance.now();
    this.#timer = setTimeout(() => void this.#run(), Math.max(pauseMs, untilDueMs));
    this.#timer.unref();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#running = true;
    const failed = await this.#endDue();
    this.#running = false;
    this.#failures = failed ? this.#failures + 1 : 0;
    if (!failed && this.#waiting.length === 0) this.#warned = false;
    this.#giveUpOld();
    this.#schedule(failed ? this.#pause() : 0);
  }

  /** Ends those that are due. True: the store has failed. */
  async #endDue(): Promise<boolean> {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || next.dueAt > performance.now()) return false;
      this.#waiting.shift();
      try {
        await this.#end(next);
      } catch {
        // The store has logged its failure. To the back: one that always fails must not stop the others.
        if (!this.#closed) this.#waiting.push(next);
        return true;
      }
    }
  }

  async #end({ id, versions }: AbandonedSession): Promise<void> {
    for (const version of versions) {
      if ((await this.remove(id, version)) !== 'changed') return;
    }
  }

  #pause(): number {
    return backoffMs(this.#failures, 2 * this.pauseMs, LONGEST_PAUSE_MS);
  }

  #giveUpOld(): void {
    const oldest = performance.now() - GIVE_UP_AFTER_MS;
    const kept = this.#waiting.filter(({ dueAt }) => dueAt > oldest);
    if (kept.length === this.#waiting.length) return;
    this.#waiting.splice(0, Infinity, ...kept);
    this.#warn();
  }

  /** Once for an outage. */
  #warn(): void {
    if (this.#warned) return;
    this.#warned = true;
    this.logger.warn(
      'The session store fails for so long that sessions of failed logins stay in it; they count against maxSessionsPerUser until they expire.',
    );
  }
}
