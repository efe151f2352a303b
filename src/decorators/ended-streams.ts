import { Observable, Subscription } from 'rxjs';

/** The last event. It has data, as a browser drops an event without; and says nothing else, as a client is not told why its session has ended. */
const SESSION_ENDED = { type: 'session-ended', data: {} } as const;
const DONE = { done: true, value: undefined } as const;

/** Server-sent events until `ended` completes, which one last event tells. */
export function endEvents(events: Observable<unknown>, ended: Observable<never>): Observable<unknown> {
  return new Observable((subscriber) => {
    subscriber.add(
      ended.subscribe({
        complete: () => {
          subscriber.next(SESSION_ENDED);
          subscriber.complete();
        },
      }),
    );
    if (!subscriber.closed) subscriber.add(events.subscribe(subscriber));
  });
}

/** What `source` yields until `ended` completes; then `source` is told to return. */
export function endIterator(source: AsyncIterator<unknown>, ended: Observable<never>): AsyncIterableIterator<unknown> {
  return new EndedIterator(source, ended);
}

export function isAsyncIterator(value: unknown): value is AsyncIterator<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value && 'next' in value;
}

class EndedIterator implements AsyncIterableIterator<unknown> {
  readonly #source: AsyncIterator<unknown>;
  /** Ends those who wait for the next value: the source may yield none any more. */
  readonly #waiting = new Set<(result: IteratorResult<unknown>) => void>();
  readonly #watch = new Subscription();
  #isOver = false;

  constructor(source: AsyncIterator<unknown>, ended: Observable<never>) {
    this.#source = source;
    this.#watch.add(ended.subscribe({ complete: () => void this.return() }));
  }

  async next(): Promise<IteratorResult<unknown>> {
    if (this.#isOver) return DONE;
    let stopWaiting: (result: IteratorResult<unknown>) => void = ignore;
    const over = new Promise<IteratorResult<unknown>>((resolve) => (stopWaiting = resolve));
    this.#waiting.add(stopWaiting);
    try {
      const result = await Promise.race([this.#source.next(), over]);
      if (result.done === true) this.#finish();
      return result;
    } catch (error) {
      this.#finish();
      throw error;
    } finally {
      this.#waiting.delete(stopWaiting);
    }
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    if (this.#isOver) return DONE;
    this.#finish();
    // A generator returns only when it has come to its next yield, which is not awaited.
    void this.#returnSource(value);
    return Promise.resolve(DONE);
  }

  /** Its failure does not matter to the reader of the stream, and is no reason to end the process. */
  async #returnSource(value: unknown): Promise<void> {
    try {
      await this.#source.return?.(value);
    } catch {
      // It has ended for us.
    }
  }

  async throw(error?: unknown): Promise<IteratorResult<unknown>> {
    this.#finish();
    if (this.#source.throw === undefined) throw error;
    return this.#source.throw(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watch.unsubscribe();
    for (const resolve of this.#waiting) resolve(DONE);
    this.#waiting.clear();
  }
}

function ignore(): void {
  // It is not awaited.
}
