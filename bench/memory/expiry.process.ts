// Says how long it takes to expire sessions, and how long the event loop stands still for it. Argument: how many.
import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import { MemoryBackend } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import type { ExpiryMeasured } from './messages.js';
import { sessionMaker } from './sessions.js';

const sessions = Number(process.argv[2]);
const clock = new FakeClock();
const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
const backend = new MemoryBackend({ maxRecords: sessions });
await backend.open({ keyPrefix: '', timeoutMs: 1000, clock, logger: silent });
const make = await sessionMaker('one', clock.now());
const first = make(0);
for (let index = 0; index < sessions; index++) {
  await backend.create(index === 0 ? first : make(index), { timeoutMs: 1000 });
  // The backend's own timer gets its turns now, and not all at once in the time that is measured.
  if (index % 1000 === 0) await eventLoopTurn();
}
globalThis.gc?.();

clock.advanceSeconds(2 * 3600);
const stopWatching = watchEventLoop();
const startedAt = performance.now();
const sweep = backend.clearExpired();
const returnedWhileSwept = (await backend.read(first.id)) !== null;
await sweep;
const totalMs = performance.now() - startedAt;
const longestBlockMs = await stopWatching();
const left = await backend.clearExpired();
await backend.close();
if (returnedWhileSwept || left > 0) throw new Error('Expired sessions were still there.');
process.send?.({ totalMs, longestBlockMs } satisfies ExpiryMeasured);

/** Counts in each turn of the event loop how long the one before took. */
function watchEventLoop(): () => Promise<number> {
  let longest = 0;
  let last = performance.now();
  let turn = setImmediate(look);
  function look(): void {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    turn = setImmediate(look);
  }
  return async () => {
    await eventLoopTurn();
    clearImmediate(turn);
    return longest;
  };
}
