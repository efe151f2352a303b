import { noRequest } from '../no-request.js';

/** Several that expire within this time are looked at together. */
const SHORTEST_PAUSE_MS = 50;

/** The one timer of all watches: it fires in rounds, and earlier where a session expires. It does not keep the process alive. */
export class WatchTimer {
  #timer: NodeJS.Timeout | undefined;
  /** Both by `performance.now()`. */
  #firesAt = Infinity;
  #nextRoundAt = Infinity;

  constructor(
    private readonly intervalMs: number,
    private readonly fires: (isRound: boolean) => void,
  ) {}

  /** Fires after `milliseconds` at the latest, and at the end of the round. */
  setWithin(milliseconds: number): void {
    const now = performance.now();
    if (this.#nextRoundAt === Infinity) this.#nextRoundAt = now + this.intervalMs;
    const firesAt = Math.min(this.#nextRoundAt, now + Math.max(milliseconds, SHORTEST_PAUSE_MS));
    if (firesAt >= this.#firesAt) return;
    clearTimeout(this.#timer);
    this.#firesAt = firesAt;
    this.#timer = noRequest.runInAsyncScope(() => setTimeout(this.#fire, Math.ceil(firesAt - now)).unref());
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#firesAt = Infinity;
    this.#nextRoundAt = Infinity;
  }

  readonly #fire = (): void => {
    this.#firesAt = Infinity;
    const now = performance.now();
    const isRound = now >= this.#nextRoundAt;
    if (isRound) this.#nextRoundAt = now + this.intervalMs;
    this.fires(isRound);
  };
}
