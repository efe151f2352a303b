import { setImmediate } from 'node:timers';

/**
 * Calls back at the end of this turn of the event loop. Not by the global function: under the fake timers of an application's tests it would wait
 * until the test moves the time, and so would each call of the store.
 */
export function atEndOfTurn(callback: () => void): void {
  setImmediate(callback);
}
