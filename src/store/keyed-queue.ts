/**
 * Runs tasks with the same key one after the other, within this process. Correctness does not depend on it, because every write is a
 * compare-and-set. It avoids conflicts between writers of one process, so that 200 updates cost 200 round trips and not 20,000.
 */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Runs `task` after the earlier tasks with the same key, whether they succeed or fail.
   *
   * @param wait waits for the turn; if it gives up, its error is thrown and the queue goes on without this task
   */
  async run<T>(key: string, wait: (turn: Promise<void>) => Promise<void>, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    let leave!: () => void;
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const tail = before === undefined ? left : before.then(() => left);
    this.#tails.set(key, tail);
    try {
      if (before !== undefined) await wait(before);
      return await task();
    } finally {
      leave();
      void tail.then(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
    }
  }
}
