import { Session } from '../sessions/session.js';

/** Within that time, a handler that stores its late changes itself has done so. */
const GRACE_MS = 1000;
/** The pauses between the looks for the changes of a handler whose result is not awaited: no event tells when it returns. */
const PAUSES_MS = [100, 200, 400, 800, 1600, 3200];

/** Looks for changes that a handler makes after its response has begun, and does not store. Only what comes that late costs something. */
export class LateChanges {
  #timer: NodeJS.Timeout | undefined;
  #store: (() => Promise<void>) | null = null;

  /** @param warn is called when there is one */
  constructor(
    private readonly request: { readonly session: Session | null },
    private readonly warn: () => void,
  ) {}

  /** From now on they are stored: no response is there for which a change would be late. @param store never rejects */
  storeBy(store: () => Promise<void>): void {
    if (this.areStored) return;
    this.#store = store;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Whether `storeBy()` was called. */
  get areStored(): boolean {
    return this.#store !== null;
  }

  /** The holder of the session may change it now. */
  expect(): void {
    this.#lookAfter(this.areStored ? PAUSES_MS : [GRACE_MS]);
  }

  #lookAfter([pauseMs, ...others]: readonly number[]): void {
    if (this.#timer !== undefined || pauseMs === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#look();
      this.#lookAfter(others);
    }, pauseMs).unref();
  }

  #look(): void {
    const { session } = this.request;
    if (session === null) return;
    // Behind a store call that is under way.
    void Session.stateOf(session).inTurn(() => {
      if (this.#store !== null) void this.#store();
      else if (isChanged(session)) this.warn();
      return Promise.resolve();
    });
  }
}

/** Whether there are changes that no commit has stored. */
export function isChanged(session: Session): boolean {
  try {
    return Session.stateOf(session).hasChanges();
  } catch {
    // A value that cannot be stored.
    return true;
  }
}
