import { Injectable } from '@nestjs/common';

import { SessionDataError, SessionUsageError } from '../errors/session-errors.js';
import { isPlainObject } from '../is-object.js';
import { LONGEST_LIFETIME_S } from '../options/session-lifetimes-options.js';
import { assertJsonValue } from '../records/json-value.js';
import { spellPath } from '../records/value-path.js';
import type { OneTimeData } from '../records/session-user.js';
import { sessionOf } from '../sessions/session-arguments.js';
import { SessionFactory } from '../sessions/session-factory.js';
import { SessionWriter } from '../sessions/session-writer.js';
import type { Session } from '../sessions/session.js';
import { SessionStore } from '../store/session-store.js';
import { RequestLog } from './request-log.js';

const DEFAULT_TTL_S = 600;
const LONGEST_NAME = 256;
/** As paths of values that cannot be stored begin. */
const PART = 'oneTime';

/** Choices for a one-time value. */
export interface OneTimeOptions {
  /** Seconds after which it is not handed out any more, more than 0. It never outlives its session. Default 600. */
  readonly ttl?: number | undefined;
}

/**
 * Values of a session that are handed out once: the `state`, nonce and PKCE verifier of an OAuth login, the number of a form. They are not
 * part of `session.data`, no response shows them, and `login()` carries them over as it carries `data`.
 *
 * Both methods act at once, not with the other changes of a request.
 */
@Injectable()
export class OneTimeValues {
  /** @internal It is `SessionService.oneTime`. */
  constructor(
    private readonly writer: SessionWriter,
    private readonly store: SessionStore,
    private readonly factory: SessionFactory,
    private readonly log: RequestLog,
  ) {}

  /**
   * Stores a value under `name`, in the place of one that was there. A session keeps at most 20 of them; the oldest goes.
   *
   * @param name 1 to 256 characters. It may contain a value of the client, such as the `state` of an OAuth login.
   * @param value what JSON can hold, except null
   * @throws SessionDataError when the value cannot be stored, SessionUsageError, SessionNotFoundError `SESSION_ENDED`
   * @throws SessionBackendError 503; a value that was there before is still there, unless the store responded too late
   */
  async put<Name extends string>(
    session: Session,
    name: Name,
    value: OneTimeData[Name],
    options: OneTimeOptions = {},
  ): Promise<void> {
    await this.log.loggingMisuse(() => {
      assertStorable(name);
      const expiresAt = this.factory.clock.now() + lifetimeMs(options);
      const added = { name, value: this.#copied(value, name), expiresAt };
      return this.writer.putOneTime(sessionOf(session), added, this.store.newBudget());
    });
  }

  /**
   * Removes the value of `name` and returns it. Of many calls at once, one gets it. It is gone then, also if the request fails afterwards or
   * its response is lost.
   *
   * `HEAD` and prefetches get null and take nothing, because no user sees their response.
   *
   * @returns null: there is none, it has expired, or it was consumed
   * @throws SessionUsageError, SessionNotFoundError `SESSION_ENDED`
   * @throws SessionBackendError 503; the value is still there, unless the store responded too late
   */
  async consume<Name extends string>(session: Session, name: Name): Promise<OneTimeData[Name] | null> {
    return this.log.loggingMisuse(() => {
      assertName(name);
      return this.writer.takeOneTime(sessionOf(session), name, this.store.newBudget());
    });
  }

  /** A copy, because the caller may change the value while it is being stored. */
  #copied(value: unknown, name: string): unknown {
    if (value === null) {
      throw new SessionUsageError('A one-time value cannot be null, because consume() returns null if there is none.');
    }
    assertJsonValue(value, spellPath(PART, [name]), this.factory.maxSessionBytes);
    return JSON.parse(JSON.stringify(value));
  }
}

/** @throws SessionUsageError when `name` is not a string, or empty */
export function assertName(name: unknown): asserts name is string {
  if (typeof name === 'string' && name !== '') return;
  throw new SessionUsageError("The name of a one-time value is a string that is not empty, such as 'oauth-state'.");
}

/** @throws as `assertName()`; SessionDataError 400 for one that is too long, because a client may have sent a part of it */
function assertStorable(name: unknown): asserts name is string {
  assertName(name);
  if (name.length <= LONGEST_NAME) return;
  throw new SessionDataError(`The name of a one-time value has at most ${LONGEST_NAME} characters.`, PART, 'input');
}

/** A number in the place of the options would be a value that is handed out for longer than was meant. @throws SessionUsageError */
function lifetimeMs(options: unknown): number {
  const { ttl = DEFAULT_TTL_S } = isPlainObject(options) ? options : { ttl: NaN };
  const ms = typeof ttl === 'number' ? Math.round(ttl * 1000) : NaN;
  if (ms >= 1 && ms <= LONGEST_LIFETIME_S * 1000) return ms;
  throw new SessionUsageError(
    `The last argument of put() is { ttl }, a number of seconds, more than 0 and at most ${LONGEST_LIFETIME_S}.`,
  );
}
