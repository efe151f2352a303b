import { SessionBackendError } from '../errors/session-errors.js';
import type { Wait, Waits } from './waits.js';

/**
 * The time that the store calls of one request may take together. Time between the calls is not counted, calls that run side by side are
 * counted once.
 */
export class StoreBudget {
  #spentMs = 0;
  #running = 0;
  #runningSince = 0;

  constructor(
    private readonly timeoutMs: number,
    private readonly waits: Waits,
  ) {}

  /** Milliseconds left; 0 or less: nothing. */
  get remainingMs(): number {
    return this.#remainingMs(performance.now());
  }

  /** Whether no call has used any of the time yet. */
  get isUntouched(): boolean {
    return this.#spentMs === 0 && this.#running === 0;
  }

  /** A long call has done a part of its work: all of the time is there again. */
  renew(): void {
    this.#spentMs = 0;
    this.#runningSince = performance.now();
  }

  /**
   * Waits for `call` as long as the budget lasts. Without `await`, as every request comes by here.
   *
   * @throws SessionBackendError `BACKEND_TIMEOUT`; the call may still take effect, its outcome is unknown
   */
  run<T>(call: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const remainingMs = this.#remainingMs(startedAt);
    if (remainingMs <= 0) return Promise.reject(timedOut(this.timeoutMs));
    if (this.#running++ === 0) this.#runningSince = startedAt;
    return new Promise<T>((resolve, reject) => {
      const wait: Wait = {
        endsAt: startedAt + remainingMs,
        giveUp: () => {
          const now = performance.now();
          const renewedMs = this.#remainingMs(now);
          if (renewedMs > 0) {
            wait.endsAt = now + renewedMs;
            this.waits.add(wait);
            return;
          }
          this.#ended();
          reject(timedOut(this.timeoutMs));
        },
      };
      // Whatever a driver may throw; the caller makes a typed error of it.
      const fail = (error: Error): void => {
        if (!this.waits.remove(wait)) return;
        this.#ended();
        reject(error);
      };
      this.waits.add(wait);
      try {
        call().then((value) => {
          if (!this.waits.remove(wait)) return;
          this.#ended();
          resolve(value);
        }, fail);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  #remainingMs(now: number): number {
    const runningMs = this.#running > 0 ? now - this.#runningSince : 0;
    return this.timeoutMs - this.#spentMs - runningMs;
  }

  #ended(): void {
    if (--this.#running === 0) this.#spentMs += performance.now() - this.#runningSince;
  }
}

function timedOut(timeoutMs: number): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_TIMEOUT',
    `The session store did not answer within backendTimeout (${timeoutMs} ms).`,
  );
}
