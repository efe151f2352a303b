import { Observable, Subscriber, type Observer, type Operator, type Subscription } from 'rxjs';

type Listener<T> = Partial<Observer<T>> | ((value: T) => void) | null;

/**
 * An observable that passes errors of its listeners to `report`. RxJS would rethrow such an error in a timer, where it ends the process.
 * Observables that `pipe()` returns are guarded, too.
 */
export class GuardedObservable<T> extends Observable<T> {
  constructor(
    source: Observable<T>,
    private readonly report: (error: unknown) => void,
  ) {
    super((subscriber) => source.subscribe(subscriber));
  }

  override subscribe(
    listener?: Listener<T>,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    // An operator's own subscriber hands errors on; only the listener at the end is guarded.
    if (listener instanceof Subscriber) return super.subscribe(listener);
    const given = typeof listener === 'function' ? { next: listener } : (listener ?? {});
    const observer: Partial<Observer<T>> = {
      ...(error ? { error } : {}),
      ...(complete ? { complete } : {}),
    };
    return super.subscribe({
      next: (value) => {
        this.#guard(() => given.next?.(value));
      },
      error: (failure: unknown) => {
        const handle = given.error?.bind(given) ?? observer.error ?? this.report;
        this.#guard(() => {
          handle(failure);
        });
      },
      complete: () => {
        this.#guard(() => (given.complete?.bind(given) ?? observer.complete)?.());
      },
    });
  }

  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    return new GuardedObservable<R>(super.lift(operator), this.report);
  }

  #guard(call: () => unknown): void {
    try {
      const result = call();
      // An async listener throws later.
      if (result instanceof Promise) result.catch(this.report);
    } catch (error) {
      this.report(error);
    }
  }
}
