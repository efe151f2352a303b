import type { LoggerService } from '@nestjs/common';

import { backoffMs } from '../backends/backend-rules.js';
import type { DeleteResult } from '../backends/session-backend.interface.js';
import { noRequest } from '../no-request.js';
import { CLOCK_MARGIN_MS } from './store-budget.js';
import type { SessionId } from '../tokens/session-secret.js';

/** The most sessions that wait at once. Further ones are left to expire. */
const MOST_WAITING = 1000;
/** After a longer outage, sessions are left to expire. */
const GIVE_UP_AFTER_MS = 300_000;
const LONGEST_PAUSE_MS = 30_000;

/** A session whose creation has failed for its caller, although the store may have created it. No client has its token. */
export interface AbandonedSession {
  readonly id: SessionId;
  /** The versions in which the failed calls may have left it, the earliest first. */
  readonly versions: readonly number[];
}

interface Waiting extends AbandonedSession {
  /** The instant, by `performance.now()`, after which no failed call can take effect any more. */
  readonly dueAt: number;
}

/**
 * Ends abandoned sessions in the background, because they would count against `maxSessionsPerUser` until they expire. Each is deleted only
 * in a version that the failed calls may have left, and after their timeout: they could overtake an earlier deletion.
 *
 * Makes one call at a time, with growing pauses while the store fails. Bounded in number and time. Does not keep the process alive.
 */
export class AbandonedSessions {
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #closed = false;
  /** Consecutive failures. */
  #failures = 0;
  #warned = false;

  constructor(
    private readonly remove: (id: SessionId, ifVersion: number) => Promise<DeleteResult>,
    private readonly pauseMs: number,
    private readonly logger: Pick<LoggerService, 'warn'>,
  ) {}

  /** @param timeoutMs milliseconds from now, after which no failed call can take effect any more */
  add(session: AbandonedSession, timeoutMs: number): void {
    if (this.#closed) return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.#warn();
      return;
    }
    this.#waiting.push({ ...session, dueAt: performance.now() + Math.max(0, timeoutMs) + CLOCK_MARGIN_MS });
    this.#schedule(0);
  }

  /** Forgets the waiting sessions. A running call may still finish; its outcome is ignored. */
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
    this.#timer = noRequest.runInAsyncScope(() =>
      setTimeout(() => void this.#run(), Math.max(pauseMs, untilDueMs)).unref(),
    );
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

  /** Ends the sessions that are due. @returns whether the store has failed */
  async #endDue(): Promise<boolean> {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || next.dueAt > performance.now()) return false;
      this.#waiting.shift();
      try {
        await this.#end(next);
      } catch {
        // The store logs its failure. Moved to the end of the list: a session that always fails must not block the others.
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

  /** Logs once per outage. */
  #warn(): void {
    if (this.#warned) return;
    this.#warned = true;
    this.logger.warn(
      'The session store has failed for so long that sessions of failed logins stay in it. They count against maxSessionsPerUser until they expire. Check the connection to the store.',
    );
  }
}
