import { setTimeout as sleep } from 'node:timers/promises';

import { SessionBackendError } from '../../errors/session-errors.js';
import { retryPauseMs } from '../backend-rules.js';

/** A session is being moved, so that nothing can be said of it yet. */
export const UNSETTLED = Symbol('unsettled');

/**
 * Makes attempts until one has a result.
 *
 * @throws SessionBackendError when the time is over: whether the session lives is not known
 */
export async function settled<T>(attempt: () => Promise<T | typeof UNSETTLED>, timeoutMs: number): Promise<T> {
  const endsAt = performance.now() + timeoutMs;
  for (let tries = 1; ; tries++) {
    const result = await attempt();
    if (result !== UNSETTLED) return result;
    if (performance.now() >= endsAt) {
      throw new SessionBackendError(
        'BACKEND_TIMEOUT',
        'A session was being moved from one store to the other for longer than backendTimeout; try again.',
      );
    }
    await sleep(retryPauseMs(tries));
  }
}
