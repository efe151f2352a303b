import type { LoggerService } from '@nestjs/common';

import { describeDriverFailure } from '../backends/driver-failure.js';
import type { Clock } from '../clock.js';
import { SessionError } from '../errors/session-error.js';
import { SessionBackendError } from '../errors/session-errors.js';
import { sessionChannels, trace, type TraceEnd } from '../events/session-channels.js';
import type { SessionEvents } from '../events/session-events.js';
import { DamagedRecordError, NewerRecordError } from '../records/record-errors.js';
import { newerRecordError } from '../records/stored-session.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { BackendLifecycle } from './backend-lifecycle.js';
import type { ResponseCheck } from './backend-responses.js';
import { OutageLog, type StoreCall } from './outage-log.js';
import type { BudgetedCall, StoreBudget } from './store-budget.js';

/** Without the value itself, which may be a payload. */
const BROKEN_CONTRACT = 'the backend returned a value that the SessionBackend contract does not allow';

/** A method of the backend that is no read of one record, and the session that it concerns; `null` for several. */
type StoreOperation = readonly [
  method: 'create' | 'readMany' | 'replace' | 'touch' | 'delete' | 'listByUser' | 'deleteByUser' | 'clearExpired',
  sessionId: SessionId | null,
];

/** Makes the calls of the backend: opened before, within a time budget, with checked results and typed errors, and outages in the log. */
export class BackendCalls {
  readonly #lifecycle: BackendLifecycle;
  readonly #outages: OutageLog;

  constructor(lifecycle: BackendLifecycle, logger: LoggerService, events: Pick<SessionEvents, 'emit'>, clock: Clock) {
    this.#lifecycle = lifecycle;
    this.#outages = new OutageLog(logger, events, clock);
  }

  get areOpen(): boolean {
    return this.#lifecycle.isOpen;
  }

  /** Opens the backend, if it is not open. Its error is thrown unchanged: the message is for the developer, and it is not an outage. */
  open(budget: StoreBudget): Promise<void> {
    return budget.run(() => this.#lifecycle.open());
  }

  /**
   * @param operation the method of the backend, and the session that it concerns; `null` for several
   * @param isAllowed checks the result of `call` against the contract
   * @throws SessionBackendError, or an error of the contract
   */
  make<T>(
    [method, sessionId]: StoreOperation,
    budget: StoreBudget,
    isAllowed: ResponseCheck<T>,
    call: () => Promise<unknown>,
  ): Promise<T> {
    const kind = kindOf(method);
    if (!sessionChannels.store.hasSubscribers) return this.#make(kind, budget, isAllowed, call);
    const start = { operation: method, sessionId };
    return trace(sessionChannels.store, start, () => this.#make(kind, budget, isAllowed, call), endOfCall);
  }

  #make<T>(
    kind: StoreCall,
    budget: StoreBudget,
    isAllowed: ResponseCheck<T>,
    call: () => Promise<unknown>,
  ): Promise<T> {
    if (!this.areOpen) return this.open(budget).then(() => this.#makeOpen(kind, budget, isAllowed, call));
    return this.#makeOpen(kind, budget, isAllowed, call);
  }

  #makeOpen<T>(
    kind: StoreCall,
    budget: StoreBudget,
    isAllowed: ResponseCheck<T>,
    call: () => Promise<unknown>,
  ): Promise<T> {
    return budget.complete(new CheckedCall(this, kind, isAllowed, budget.isUntouched, call));
  }

  /** `budget.run(call)` for subscribers of the channel. @throws the error of `failure()` */
  traceRead(id: SessionId, budget: StoreBudget, call: () => Promise<unknown>): Promise<unknown> {
    const hadAllTime = budget.isUntouched;
    return trace(
      sessionChannels.store,
      { operation: 'read', sessionId: id },
      () =>
        budget.run(call).catch((error: unknown) => {
          throw this.failure('read', error, hadAllTime);
        }),
      (record) => ({ outcome: record === null ? 'missing' : 'found' }),
    );
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
    if (error instanceof NewerRecordError) return newerRecordError(error);
    if (!(error instanceof SessionError)) return this.#outage(kind, describeDriverFailure(error));
    if (error.code === 'BACKEND_TIMEOUT' && hadAllTime) this.#outages.failed(kind, error.code, error.message);
    return error;
  }

  #outage(kind: StoreCall, what: string): SessionBackendError {
    const message = `The session store failed: ${what}.`;
    this.#outages.failed(kind, 'BACKEND_UNAVAILABLE', message);
    return new SessionBackendError('BACKEND_UNAVAILABLE', message, { cause: new Error(what) });
  }
}

/** One call. An object, as a `RecordRead` is: functions for its steps would take more memory. */
class CheckedCall<T> implements BudgetedCall<unknown, T> {
  constructor(
    private readonly calls: BackendCalls,
    private readonly kind: StoreCall,
    private readonly isAllowed: ResponseCheck<T>,
    private readonly hadAllTime: boolean,
    readonly make: () => Promise<unknown>,
  ) {}

  returned(response: unknown): T {
    return this.calls.checked(this.kind, this.isAllowed, response);
  }

  /** @throws the error for the caller */
  failed(error: unknown): never {
    throw this.calls.failure(this.kind, error, this.hadAllTime);
  }
}

function kindOf(method: StoreOperation[0]): StoreCall {
  if (method === 'readMany') return 'read';
  return method === 'listByUser' ? 'list' : 'write';
}

/** The words of the contract, which has checked the response, and no value of a record. */
function endOfCall(response: unknown): TraceEnd {
  if (typeof response === 'string') return { outcome: response };
  if (typeof response === 'number') return { outcome: 'done', count: response };
  if (Array.isArray(response)) return { outcome: 'done', count: response.length };
  if (typeof response === 'object' && response !== null && 'outcome' in response) {
    return { outcome: String(response.outcome) };
  }
  return { outcome: response === true ? 'done' : 'missing' };
}
