import { DamagedRecordError } from '../../records/record-errors.js';
import { memberOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import type { Item, Items } from './items.js';
import { serverRefused } from './memcached-error.js';
import type { RetryBudget } from './retry-budget.js';
import { decodeList, encodeList, listHas, type ListEntry } from './session-list.js';

/** What becomes of a list. */
interface ListRevision {
  readonly entries: readonly ListEntry[];
}

/** The item that says which sessions of one user live. */
export class UserList {
  constructor(
    private readonly items: Items,
    private readonly tag: UserTag,
    private readonly key: string,
    private readonly now: () => number,
  ) {}

  read(): Promise<Item | null> {
    return this.items.get(this.key);
  }

  /**
   * Whether the list has a session, without a look at the others.
   *
   * @throws DamagedRecordError when the item is no list of this user
   */
  has(item: Item | null, id: SessionId): boolean {
    return item !== null && listHas(this.tag, item.bytes, memberOf(id));
  }

  /** The entries that have not expired. */
  entriesOf(item: Item | null): ListEntry[] {
    return this.allEntriesOf(item).filter(({ expiresAt }) => expiresAt > this.now());
  }

  /** Those too that have expired: by the clock of another process they may not. An item that is no list of this user has none. */
  allEntriesOf(item: Item | null): ListEntry[] {
    if (item === null) return [];
    try {
      return decodeList(this.tag, item.text);
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) throw error;
      return [];
    }
  }

  /**
   * Compare-and-set: `revise` says what becomes of the entries, and is called again when another writer was faster.
   *
   * @param known the item as it was read already
   * @param entriesOf which entries `revise` gets; all others leave the list. Default: those that have not expired
   * @returns what `revise` said; a result without `entries` leaves the list as it is
   */
  async change<Result extends ListRevision | { readonly entries?: undefined }>(
    known: Item | null,
    revise: (entries: ListEntry[]) => Result | Promise<Result>,
    retryBudget: RetryBudget,
    entriesOf = (item: Item | null) => this.entriesOf(item),
  ): Promise<Result> {
    let item = known;
    for (;;) {
      const result = await revise(entriesOf(item));
      if (result.entries === undefined || (await this.#write(item, result.entries))) return result;
      await retryBudget.pause();
      item = await this.read();
    }
  }

  /** Moves the end of an entry forward; false: there is none. The list goes before the record, which must never outlive its entry. */
  async prolong(known: Item | null, id: SessionId, expiresAt: number, retryBudget: RetryBudget): Promise<boolean> {
    const member = memberOf(id);
    const result = await this.change(
      known,
      (entries) => {
        const entry = entries.find((one) => one.member === member);
        if (entry === undefined) return { listed: false };
        if (entry.expiresAt >= expiresAt) return { listed: true };
        return { listed: true, entries: [...entries.filter((one) => one !== entry), { member, expiresAt }] };
      },
      retryBudget,
    );
    return result.listed;
  }

  /** Takes the entry of a session out; false: there was none. */
  async remove(known: Item | null, id: SessionId, retryBudget: RetryBudget): Promise<boolean> {
    const member = memberOf(id);
    try {
      const { entries } = await this.change<{ entries?: ListEntry[] }>(
        known,
        (entries) => {
          const others = entries.filter((one) => one.member !== member);
          return others.length < entries.length ? { entries: others } : {};
        },
        retryBudget,
      );
      return entries !== undefined;
    } catch (error) {
      if (!serverRefused(error)) throw error;
      // A server that is full can still delete: the caller deletes the record, which ends the session, and an entry alone opens nothing.
      return true;
    }
  }

  /** An empty list is deleted and not stored, which works on a server that is full too. */
  async #write(item: Item | null, entries: readonly ListEntry[]): Promise<boolean> {
    if (entries.length === 0) return item === null || (await this.items.delete(this.key, item.cas)) === 'deleted';
    const text = encodeList(this.tag, entries);
    const lifetimeMs = entries.reduce((latest, { expiresAt }) => Math.max(latest, expiresAt), 0) - this.now();
    if (item === null) return this.items.add(this.key, text, lifetimeMs);
    return (await this.items.replace(this.key, text, lifetimeMs, item.cas)) === 'stored';
  }
}
