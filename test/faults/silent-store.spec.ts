import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { MemoryBackend, SessionBackendError } from 'nestjs-sessionx';

import { BarrierBackend } from '../support/barrier-backend.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import { soon } from '../support/soon.js';

const BUDGET_MS = 60;
/** What a loaded machine may add. */
const SLACK_MS = 1000;

let barrier: BarrierBackend;
let service: ServiceUnderTest;

beforeEach(async () => {
  barrier = new BarrierBackend(new MemoryBackend());
  service = await startService(barrier.backend, { backendTimeout: BUDGET_MS });
});

afterEach(() => service.close());

it('a store that never answers is an error when the budget is over', async () => {
  const { token } = await service.sessions.createSession();
  const read = barrier.stopNext('read');
  await expect(service.sessions.getSession(token)).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT', status: 503 });
  read.letGo();
  // A busy machine may take longer than the budget once more.
  await soon(() => service.sessions.getSession(token).catch(() => undefined));
});

it('writers that queue behind a write which hangs give up when it does, not one after the other', async () => {
  const { session } = await service.sessions.createSession({ data: { n: 0 } });
  const write = barrier.stopNext('replace');
  const started = performance.now();
  const updates = Array.from({ length: 20 }, (_, index) =>
    service.sessions.update(session.sessionId, ({ data }) => {
      data[`key${index}`] = 1;
    }),
  );
  const settled = await Promise.allSettled(updates);
  expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS);
  // Those behind it that have a moment left when it gives up come through in it.
  const stored = settled.flatMap(({ status }, index) => (status === 'fulfilled' ? [`key${index}`] : []));
  expect(settled[0]).toMatchObject({ status: 'rejected', reason: { code: 'BACKEND_TIMEOUT' } });
  for (const result of settled) {
    if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(SessionBackendError);
  }
  write.letGo();
  const after = await service.sessions.update(session.sessionId, ({ data }) => {
    data.after = true;
  });
  expect(Object.keys(after.data)).toEqual(expect.arrayContaining([...stored, 'after']));
});

it('a regeneration that hangs is an error, and until the store has done it the old session lives', async () => {
  const { session, token } = await service.sessions.createSession({ user: { userId: 'ann' } });
  const create = barrier.stopNext('create');
  await expect(service.sessions.regenerateSessionId(session)).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT' });
  expect((await service.sessions.getSession(token)).sessionId).toBe(session.sessionId);
  create.letGo();
});
