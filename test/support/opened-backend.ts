import type { BackendContext, SessionBackend } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { LogLines } from './log-lines.js';

/** Opens `backend` without an application around it. `lines` grows with what it logs. */
export async function opened<Backend extends SessionBackend>(
  backend: Backend,
  changes: Partial<BackendContext> = {},
): Promise<{ readonly backend: Backend; readonly lines: readonly string[] }> {
  const logger = new LogLines();
  await backend.open?.({ keyPrefix: 'session:', timeoutMs: 1000, clock: new FakeClock(), logger, ...changes });
  return { backend, lines: logger.all };
}
