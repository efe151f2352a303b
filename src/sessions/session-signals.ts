import { Injectable } from '@nestjs/common';
import { getEventListeners } from 'node:events';
import { Observable } from 'rxjs';

import type { SessionError } from '../errors/session-error.js';
import { SessionWatches } from './session-watches.js';
import { Session } from './session.js';

/** Under which Node keeps, on a signal, the signals that `AbortSignal.any()` has made of it; undefined: it has another way. */
const DEPENDANTS = dependantsKey();

/** What is bound to the life of a session: signals and observables. In a request each lasts until its connection is closed, at the longest. */
@Injectable()
export class SessionSignals {
  readonly #bySession = new WeakMap<Session, AbortSignal>();
  /** Of those that are watched. */
  readonly #controllers = new WeakMap<AbortSignal, AbortController>();
  /** Those that are watched and have listeners. */
  readonly #heard = new Set<AbortSignal>();
  /** Those that are watched, and part of an `AbortSignal.any()`. */
  readonly #combined = new Set<AbortSignal>();
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
    this.#bySession.set(session, controller.signal);
    this.#abortAtEnd(session, controller);
    return controller.signal;
  }

  /** Completes when the session has ended. Each subscription is a watch of its own. */
  untilEnded(session: Session): Observable<never> {
    return new Observable<never>((subscriber) => {
      // In a variable, as it may end in this call.
      const unwatch = this.#watch(session, () => {
        subscriber.complete();
      });
      subscriber.add(unwatch);
    });
  }

  /**
   * Calls `ended` when the session has ended, or `closed` when its connection is closed, whatever comes first.
   *
   * @returns a function that stops waiting
   */
  #watch(session: Session, ended: (reason: SessionError) => void, closed: () => void = ignore): () => void {
    const connection = { stopWaiting: ignore };
    const { stop: unwatch } = this.watches.watch(session, (reason) => {
      connection.stopWaiting();
      ended(reason);
    });
    const { listener, isEnded } = Session.stateOf(session);
    if (!isEnded) {
      const stopWaiting = listener?.whenClosed(() => {
        unwatch();
        closed();
      });
      connection.stopWaiting = stopWaiting ?? ignore;
    }
    return () => {
      unwatch();
      connection.stopWaiting();
    };
  }

  /**
   * A signal is held as Node holds those of `AbortSignal.timeout()`: as long as it is referenced, or has a listener. So a socket whose messages ask for one
   * each does not collect them.
   */
  #abortAtEnd(session: Session, controller: AbortController): void {
    const { signal } = controller;
    const controllers = this.#controllers;
    const heard = this.#heard;
    const combined = this.#combined;
    const collected = this.#collected;
    // What follows must not hold it: that is for its users to do.
    const reference = new WeakRef(controller);
    const release = (): AbortController | undefined => {
      const found = reference.deref();
      if (found === undefined) return undefined;
      controllers.delete(found.signal);
      heard.delete(found.signal);
      combined.delete(found.signal);
      collected.unregister(found.signal);
      return found;
    };
    controllers.set(signal, controller);
    const unwatch = this.#watch(session, (reason) => release()?.abort(reason), release);
    if (!controllers.has(signal)) return;
    this.#collected.register(signal, unwatch, signal);
    this.#holdWhileHeard(signal);
  }

  #holdWhileHeard(signal: AbortSignal): void {
    for (const name of ['addEventListener', 'removeEventListener'] as const) {
      const method = signal[name].bind(signal) as (...args: unknown[]) => void;
      const value = (...args: unknown[]): void => {
        method(...args);
        if (this.#controllers.has(signal) && getEventListeners(signal, 'abort').length > 0) this.#heard.add(signal);
        else this.#heard.delete(signal);
      };
      Object.defineProperty(signal, name, { value, configurable: true, writable: true });
    }
    if (DEPENDANTS === undefined) return;
    // A signal of `AbortSignal.any()` does not keep those that it was made of, nor listens to them.
    let dependants: unknown;
    Object.defineProperty(signal, DEPENDANTS, {
      get: () => dependants,
      set: (made: unknown) => {
        dependants = made;
        if (this.#controllers.has(signal)) this.#combined.add(signal);
      },
      configurable: true,
    });
  }
}

function dependantsKey(): symbol | undefined {
  const { signal } = new AbortController();
  const before = new Set(Object.getOwnPropertySymbols(signal));
  AbortSignal.any([signal]);
  return Object.getOwnPropertySymbols(signal).find((key) => !before.has(key));
}

function ignore(): void {
  // No connection waits.
}
