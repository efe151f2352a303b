import type { Clock } from './clock.js';

/** As many kinds of lines as an application has routes, and then some. */
const MOST_KINDS = 1000;

const MINUTE_MS = 60_000;

/** Lets a line of one kind into the log at most once in a while: what happens to every request must not become a flood of lines. */
export class LineLimit {
  readonly #byKind = new Map<string, { readonly loggedAt: number; skipped: number }>();

  /** @param pauseMs how long a kind is silent after a line; Infinity: for ever */
  constructor(
    private readonly clock: Clock,
    private readonly pauseMs = MINUTE_MS,
  ) {}

  /** Logs a line now, or counts it. `write` gets how many were left out since the last one, in words: empty, or to be put behind it. */
  log(kind: string, write: (more: string) => void): void {
    const now = this.clock.now();
    const last = this.#byKind.get(kind);
    // Also a clock that was set back must not silence it.
    if (last !== undefined && Math.abs(now - last.loggedAt) < this.pauseMs) {
      last.skipped++;
      return;
    }
    if (this.#byKind.size >= MOST_KINDS) this.#byKind.clear();
    this.#byKind.set(kind, { loggedAt: now, skipped: 0 });
    const skipped = last?.skipped ?? 0;
    write(skipped === 0 ? '' : `, and ${skipped} times more since this was last said`);
  }
}
