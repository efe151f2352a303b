import type { SessionBackend } from '../backends/session-backend.interface.js';
import { DamagedRecordError } from '../records/record-errors.js';
import { storedSession, type StoredSession } from '../records/stored-session.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { BackendCalls } from './backend-calls.js';
import { isRecordOrNull } from './backend-responses.js';
import type { DamageLog } from './damage-log.js';
import type { BudgetedCall, StoreBudget } from './store-budget.js';

/** What a {@link RecordRead} works with. */
export interface RecordReadServices {
  readonly backend: SessionBackend;
  readonly calls: BackendCalls;
  readonly damage: DamageLog;
}

/** One read of a session. An object, because functions for its steps took 0.3 KiB more of each request. */
export class RecordRead<Result> implements BudgetedCall<unknown, Result> {
  readonly #hadAllTime: boolean;

  /** @param use what to make of the session; null: there is none, or its record is damaged */
  constructor(
    private readonly services: RecordReadServices,
    private readonly id: SessionId,
    private readonly budget: StoreBudget,
    private readonly use: (stored: StoredSession | null) => Result | Promise<Result>,
  ) {
    this.#hadAllTime = budget.isUntouched;
  }

  make(): Promise<unknown> {
    return this.services.backend.read(this.id);
  }

  returned(response: unknown): Result | Promise<Result> {
    const stored = storedIn(response, this.id, this.services);
    return stored === 'damaged' ? this.#readAgain() : this.use(stored);
  }

  /** @throws the error for the caller */
  failed(error: unknown): Promise<Result> {
    if (error instanceof DamagedRecordError) return this.#readAgain();
    throw this.services.calls.failure('read', error, this.#hadAllTime);
  }

  /** A record that was damaged only on its way from the store is intact the second time, or the connection fails. */
  async #readAgain(): Promise<Result> {
    const { calls, damage } = this.services;
    let stored: StoredSession | null = null;
    try {
      const response: unknown = await this.budget.run(() => this.make());
      const record = calls.checked('read', isRecordOrNull, response);
      if (record !== null) stored = storedSession(record, this.id, damage);
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) throw calls.failure('read', error, false);
      damage.note(this.id, error);
    }
    return this.use(stored);
  }
}

/** The session in what the backend has returned for `id`. @throws SessionBackendError when the contract does not allow it */
export function storedIn(
  response: unknown,
  id: SessionId,
  { calls, damage }: RecordReadServices,
): StoredSession | 'damaged' | null {
  const record = calls.checked('read', isRecordOrNull, response);
  try {
    return record === null ? null : storedSession(record, id, damage);
  } catch (error) {
    if (!(error instanceof DamagedRecordError)) throw error;
    return 'damaged';
  }
}
