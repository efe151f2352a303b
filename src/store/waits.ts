/** One call that is waited for. */
export interface Wait {
  /** By `performance.now()`. */
  endsAt: number;
  /** Ends the wait without a result, or adds it again. Called when it has ended, unless `remove()` came first. */
  giveUp(): void;
}

/**
 * The waits of all requests on one timer: a timer for each call would cost a request more than the call does. The timer fires about once per
 * timeout while there are calls, and not at all while there are none.
 */
export class Waits {
  readonly #pending = new Set<Wait>();
  #timer: NodeJS.Timeout | undefined;
  #firesAt = Infinity;

  add(wait: Wait): void {
    this.#pending.add(wait);
    if (wait.endsAt < this.#firesAt) this.#start(wait.endsAt);
  }

  /** The call has returned. False: its time was over before. */
  remove(wait: Wait): boolean {
    return this.#pending.delete(wait);
  }

  /** Lets go of the timer if nothing is pending, so that it does not keep a process alive that is through. */
  rest(): void {
    if (this.#pending.size > 0) return;
    clearTimeout(this.#timer);
    this.#firesAt = Infinity;
  }

  #start(firesAt: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = firesAt;
    this.#timer = setTimeout(
      () => {
        this.#fire();
      },
      Math.ceil(firesAt - performance.now()),
    );
  }

  #fire(): void {
    this.#firesAt = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const wait of this.#pending) {
      if (wait.endsAt <= now) {
        this.#pending.delete(wait);
        wait.giveUp();
      } else if (wait.endsAt < next) {
        next = wait.endsAt;
      }
    }
    if (next < this.#firesAt) this.#start(next);
  }
}
