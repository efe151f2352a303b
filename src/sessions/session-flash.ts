import { withReturned, type Change } from '../records/changes.js';
import type { StoredFlashMessage } from '../records/flash-message.js';

/** The flash messages of a session as its holder sees them, and those that the holder added and took since the last commit. */
export class SessionFlash {
  /** As stored, without those that the holder has taken. */
  #stored: readonly StoredFlashMessage[];
  #added: readonly StoredFlashMessage[] = [];
  /** Taken by the holder; the next commit removes them from the store. */
  #taken: readonly StoredFlashMessage[] = [];
  /** Taken by the holder, and no longer in the store. */
  #removed: readonly StoredFlashMessage[] = [];

  constructor(stored: readonly StoredFlashMessage[]) {
    this.#stored = stored;
  }

  get isEmpty(): boolean {
    return this.#stored.length === 0 && this.#added.length === 0;
  }

  get hasStored(): boolean {
    return this.#stored.length > 0;
  }

  /** Whether the holder has taken messages whose delivery is not confirmed by `delivered()` yet. */
  get hasTaken(): boolean {
    return this.#taken.length > 0 || this.#removed.length > 0;
  }

  /** Whether a commit has something to store. */
  get hasChanges(): boolean {
    return this.#added.length > 0 || this.#taken.length > 0;
  }

  /** What a commit has to store. */
  get changes(): Change[] {
    return [
      ...this.#taken.map(({ id }): Change => ({ op: 'take-flash', id })),
      ...this.#added.map((message): Change => ({ op: 'add-flash', message })),
    ];
  }

  add(message: StoredFlashMessage): void {
    this.#added = [...this.#added, message];
  }

  read(clear: boolean): readonly StoredFlashMessage[] {
    const messages = [...this.#stored, ...this.#added];
    if (clear) {
      this.#taken = [...this.#taken, ...this.#stored];
      this.#removed = [...this.#removed, ...this.#added];
      this.#stored = [];
      this.#added = [];
    }
    return messages;
  }

  /** Those of `stored` that the holder has not taken. */
  untaken(stored: readonly StoredFlashMessage[]): readonly StoredFlashMessage[] {
    const taken = new Set(this.#taken.map(({ id }) => id));
    return stored.filter(({ id }) => !taken.has(id));
  }

  /** Called after `messages` were removed from the store, where `stored` remain. Also takes messages that no commit has stored yet. */
  takeRemoved(
    messages: readonly StoredFlashMessage[],
    stored: readonly StoredFlashMessage[],
  ): readonly StoredFlashMessage[] {
    const left = new Set(stored.map(({ id }) => id));
    const taken = [...messages, ...this.#added];
    this.#stored = this.#stored.filter(({ id }) => left.has(id));
    this.#added = [];
    this.#removed = [...this.#removed, ...taken];
    return taken;
  }

  /** Called after the client has received the messages that the holder took. */
  delivered(): void {
    this.#removed = [];
  }

  /**
   * Undoes the removals that no commit has stored yet.
   *
   * @returns the messages that have to be put back into the store
   */
  undoTaken(): readonly StoredFlashMessage[] {
    this.#stored = withReturned(this.#stored, this.#taken);
    this.#taken = [];
    return this.#removed;
  }

  /** Called after `messages` were put back into the store, which now holds `stored`. */
  returned(messages: readonly StoredFlashMessage[], stored: readonly StoredFlashMessage[]): void {
    const settled = new Set(messages.map(({ id }) => id));
    this.#removed = this.#removed.filter(({ id }) => !settled.has(id));
    this.mergeWith(stored, []);
  }

  /** Called after `changes` were stored. */
  committed(changes: readonly Change[]): void {
    const settled = new Set(changes.map(flashIdOf));
    this.#stored = [...this.#stored, ...this.#added.filter(({ id }) => settled.has(id))];
    this.#settle(settled);
  }

  /** Called after `changes` were stored, by which the messages became `stored`. */
  mergeWith(stored: readonly StoredFlashMessage[], changes: readonly Change[]): void {
    this.#settle(new Set(changes.map(flashIdOf)));
    this.#stored = this.untaken(stored);
  }

  /** Shows `stored` and discards what the holder has added and taken. */
  replaceBy(stored: readonly StoredFlashMessage[]): void {
    this.#stored = stored;
    this.#added = [];
    this.#taken = [];
    this.#removed = [];
  }

  #settle(settled: ReadonlySet<string | undefined>): void {
    this.#added = this.#added.filter(({ id }) => !settled.has(id));
    this.#removed = [...this.#removed, ...this.#taken.filter(({ id }) => settled.has(id))];
    this.#taken = this.#taken.filter(({ id }) => !settled.has(id));
  }
}

function flashIdOf(change: Change): string | undefined {
  switch (change.op) {
    case 'add-flash':
      return change.message.id;
    case 'take-flash':
      return change.id;
    default:
      return undefined;
  }
}
