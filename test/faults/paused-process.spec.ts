import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TokenSerializer, UserTag } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { FakeClock } from 'nestjs-sessionx/testing';
import { stat } from 'node:fs/promises';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { SECRET_KEY } from '../support/apps.js';
import { everyBackend, memory } from '../support/backends.js';
import { RedisServer } from '../support/redis-server.js';
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

describe('a process that stands still for longer than backendTimeout', () => {
  it('does not take the serializer of the application for silent', async () => {
    const simple = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' });
    const tokenFormat: TokenSerializer = {
      serialize: (claims) => stat('.').then(() => simple.serialize(claims)),
      verify: (token) => stat('.').then(() => simple.verify(token)),
    };
    const store = memory();
    await store.start();
    const service = await startService(store.another(), { backendTimeout: BACKEND_TIMEOUT_MS, tokenFormat });
    const creating = service.sessions.createSession({ user: { userId: 'ann' } });
    await eventLoopTurn();
    standStill(2 * BACKEND_TIMEOUT_MS);
    const { token } = await creating;
    const loading = service.sessions.getSession(token);
    standStill(2 * BACKEND_TIMEOUT_MS);
    expect((await loading).user?.userId).toBe('ann');
    await service.close();
  });

  it('waits for its connection to Redis all the same', async () => {
    const redis = await RedisServer.start();
    const lines: unknown[] = [];
    const note = (line: unknown) => void lines.push(line);
    const logger = { log: note, warn: note, error: note };
    const backend = new RedisBackend(redis.url);
    const opening = backend.open({
      clock: new FakeClock(),
      keyPrefix: 'session:',
      timeoutMs: BACKEND_TIMEOUT_MS,
      logger,
    });
    standStill(2 * BACKEND_TIMEOUT_MS);
    await opening;
    await expect(backend.listByUser('0123456789abcdef' as UserTag)).resolves.toEqual([]);
    expect(lines).toEqual([]);
    await backend.close();
    await redis.stop();
  });
});
