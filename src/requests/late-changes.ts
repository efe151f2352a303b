import { Session } from '../sessions/session.js';

/** Within that time, a handler that stores its late changes itself has done so. */
const GRACE_MS = 1000;

/** Looks for changes that a handler makes after its response has begun, and does not store. Only what comes that late costs something. */
export class LateChanges {
  #timer: NodeJS.Timeout | undefined;
  #found: () => unknown;

  /** @param warn is called when there is one */
  constructor(warn: () => void) {
    this.#found = warn;
  }

  /** From now on `store` is called instead: no response is there for which a change would be late. */
  storeBy(store: () => Promise<void>): void {
    this.#found = store;
  }

  /** The holder of `session` may change it now. */
  expect(session: Session): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // Behind a store call that is under way.
      void Session.stateOf(session).inTurn(() => {
        if (isChanged(session)) this.#found();
        return Promise.resolve();
      });
    }, GRACE_MS).unref();
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
