import { noRequest } from '../no-request.js';

/** One call that is waited for. */
export abstract class Wait {
  /** By `performance.now()`. */
  endsAt: number;
  /** The neighbours in the list of {@link Waits}; null: the end, or not in it. */
  previous: Wait | null = null;
  next: Wait | null = null;

  constructor(endsAt: number) {
    this.endsAt = endsAt;
  }

  /** Ends the wait without a result, or adds it again. Called when it has ended, unless `remove()` came first. */
  abstract giveUp(): void;
}

/**
 * The waits of all requests on one timer: a timer for each call would cost a request more than the call does. The timer fires about once per
 * timeout while there are calls, and not at all while there are none.
 *
 * A list of linked objects, and not a `Set`: a set moves to a new table again and again, and its former tables, once they are old, keep alive
 * whatever they held until the next full garbage collection, which took a fifth of a busy server's time.
 */
export class Waits {
  #first: Wait | null = null;
  #last: Wait | null = null;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = Infinity;
  #rests = false;

  add(wait: Wait): void {
    wait.previous = this.#last;
    if (this.#last === null) this.#first = wait;
    else this.#last.next = wait;
    this.#last = wait;
    if (wait.endsAt < this.#firesAt) this.#start(wait.endsAt);
  }

  /** The call has returned. False: its time was over before. */
  remove(wait: Wait): boolean {
    const { previous, next } = wait;
    if (previous === null && this.#first !== wait) return false;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    wait.previous = null;
    wait.next = null;
    return true;
  }

  /** From now on the timer keeps no process alive that is done, whatever is pending. */
  rest(): void {
    this.#rests = true;
    this.#timer?.unref();
  }

  #start(firesAt: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = firesAt;
    this.#timer = noRequest.runInAsyncScope(setTimeout, null, this.#due, Math.ceil(firesAt - performance.now()));
    if (this.#rests) this.#timer.unref();
  }

  readonly #due = (): void => {
    // After a pause of the whole process, timers come before the replies that have arrived meanwhile. Those first.
    if (this.#first === null) this.#firesAt = Infinity;
    else setImmediate(() => this.#fire());
  };

  #fire(): void {
    this.#firesAt = Infinity;
    const now = performance.now();
    const due: Wait[] = [];
    for (let wait = this.#first; wait !== null; wait = wait.next) if (wait.endsAt <= now) due.push(wait);
    // One that ends may end others with it, as the calls of a connection that is given up.
    for (const wait of due) if (this.remove(wait)) wait.giveUp();
    let earliest = Infinity;
    for (let wait = this.#first; wait !== null; wait = wait.next) earliest = Math.min(earliest, wait.endsAt);
    if (earliest < this.#firesAt) this.#start(earliest);
  }
}
