import { noRequest } from '../../no-request.js';

const SWEEP_INTERVAL_MS = 30_000;

/** Calls `sweep` from time to time, and keeps neither the process alive nor the caller's async context. */
export function startSweeping(sweep: () => void): NodeJS.Timeout {
  return noRequest.runInAsyncScope(() => setInterval(sweep, SWEEP_INTERVAL_MS).unref());
}
