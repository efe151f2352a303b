import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { everyBackend } from '../support/backends.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const BACKEND_TIMEOUT_MS = 200;

/** As a long garbage collection does, or a handler that computes something. */
function standStill(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe.each(everyBackend())('a process that stands still for longer than backendTimeout, on $name', (store) => {
  let service: ServiceUnderTest;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another(), { backendTimeout: BACKEND_TIMEOUT_MS });
  });

  afterAll(async () => {
    await service.close();
    await store.stop();
  });

  it('does not take the store for silent whose response has arrived meanwhile', async () => {
    const { token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    for (let round = 0; round < 3; round++) {
      const loading = service.sessions.getSession(token);
      // Until the call has left.
      await eventLoopTurn();
      await eventLoopTurn();
      standStill(2 * BACKEND_TIMEOUT_MS);
      expect((await loading).user?.userId).toBe('ann');
    }
  });
});
