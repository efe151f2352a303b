import { AsyncResource } from 'node:async_hooks';

const SWEEP_INTERVAL_MS = 30_000;

/** Made while this file is loaded, on behalf of nobody. A timer keeps the AsyncLocalStorage of whoever starts it for as long as it runs. */
const nobody = new AsyncResource('SessionMemorySweep');

/** Calls `sweep` from time to time, and keeps neither the process alive nor the caller's async context. */
export function startSweeping(sweep: () => void): NodeJS.Timeout {
  return nobody.runInAsyncScope(() => setInterval(sweep, SWEEP_INTERVAL_MS).unref());
}
