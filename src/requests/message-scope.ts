import type { ExecutionContext } from '@nestjs/common';
import { AsyncLocalStorage } from 'node:async_hooks';

import { PrivateSlot } from '../http/private-slot.js';
import type { RequestSession } from './request-session.js';

const OK = 200;

const scopes = new AsyncLocalStorage<MessageScope>();
/** By the arguments of a message, which its guards and interceptors share. */
const sessionsOf = new PrivateSlot<Set<RequestSession>>();

type Reply = (...values: readonly unknown[]) => unknown;

/**
 * One message while its handler runs. All that the handler has of it is the socket, which other messages have too: by the async context, what it asks
 * `SessionService` for by the socket is the session of its own message, and is stored with it.
 */
export class MessageScope {
  readonly #used: ReadonlySet<RequestSession>;
  #isOver = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(readonly context: ExecutionContext) {
    this.#used = setOf(context);
  }

  /** Called when something has asked for the session of a message. */
  static uses(context: ExecutionContext, request: RequestSession): void {
    setOf(context).add(request);
  }

  /** The message of `socket` that is being handled by the caller; `null`: it is handled no more, or there is none. */
  static of(socket: object): MessageScope | null {
    const scope = scopes.getStore();
    return scope !== undefined && !scope.#isOver && scope.context.getArgByIndex<unknown>(0) === socket ? scope : null;
  }

  run<T>(handle: () => T): T {
    return scopes.run(this, handle);
  }

  get isUsed(): boolean {
    return this.#used.size > 0;
  }

  /** Stores what the handler has changed. @throws SessionError */
  async commit(): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    try {
      for (const { commit } of this.#used) await commit.commitChanges();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  /** For a handler that acknowledges its message itself: what it has changed is stored before; if that fails, there is an error and no acknowledgement. */
  replyBehindCommit(reply: Reply): Reply {
    return (...values) => {
      if (![...this.#used].some(({ commit }) => commit.needsCommit(OK))) return reply(...values);
      this.commit().then(
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

  /** Called when the handler is through. What it has left running gets the session as it is then. */
  end(): void {
    this.#isOver = true;
  }
}

function setOf(context: ExecutionContext): Set<RequestSession> {
  const args: object = context.getArgs();
  const known = sessionsOf.get(args);
  if (known !== undefined) return known;
  const made = new Set<RequestSession>();
  sessionsOf.set(args, made);
  return made;
}
