import { types } from 'node:util';

import { isThenable } from './is-object.js';

/**
 * Whether a function of the application that must not be async has returned a promise, or another thenable. The rejection of a promise is ignored: one
 * that nothing handles would end the process, and the caller reports the promise itself. A thenable may be lazy, such as a query, and is not begun.
 */
export function isUnwantedPromise(result: unknown): boolean {
  if (!isThenable(result)) return false;
  if (types.isPromise(result) || result instanceof Promise) result.then(undefined, () => undefined);
  return true;
}
