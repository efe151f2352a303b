import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { messageOf } from '../errors/message-of.js';
import { isRefusal } from '../errors/session-error.js';
import { SessionBackendError, SessionConflictError } from '../errors/session-errors.js';
import { LineLimit } from '../line-limit.js';
import { SessionOptions } from '../options/session-options.js';
import { SessionStore } from '../store/session-store.js';
import type { StoreBudget } from '../store/store-budget.js';
import { SessionLogin } from './session-login.js';
import { Session } from './session.js';

/** The option `rotateEvery`: gives a session a new id when its id is old enough, with a grace for the old one. */
@Injectable()
export class SessionRotation {
  readonly #logger = new Logger('SessionModule');
  readonly #notRotated: LineLimit;
  readonly #everyMs: number;
  readonly #graceMs: number;

  /** @throws TypeError when the backend cannot keep an old id */
  constructor(
    private readonly options: SessionOptions,
    private readonly logins: SessionLogin,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
    store: SessionStore,
  ) {
    this.#everyMs = (options.rotateEvery ?? Infinity) * 1000;
    this.#graceMs = Math.round(options.rotateGrace * 1000);
    this.#notRotated = new LineLimit(clock);
    if (!this.isOn || store.keepsAliases) return;
    throw new TypeError(
      'SessionModule cannot start with rotateEvery: its backend has no keepsAliases, so it cannot keep an old id for a grace. Remove the option, or add to the backend what SessionBackend says of aliases.',
    );
  }

  /** Whether the options have `rotateEvery`. */
  get isOn(): boolean {
    return this.options.rotateEvery !== null;
  }

  isDue(session: Session): boolean {
    const { metadata } = Session.stateOf(session);
    const issuedBefore = this.clock.now() - this.#everyMs;
    // No id is older than its session, whose creation is known without parsing JSON.
    return metadata.createdAt <= issuedBefore && metadata.idIssuedAt <= issuedBefore;
  }

  /**
   * Gives the session of a request a new id.
   *
   * A failure is logged, and the request goes on under the old id, which a later request rotates.
   *
   * @returns the token; `null` if there is none, because it failed, or another request was faster
   */
  async rotate(session: Session, budget: StoreBudget): Promise<string | null> {
    // The handler may have made a page of the response, under the old id.
    const rotation = { cause: 'rotated', graceMs: this.#graceMs, keepsCsrfTokens: true } as const;
    try {
      return (await this.logins.regenerate(session, rotation, budget)).token;
    } catch (error) {
      // Another request was faster, or has ended the session; or the store fails, which it logs.
      const isExpected = error instanceof SessionConflictError || error instanceof SessionBackendError;
      if (!isExpected && !isRefusal(error)) {
        this.#notRotated.log('not rotated', (more) => {
          this.#logger.warn(`A session was not given a new id, though rotateEvery is over: ${messageOf(error)}${more}`);
        });
      }
      return null;
    }
  }
}
