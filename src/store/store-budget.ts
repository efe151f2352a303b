import { SessionBackendError } from '../errors/session-errors.js';

/**
 * The time that the store calls of one request may take together. Time between the calls is not counted, calls that run side by side are
 * counted once.
 */
export class StoreBudget {
  #spentMs = 0;
  #running = 0;
  #runningSince = 0;

  constructor(private readonly timeoutMs: number) {}

  /** Milliseconds left; 0 or less: nothing. */
  get remainingMs(): number {
    const running = this.#running > 0 ? performance.now() - this.#runningSince : 0;
    return this.timeoutMs - this.#spentMs - running;
  }

  /** Whether no call has used any of the time yet. */
  get isUntouched(): boolean {
    return this.#spentMs === 0 && this.#running === 0;
  }

  /**
   * Waits for `call` as long as the budget lasts. Without `await`, as every request comes by here.
   *
   * @throws SessionBackendError `BACKEND_TIMEOUT`; the call may still take effect, its outcome is unknown
   */
  run<T>(call: () => Promise<T>): Promise<T> {
    const remainingMs = this.remainingMs;
    if (remainingMs <= 0) return Promise.reject(timedOut(this.timeoutMs));
    if (this.#running++ === 0) this.#runningSince = performance.now();
    return new Promise<T>((resolve, reject) => {
      let waits = true;
      const stopWaiting = (): boolean => {
        if (!waits) return false;
        waits = false;
        clearTimeout(timer);
        if (--this.#running === 0) this.#spentMs += performance.now() - this.#runningSince;
        return true;
      };
      const fail = (error: Error): void => {
        if (stopWaiting()) reject(error);
      };
      // Whatever a driver may throw; the caller makes a typed error of it.
      const failWith = (error: unknown): void => {
        fail(error as Error);
      };
      const timer = setTimeout(() => {
        fail(timedOut(this.timeoutMs));
      }, Math.ceil(remainingMs));
      try {
        call().then((value) => {
          if (stopWaiting()) resolve(value);
        }, failWith);
      } catch (error) {
        failWith(error);
      }
    });
  }
}

function timedOut(timeoutMs: number): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_TIMEOUT',
    `The session store did not answer within backendTimeout (${timeoutMs} ms).`,
  );
}
