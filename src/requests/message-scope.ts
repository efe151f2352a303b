import type { ExecutionContext } from '@nestjs/common';

import { markIn } from '../contexts/message-in.js';
import { OK } from '../http/http-status.js';
import { PrivateSlot } from '../http/private-slot.js';
import type { RequestSession } from './request-session.js';

/** The messages of a socket whose handlers run. */
const running = new PrivateSlot<Set<MessageScope>>();
const NONE: ReadonlySet<MessageScope> = new Set();
/** Of each message of a gateway, by its mark: decorators of parameters, which get a copy of its arguments, find that too. */
const sessionsOf = new PrivateSlot<Set<RequestSession>>();

type Reply = (...values: readonly unknown[]) => unknown;

/**
 * One message while its handler runs. All that the handler has of it is the socket. If no other message of the socket is being handled, what it asks
 * `SessionService` for by the socket is the session of the message. If others are, it is a session of its own, which each of them stores at its end: so it
 * is stored before the reply in any case. An async context would tell which message it is, and slow down every HTTP request of the process by a fifth.
 */
export class MessageScope {
  readonly #used: ReadonlySet<RequestSession>;
  #failure: { readonly error: unknown } | null = null;

  constructor(readonly context: ExecutionContext) {
    this.#used = setOf(context);
  }

  /** Called when something has asked for the session of a message. */
  static uses(context: ExecutionContext, request: RequestSession): void {
    setOf(context).add(request);
  }

  /** The messages of `socket` that are being handled. */
  static runningOn(socket: object): ReadonlySet<MessageScope> {
    return running.get(socket) ?? NONE;
  }

  begin(): void {
    const known = running.get(this.#socket);
    if (known === undefined) running.set(this.#socket, new Set([this]));
    else known.add(this);
  }

  get isUsed(): boolean {
    return this.#used.size > 0;
  }

  /**
   * Stores what the handler has changed.
   *
   * @param isLater whether other values came before: a stream may be longer than the budget of a message lasts
   * @throws SessionError
   */
  async commit(isLater = false): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    try {
      for (const { budget, commit } of this.#used) {
        if (isLater) budget.renew();
        await commit.commitChanges();
      }
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    this.#replyLeaves();
  }

  #replyLeaves(): void {
    for (const { commit } of this.#used) commit.replyLeaves();
  }

  /** For a handler that acknowledges its message itself: what it has changed is stored before; if that fails, there is an error and no acknowledgement. */
  replyBehindCommit(reply: Reply): Reply {
    return (...values) => {
      if (![...this.#used].some(({ commit }) => commit.needsCommit(OK))) {
        this.#replyLeaves();
        return reply(...values);
      }
      const stored = this.commit();
      for (const { commit } of this.#used) commit.replyWaitsFor(stored);
      stored.then(
        () => reply(...values),
        () => undefined,
      );
      return undefined;
    };
  }

  /** The same after the handler has thrown. */
  async commitAfter(error: unknown): Promise<void> {
    for (const { commit } of this.#used) await commit.commitAfter(error);
  }

  /** Called before `end()`, where the handler runs on though its client has left. */
  runsOn(): void {
    for (const { commit } of this.#used) commit.handlerRunsOn();
  }

  /** Called when the handler is through. What it has left running gets the session as it is then. */
  end(): void {
    running.get(this.#socket)?.delete(this);
    for (const { commit } of this.#used) commit.handlerEnds();
  }

  get #socket(): object {
    return this.context.getArgByIndex<object>(0);
  }
}

function setOf(context: ExecutionContext): Set<RequestSession> {
  const key = context.getType<string>() === 'ws' ? markIn(context) : context.getArgs<unknown[]>();
  const known = sessionsOf.get(key);
  if (known !== undefined) return known;
  const made = new Set<RequestSession>();
  sessionsOf.set(key, made);
  return made;
}
