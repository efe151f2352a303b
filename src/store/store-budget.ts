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

  /**
   * Waits for `call` as long as the budget lasts.
   *
   * @throws SessionBackendError `BACKEND_TIMEOUT`; the call may still take effect, its outcome is unknown
   */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const remainingMs = this.remainingMs;
    if (remainingMs <= 0) throw timedOut(this.timeoutMs);
    if (this.#running++ === 0) this.#runningSince = performance.now();
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(timedOut(this.timeoutMs));
        }, remainingMs);
        call().then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      if (--this.#running === 0) this.#spentMs += performance.now() - this.#runningSince;
    }
  }
}

function timedOut(timeoutMs: number): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_TIMEOUT',
    `The session store did not answer within backendTimeout (${timeoutMs} ms).`,
  );
}
