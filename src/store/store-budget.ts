import { SessionBackendError } from '../errors/session-errors.js';
import { Wait, type Waits } from '../backends/waits.js';

/** Tolerance for clocks of store and process that do not run at the same speed. */
export const CLOCK_MARGIN_MS = 50;

/** A call, and what becomes of its result. */
export interface BudgetedCall<T, Result> {
  make(): Promise<T>;
  returned(value: T): Result | Promise<Result>;
  /** @param error `BACKEND_TIMEOUT` too */
  failed(error: unknown): Result | Promise<Result>;
}

/**
 * The time that the store calls of one request may take together. Time between the calls is not counted, calls that run in parallel are
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

  /** Milliseconds left; 0 or less if the time is used up. */
  get remainingMs(): number {
    return this.#remainingMs(performance.now());
  }

  /** Whether no call has used any of the time yet. */
  get isUntouched(): boolean {
    return this.#spentMs === 0 && this.#running === 0;
  }

  /** Called when a long call has completed a part of its work. Restores the full time. */
  renew(): void {
    this.#spentMs = 0;
    this.#runningSince = performance.now();
  }

  /**
   * Waits for `call` as long as the budget lasts. Written without `await`, because every request calls this.
   *
   * @throws SessionBackendError `BACKEND_TIMEOUT`; the call may still take effect, its outcome is unknown
   */
  run<T>(call: () => Promise<T>): Promise<T> {
    return this.complete({ make: call, returned: itself, failed: rethrow });
  }

  /** The same, and settles with what `call` makes of the result. */
  complete<T, Result>(call: BudgetedCall<T, Result>): Promise<Result> {
    const startedAt = performance.now();
    const remainingMs = this.#remainingMs(startedAt);
    if (remainingMs <= 0) return this.#refuse(call);
    if (this.#running++ === 0) this.#runningSince = startedAt;
    return new Promise<Result>((resolve, reject) => {
      const pending = new PendingCall(this, call, resolve, reject, startedAt + remainingMs);
      this.waits.add(pending);
      try {
        call.make().then(
          (value) => {
            if (this.waits.remove(pending)) pending.returned(value);
          },
          (error: unknown) => {
            if (this.waits.remove(pending)) pending.threw(error);
          },
        );
      } catch (error) {
        if (this.waits.remove(pending)) pending.threw(error);
      }
    });
  }

  async #refuse<T, Result>(call: BudgetedCall<T, Result>): Promise<Result> {
    return call.failed(timeoutError(this.timeoutMs));
  }

  /** Called when the timer of `pending` fires. The budget may have been renewed since the timer was set. */
  timeIsUp(pending: Wait & { threw(error: unknown): void }): void {
    const now = performance.now();
    const renewedMs = this.#remainingMs(now);
    if (renewedMs <= 0) {
      pending.threw(timeoutError(this.timeoutMs));
      return;
    }
    pending.endsAt = now + renewedMs;
    this.waits.add(pending);
  }

  /** Called when one of its calls has ended. */
  ended(): void {
    if (--this.#running === 0) this.#spentMs += performance.now() - this.#runningSince;
  }

  #remainingMs(now: number): number {
    const runningMs = this.#running > 0 ? now - this.#runningSince : 0;
    return this.timeoutMs - this.#spentMs - runningMs;
  }
}

/** A call of a budget that has not returned yet. */
class PendingCall<T, Result> extends Wait {
  constructor(
    private readonly budget: StoreBudget,
    private readonly call: BudgetedCall<T, Result>,
    private readonly resolve: (result: Result | Promise<Result>) => void,
    private readonly reject: (error: unknown) => void,
    endsAt: number,
  ) {
    super(endsAt);
  }

  returned(value: T): void {
    this.budget.ended();
    try {
      this.resolve(this.call.returned(value));
    } catch (error) {
      this.reject(error);
    }
  }

  /** @param error any value that a driver may throw; the caller converts it to a typed error */
  threw(error: unknown): void {
    this.budget.ended();
    try {
      this.resolve(this.call.failed(error));
    } catch (thrown) {
      this.reject(thrown);
    }
  }

  giveUp(): void {
    this.budget.timeIsUp(this);
  }
}

function itself<T>(value: T): T {
  return value;
}

function rethrow(error: unknown): never {
  throw error;
}

function timeoutError(timeoutMs: number): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_TIMEOUT',
    `The session store did not respond within backendTimeout (${timeoutMs} ms).`,
  );
}
