import { types } from 'node:util';

/**
 * Whether a function of the application that must not be async has returned a promise, or another thenable. A rejection of it is ignored: one that
 * nothing handles would end the process, and the caller reports the promise itself.
 */
export function isUnwantedPromise(result: unknown): boolean {
  if (types.isPromise(result)) {
    result.catch(() => undefined);
    return true;
  }
  return typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function';
}
