import type { Clock } from './clock.js';

/** As many kinds of lines as an application has routes, and then some. */
const MOST_KINDS = 1000;

/** Lets a line of one kind into the log at most once in a while: what happens to every request must not become a flood of lines. */
export class LineLimit {
  readonly #byKind = new Map<string, { readonly saidAt: number; unsaid: number }>();

  /** @param pauseMs how long a kind is silent after a line; Infinity: for ever */
  constructor(
    private readonly clock: Clock,
    private readonly pauseMs: number,
  ) {}

  /** Says a line now, or counts it. `write` gets how many were left out since the last one, in words: empty, or to be put behind it. */
  say(kind: string, write: (more: string) => void): void {
    const now = this.clock.now();
    const last = this.#byKind.get(kind);
    // Also a clock that was set back must not silence it.
    if (last !== undefined && Math.abs(now - last.saidAt) < this.pauseMs) {
      last.unsaid++;
      return;
    }
    if (this.#byKind.size >= MOST_KINDS) this.#byKind.clear();
    this.#byKind.set(kind, { saidAt: now, unsaid: 0 });
    const unsaid = last?.unsaid ?? 0;
    write(unsaid === 0 ? '' : `, and ${unsaid} times more since this was last said`);
  }
}
