import { Session } from '../sessions/session.js';

/** Within that time, a handler that stores its late changes itself has done so. */
const GRACE_MS = 1000;
/** Where nobody waits for the handler, each look takes twice as long to come as the one before: nothing tells when the handler is through. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 12_800;

/** Looks for changes that a handler makes after its response has begun, and does not store. Only what comes that late costs something. */
export class LateChanges {
  #timer: NodeJS.Timeout | undefined;
  #found: () => unknown;
  #areStored = false;

  /** @param warn is called when there is one */
  constructor(warn: () => void) {
    this.#found = warn;
  }

  /** From now on `store` is called instead: no response is there for which a change would be late. */
  storeBy(store: () => Promise<void>): void {
    this.#found = store;
    this.#areStored = true;
  }

  /** The holder of `session` may change it now. */
  expect(session: Session): void {
    if (this.#areStored) this.#look(session, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
    else this.#look(session, GRACE_MS);
  }

  #look(session: Session, pauseMs: number, longestMs = pauseMs): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // Behind a store call that is under way.
      void Session.stateOf(session).inTurn(() => {
        if (isChanged(session)) this.#found();
        return Promise.resolve();
      });
      if (pauseMs < longestMs) this.#look(session, 2 * pauseMs, longestMs);
    }, pauseMs).unref();
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
