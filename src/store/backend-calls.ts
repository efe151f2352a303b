import type { LoggerService } from '@nestjs/common';

import { describeDriverFailure } from '../backends/driver-failure.js';
import { SessionError } from '../errors/session-error.js';
import { SessionBackendError } from '../errors/session-errors.js';
import { DamagedRecordError, NewerRecordError } from '../records/record-errors.js';
import { newer } from '../records/stored-session.js';
import type { BackendLifecycle } from './backend-lifecycle.js';
import type { ResponseCheck } from './backend-responses.js';
import { OutageLog, type StoreCall } from './outage-log.js';
import type { StoreBudget } from './store-budget.js';

/** Without the value itself, which may be a payload. */
const BROKEN_CONTRACT = 'the backend returned a value that the SessionBackend contract does not allow';

/** Makes the calls of the backend: opened before, within a time budget, with checked results and typed errors, and outages in the log. */
export class BackendCalls {
  readonly #lifecycle: BackendLifecycle;
  readonly #outages: OutageLog;

  constructor(lifecycle: BackendLifecycle, logger: LoggerService) {
    this.#lifecycle = lifecycle;
    this.#outages = new OutageLog(logger);
  }

  get areOpen(): boolean {
    return this.#lifecycle.isOpen;
  }

  /** Opens the backend, if it is not open. Its error is thrown unchanged: the message is for the developer, and it is not an outage. */
  open(budget: StoreBudget): Promise<void> {
    return budget.run(() => this.#lifecycle.open());
  }

  /**
   * @param isAllowed checks the result of `call` against the contract
   * @throws SessionBackendError, or an error of the contract
   */
  async make<T>(
    kind: StoreCall,
    budget: StoreBudget,
    isAllowed: ResponseCheck<T>,
    call: () => Promise<unknown>,
  ): Promise<T> {
    if (!this.areOpen) await this.open(budget);
    const hadAllTime = budget.isUntouched;
    let response: unknown;
    try {
      response = await budget.run(call);
    } catch (error) {
      throw this.failure(kind, error, hadAllTime);
    }
    return this.checked(kind, isAllowed, response);
  }

  /** @returns `response` @throws SessionBackendError when the contract does not allow it */
  checked<T>(kind: StoreCall, isAllowed: ResponseCheck<T>, response: unknown): T {
    if (!isAllowed(response)) throw this.#outage(kind, BROKEN_CONTRACT);
    this.#outages.responded(kind);
    return response;
  }

  /** The error for the caller. Only a failure of the store is logged as an outage, not one that a single request has caused. */
  failure(kind: StoreCall, error: unknown, hadAllTime: boolean): Error {
    if (error instanceof DamagedRecordError && kind === 'read') return error;
    if (error instanceof NewerRecordError) return newer(error);
    if (!(error instanceof SessionError)) return this.#outage(kind, describeDriverFailure(error));
    if (error.code === 'BACKEND_TIMEOUT' && hadAllTime) this.#outages.failed(kind, error.message);
    return error;
  }

  #outage(kind: StoreCall, what: string): SessionBackendError {
    const failure = new SessionBackendError('BACKEND_UNAVAILABLE', `The session store failed: ${what}.`, {
      cause: new Error(what),
    });
    this.#outages.failed(kind, failure.message);
    return failure;
  }
}
