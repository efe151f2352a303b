import { DamagedRecordError } from '../../records/record-errors.js';
import { withText } from '../../records/record-text.js';
import type { SessionRecord } from '../../records/session-record.js';
import type { SessionId } from '../../tokens/session-secret.js';
import type { SessionBackend } from '../session-backend.interface.js';
import { isFresh, isPlaceholder, isTrace } from './move-marks.js';

type StoreName = 'next' | 'old';

/** Where a session is. */
type Location =
  | { readonly at: 'next'; readonly record: SessionRecord }
  | {
      readonly at: 'old';
      readonly record: SessionRecord;
      /** Whether it must not be moved now: it has just come from the new store, or is being moved there. */
      readonly stays: boolean;
      /** A mark at the new store, which is in the way of a move unless the session stays. */
      readonly leftover: SessionRecord | null;
    }
  /** Between the stores, and alive in neither. */
  | {
      readonly at: 'moving';
      readonly store: StoreName;
      readonly placeholder: SessionRecord;
      /** Whether the placeholder is all that is left of it. */
      readonly hasLeft: boolean;
    };

/** Finds a session in either of two stores, while processes of both directions move it. */
export class SessionLocator {
  constructor(
    private readonly stores: Readonly<Record<StoreName, SessionBackend>>,
    private readonly now: () => number,
  ) {}

  /**
   * Looks where a session comes to last once more. That is enough in either direction, as a session does not move twice within the time
   * that a call may take.
   *
   * @returns null: there is none
   * @throws DamagedRecordError when there is none, but something that is no record of ours
   */
  async find(id: SessionId): Promise<Location | null> {
    let damage: DamagedRecordError | null = null;
    let mark: SessionRecord | null = null;
    let placeholder: { readonly store: StoreName; readonly placeholder: SessionRecord } | null = null;
    let hasLeft = false;
    for (const store of ['next', 'old', 'next'] as const) {
      const read = await this.#read(store, id);
      if (read instanceof DamagedRecordError) damage = read;
      if (read === null || read instanceof DamagedRecordError) continue;
      if (isTrace(read) || isPlaceholder(read)) {
        if (store === 'next') mark = read;
        if (isTrace(read)) hasLeft = true;
        if (this.#isMoving(read)) placeholder = { store, placeholder: read };
      } else if (this.#lives(read)) {
        return store === 'next' ? { at: store, record: read } : this.#inOld(read, mark);
      }
    }
    if (placeholder !== null) return { at: 'moving', ...placeholder, hasLeft };
    if (damage !== null) throw damage;
    return null;
  }

  /** As `find()`, for writes, which treat what is no record of ours as missing. */
  async findForWrite(id: SessionId): Promise<Location | null> {
    try {
      return await this.find(id);
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) throw error;
      return null;
    }
  }

  /** @param mark at the new store; null: none */
  #inOld(record: SessionRecord, mark: SessionRecord | null): Location {
    const stays = mark !== null && (this.#isMoving(mark) || (isTrace(mark) && isFresh(mark, this.now())));
    return { at: 'old', record, stays, leftover: mark };
  }

  #isMoving(mark: SessionRecord): boolean {
    return isPlaceholder(mark) && this.#lives(mark);
  }

  #lives({ expiresAt }: SessionRecord): boolean {
    return expiresAt > this.now();
  }

  async #read(store: StoreName, id: SessionId): Promise<SessionRecord | DamagedRecordError | null> {
    try {
      const record = await this.stores[store].read(id);
      return record === null ? null : withText(record);
    } catch (error) {
      if (error instanceof DamagedRecordError) return error;
      throw error;
    }
  }
}
