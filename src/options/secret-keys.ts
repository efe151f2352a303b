import type { SessionOptions } from './session-options.js';

/** The keys in the option `secretKey`, the current one first. @param options validated ones */
export function secretKeysOf({ secretKey }: Pick<SessionOptions, 'secretKey'>): readonly [string, ...string[]] {
  const [current, ...former] = [secretKey].flat();
  if (current === undefined) throw new TypeError('secretKey has no key.');
  return [current, ...former];
}

/** The key from which the tags of users are derived, by which their sessions are found. @param options validated ones */
export function indexKeyOf(options: Pick<SessionOptions, 'secretKey' | 'indexKey'>): string {
  return options.indexKey ?? secretKeysOf(options)[0];
}
