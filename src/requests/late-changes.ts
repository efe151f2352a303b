import type { SessionState } from '../sessions/session-state.js';

/** Within that time, a handler that stores its late changes itself has done so. */
const GRACE_MS = 1000;

/** Looks for changes that a handler makes after its response has begun, and does not store. Only what comes that late costs something. */
export class LateChanges {
  #timer: NodeJS.Timeout | undefined;

  /** @param warn is called when there is one */
  constructor(private readonly warn: () => void) {}

  /** The holder of `state` may change it now. */
  expect(state: SessionState): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // Behind a store call that is under way.
      void state.inTurn(() => {
        if (isChanged(state)) this.warn();
        return Promise.resolve();
      });
    }, GRACE_MS).unref();
  }
}

/** Whether there are changes that no commit has stored. */
export function isChanged(state: SessionState): boolean {
  try {
    return state.hasChanges();
  } catch {
    // A value that cannot be stored.
    return true;
  }
}
