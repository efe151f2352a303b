import { AsyncResource } from 'node:async_hooks';

const SWEEP_INTERVAL_MS = 30_000;

/** Made while this file is loaded, outside of any request. A timer keeps the AsyncLocalStorage of its starter for as long as it runs. */
const noRequest = new AsyncResource('SessionMemorySweep');

/** Calls `sweep` from time to time, and keeps neither the process alive nor the caller's async context. */
export function startSweeping(sweep: () => void): NodeJS.Timeout {
  return noRequest.runInAsyncScope(() => setInterval(sweep, SWEEP_INTERVAL_MS).unref());
}
