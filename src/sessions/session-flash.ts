import type { Change } from '../records/changes.js';
import type { StoredFlashMessage } from './flash-message.js';

/** The flash messages of a session as one holder sees them, and what the holder has added and taken since the last commit. */
export class SessionFlash {
  /** As stored, without those that the holder has taken. */
  #stored: readonly StoredFlashMessage[];
  #added: readonly StoredFlashMessage[] = [];
  #takenIds: readonly string[] = [];

  constructor(stored: readonly StoredFlashMessage[]) {
    this.#stored = stored;
  }

  get hasStored(): boolean {
    return this.#stored.length > 0;
  }

  /** What a commit has to store. */
  get changes(): Change[] {
    return [
      ...this.#takenIds.map((id): Change => ({ op: 'take-flash', id })),
      ...this.#added.map((message): Change => ({ op: 'add-flash', message })),
    ];
  }

  add(message: StoredFlashMessage): void {
    this.#added = [...this.#added, message];
  }

  read(clear: boolean): readonly StoredFlashMessage[] {
    const messages = [...this.#stored, ...this.#added];
    if (clear) {
      this.#takenIds = [...this.#takenIds, ...this.#stored.map(({ id }) => id)];
      this.#stored = [];
      this.#added = [];
    }
    return messages;
  }

  /** Takes the messages that no commit has stored yet. */
  takeUncommitted(): readonly StoredFlashMessage[] {
    const messages = this.#added;
    this.#added = [];
    return messages;
  }

  /** Called after `changes` were stored. */
  committed(changes: readonly Change[]): void {
    const settled = new Set(changes.map(flashIdOf));
    this.#stored = [...this.#stored, ...this.#added.filter(({ id }) => settled.has(id))];
    this.#forget(settled);
  }

  /** Called after a take has removed messages from the store: those that are left in it are `stored`. */
  taken(stored: readonly StoredFlashMessage[]): void {
    const left = new Set(stored.map(({ id }) => id));
    this.#stored = this.#stored.filter(({ id }) => left.has(id));
  }

  /** Called after `changes` were stored, by which the messages became `stored`. */
  mergeWith(stored: readonly StoredFlashMessage[], changes: readonly Change[]): void {
    this.#forget(new Set(changes.map(flashIdOf)));
    const taken = new Set(this.#takenIds);
    this.#stored = stored.filter(({ id }) => !taken.has(id));
  }

  /** Shows `stored`, whatever the holder has added and taken. */
  replaceBy(stored: readonly StoredFlashMessage[]): void {
    this.#stored = stored;
    this.#added = [];
    this.#takenIds = [];
  }

  #forget(settled: ReadonlySet<string | undefined>): void {
    this.#added = this.#added.filter(({ id }) => !settled.has(id));
    this.#takenIds = this.#takenIds.filter((id) => !settled.has(id));
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
