import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { filter, Subject, type Observable } from 'rxjs';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { GuardedObservable } from './guarded-observable.js';
import type { SessionEvent, SessionEventBody } from './session-event.js';

/**
 * Notifies the application of events of sessions: for an audit log, alerts, metrics. Listeners run in the request that causes the event,
 * so they should be short. An error of a listener is logged and does not affect the request.
 *
 * @example events.on('rejected').subscribe(({ reason }) => metrics.increment(`session.rejected.${reason}`));
 */
@Injectable()
export class SessionEvents implements OnApplicationShutdown {
  readonly #logger = new Logger('SessionEvents');
  readonly #subject = new Subject<SessionEvent>();

  /** Every event, as it happens. */
  readonly all: Observable<SessionEvent> = new GuardedObservable(this.#subject, (error) => {
    this.#logger.error('A listener of SessionEvents threw', error instanceof Error ? error.stack : String(error));
  });

  constructor(@Inject(SESSION_CLOCK) private readonly clock: Clock) {}

  /** The events of one type. */
  on<T extends SessionEvent['type']>(type: T): Observable<Extract<SessionEvent, { type: T }>> {
    return this.all.pipe(filter((event): event is Extract<SessionEvent, { type: T }> => event.type === type));
  }

  /** @internal Whether there is a listener, for which an event is worth making. */
  get hasListeners(): boolean {
    return this.#subject.observed;
  }

  /** @internal */
  emit(event: SessionEventBody): void {
    if (!this.#subject.observed) return;
    this.#subject.next({ ...event, at: this.clock.now() });
  }

  onApplicationShutdown(): void {
    this.#subject.complete();
  }
}
