/** Runs asynchronous tasks one after the other, in the order of the calls, whether those before succeed or fail. */
export class TaskQueue {
  #last: Promise<unknown> | undefined;

  run<T>(task: () => Promise<T>): Promise<T> {
    const own = this.#last === undefined ? task() : this.#last.then(task, task);
    this.#last = own;
    return own;
  }
}
