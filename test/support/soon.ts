import { setTimeout as sleep } from 'node:timers/promises';

const LIMIT_MS = 10_000;

/**
 * Waits until `look` returns something.
 *
 * @throws when it has returned nothing for 10 seconds
 */
export async function soon<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const started = Date.now();
  while (Date.now() - started < LIMIT_MS) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(5);
  }
  throw new Error(`Not within ${LIMIT_MS} ms: ${String(look)}`);
}
