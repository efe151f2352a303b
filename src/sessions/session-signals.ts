import { Injectable } from '@nestjs/common';
import { getEventListeners } from 'node:events';
import { Observable } from 'rxjs';

import type { SessionError } from '../errors/session-error.js';
import { PrivateSlot } from '../http/private-slot.js';
import { SessionWatches } from './session-watches.js';
import { Session } from './session.js';

/** What is bound to the life of a session: signals and observables. In a request each lasts until its connection is closed, at the longest. */
@Injectable()
export class SessionSignals {
  readonly #bySession = new PrivateSlot<AbortSignal>();
  readonly #controllers = new WeakMap<AbortSignal, AbortController>();
  /** Those with listeners that no connection holds. */
  readonly #heard = new Set<AbortSignal>();
  readonly #collected = new FinalizationRegistry<() => void>((unwatch) => {
    unwatch();
  });

  constructor(private readonly watches: SessionWatches) {}

  /** A signal that is aborted when the session has ended; the same at each call for one session object. */
  whileAlive(session: Session): AbortSignal {
    const known = this.#bySession.get(session);
    // Aborted, and its holder goes on: under a new proof of identity.
    if (known !== undefined && (!known.aborted || Session.stateOf(session).isEnded)) return known;
    const controller = new AbortController();
    const { signal } = controller;
    this.#bySession.set(session, signal);
    if (Session.stateOf(session).listener === null) this.#abortWeakly(session, controller);
    else {
      this.watch(session, (reason) => {
        controller.abort(reason);
      });
    }
    return signal;
  }

  /** Completes when the session has ended. Each subscription is a watch of its own. */
  untilEnded(session: Session): Observable<never> {
    return new Observable<never>((subscriber) => {
      // In a variable, as it may end in this call.
      const unwatch = this.watch(session, () => {
        subscriber.complete();
      });
      subscriber.add(unwatch);
    });
  }

  /** Calls `ended` when the session has ended, unless its connection is closed before. @returns ends that */
  watch(session: Session, ended: (reason: SessionError) => void): () => void {
    const release = { connection: ignore };
    const unwatch = this.watches.watch(session, (reason) => {
      release.connection();
      ended(reason);
    });
    const { listener, isEnded } = Session.stateOf(session);
    if (listener !== null && !isEnded) release.connection = listener.whenClosed(unwatch);
    return () => {
      unwatch();
      release.connection();
    };
  }

  /**
   * Outside of a request nothing says when a signal is no longer needed, so it is held as Node holds those of `AbortSignal.timeout()`: as long as
   * somebody has it, or listens to it.
   */
  #abortWeakly(session: Session, controller: AbortController): void {
    const { signal } = controller;
    const heard = this.#heard;
    const reference = new WeakRef(controller);
    const unwatch = this.watches.watch(session, (reason) => {
      const present = reference.deref();
      if (present === undefined) return;
      heard.delete(present.signal);
      present.abort(reason);
    });
    if (signal.aborted) return;
    this.#controllers.set(signal, controller);
    this.#collected.register(signal, unwatch);
    holdWhileHeard(signal, heard);
  }
}

/** Keeps `signal` in `heard` as long as it has listeners. */
function holdWhileHeard(signal: AbortSignal, heard: Set<AbortSignal>): void {
  for (const name of ['addEventListener', 'removeEventListener'] as const) {
    const method = signal[name].bind(signal) as (...args: unknown[]) => void;
    const value = (...args: unknown[]): void => {
      method(...args);
      if (!signal.aborted && getEventListeners(signal, 'abort').length > 0) heard.add(signal);
      else heard.delete(signal);
    };
    Object.defineProperty(signal, name, { value, configurable: true, writable: true });
  }
}

function ignore(): void {
  // No connection waits.
}
