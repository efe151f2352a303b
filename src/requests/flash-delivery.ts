import { setTimeout as sleep } from 'node:timers/promises';

import { Session } from '../sessions/session.js';
import { FIRST_ERROR_STATUS, NOT_MODIFIED } from '../http/http-status.js';
import type { ResponseGate } from '../http/response-gate.js';
import type { FlashMessage } from '../records/flash-message.js';
import type { SessionWriter } from '../sessions/session-writer.js';
import type { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { RequestLog } from './request-log.js';

/** Together some 3 s: longer than a connection takes to come back, and a failover often does not. */
const PAUSES_MS = [0, 100, 300, 900, 1800];

/** The request whose response delivers the messages. */
interface FlashRequest {
  readonly budget: StoreBudget;
  readonly gate: ResponseGate | null;
  readonly session: Session | null;
  current(): Promise<Session | null>;
}

/**
 * Follows the flash messages that a request has taken until they reach the client, and puts them back into the session if they do not:
 * the handler has failed, the client shows a copy of its own (304), gets an error or nothing at all.
 */
export class FlashDelivery {
  #isWatching = false;
  /** The client has got nothing, or another response, so that nothing can be delivered any more. */
  #isLost = false;
  /** The status that the handler has given its response; `running`: it has not returned yet; `failed`: it does not, or its result is not awaited any more. */
  #statusOfHandler: number | 'running' | 'failed' | 'unknown' = 'unknown';

  constructor(
    private readonly services: {
      readonly writer: SessionWriter;
      readonly store: SessionStore;
      readonly log: RequestLog;
    },
    private readonly request: FlashRequest,
  ) {}

  /** The messages of the session, each handed out once; none without a session. */
  async take(): Promise<FlashMessage[]> {
    const session = await this.request.current();
    return session === null ? [] : this.services.writer.takeFlash(session, this.request.budget);
  }

  handlerBegins(): void {
    this.#statusOfHandler = 'running';
  }

  handlerReturns(status: number): void {
    this.#statusOfHandler = status;
  }

  /** What it was given is not shown. */
  async handlerThrew(): Promise<void> {
    this.#statusOfHandler = 'failed';
    if (this.request.session !== null) await this.putBack(this.request.session);
  }

  /** Called when the result of the handler is not awaited any more. */
  handlerEnds(): void {
    if (this.#statusOfHandler === 'running') this.#statusOfHandler = 'failed';
  }

  /** Called before messages of `session` are taken. */
  watch(session: Session): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.request.gate?.whenDelivered((delivery) => {
      this.#isWatching = false;
      this.#isLost = delivery.got !== 'response';
      if (delivery.got === 'response' && this.#isShown(delivery.status)) Session.stateOf(session).flash.delivered();
      else void this.#returnInBackground(session);
    });
  }

  /** Whether a response with `status` does not deliver the messages of `session`, so that they have to be put back before it leaves. */
  loses(session: Session, status: number): boolean {
    if (!Session.stateOf(session).flash.hasTaken) return false;
    return this.#isLost || (this.#isWatching && !this.#isShown(status));
  }

  /** Puts the messages back. Does not throw: if that fails, it is tried again in the background. */
  async putBack(session: Session): Promise<void> {
    if (!Session.stateOf(session).flash.hasTaken) return;
    try {
      await this.services.writer.returnFlash(session, this.request.budget);
    } catch {
      void this.#returnInBackground(session);
    }
  }

  /** An error page is not the one that the messages are for, unless the handler has made it. Nor is a page in the place of the handler's. */
  #isShown(status: number): boolean {
    if (status === NOT_MODIFIED || this.#statusOfHandler === 'failed') return false;
    return status < FIRST_ERROR_STATUS || this.#statusOfHandler === 'running' || this.#statusOfHandler === status;
  }

  /** A session that has ended takes its messages along; a store that fails for a moment is tried again. */
  async #returnInBackground(session: Session): Promise<void> {
    const { writer, store, log } = this.services;
    let failure: unknown;
    for (const pauseMs of PAUSES_MS) {
      await sleep(pauseMs, undefined, { ref: false });
      try {
        await writer.returnFlash(session, store.newBudget());
        return;
      } catch (error) {
        failure = error;
      }
    }
    log.flashLost(failure);
  }
}
