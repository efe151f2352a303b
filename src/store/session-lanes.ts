/**
 * One writer at a time for each session, within this process. Compare-and-set alone would keep every promise; a lane saves the writers
 * of one process from conflicting with each other, so that 200 updates cost 200 round trips and not 20,000.
 */
export class SessionLanes {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Runs `task` after those before it on the same lane, whatever became of them.
   *
   * @param wait waits for the turn; when it gives up, its error is thrown and the lane goes on without this task
   */
  async run<T>(lane: string, wait: (turn: Promise<void>) => Promise<void>, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(lane);
    let leave!: () => void;
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const tail = before === undefined ? left : before.then(() => left);
    this.#tails.set(lane, tail);
    try {
      if (before !== undefined) await wait(before);
      return await task();
    } finally {
      leave();
      void tail.then(() => {
        if (this.#tails.get(lane) === tail) this.#tails.delete(lane);
      });
    }
  }
}
