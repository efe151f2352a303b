import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionUsageError } from '../errors/session-errors.js';
import { LONGEST_LIFETIME_S, type LifetimeOptions } from '../options/session-lifetimes-options.js';
import { SessionOptions } from '../options/session-options.js';
import { apply } from '../records/changes.js';
import type { SessionMetadata } from '../records/payload.js';
import type { SessionRevision, StoredSession } from '../records/stored-session.js';
import type { Session } from './session.js';

/** How long a session lasts. */
export interface SessionLifetime {
  /** Seconds of idle lifetime. */
  readonly ttl?: number | undefined;
  /** Seconds until the session ends, regardless of use; `null` for no limit. */
  readonly absoluteTimeout?: number | null | undefined;
}

/** How long a new session lasts. What is left out is as the options say. */
export interface NewSessionLifetime {
  /** Seconds of idle lifetime. Default: that of the options. Longer than the `absoluteTimeout` of the options is an error. */
  readonly ttl?: number | undefined;
  /** Seconds until the session ends, regardless of use. Default: that of the options, which it can only shorten; more is an error. */
  readonly absoluteTimeout?: number | undefined;
  /**
   * Whether the user asked to be remembered: the session has the lifetimes of `lifetimes.remembered`, and its cookie outlives the browser.
   * Default false.
   */
  readonly remember?: boolean | undefined;
}

/** The times of a new session. */
type NewTimes = Pick<SessionMetadata, 'createdAt' | 'ttlMs' | 'absoluteExpiresAt' | 'isRemembered'>;

/** The lifetimes of one class of sessions. */
interface LifetimeClass {
  readonly ttlMs: number;
  /** `null` for no limit. */
  readonly capMs: number | null;
}

/** A checked {@link SessionLifetime}; `undefined` stays as it is. */
interface LifetimeChange {
  readonly ttlMs: number | undefined;
  readonly capMs: number | null | undefined;
}

/**
 * Decides how long sessions last: by their class, which is anonymous, remembered or neither, and by the call. No `absoluteTimeout` of a call makes
 * a session last longer than that of its class, and no `ttl` is cut silently by a limit that was set in another place.
 */
@Injectable()
export class SessionLifetimes implements OnModuleInit {
  readonly #standard: LifetimeClass;
  readonly #anonymous: LifetimeClass;
  /** `null` if the options have no such class. */
  readonly #remembered: LifetimeClass | null;
  readonly #isSliding: boolean;
  readonly #everyCookiePersists: boolean;

  constructor(
    options: SessionOptions,
    @Inject(SESSION_CLOCK) private readonly clock: Clock,
  ) {
    const {
      sessionTtl,
      absoluteTimeout,
      slidingExpiration,
      cookie,
      lifetimes: { anonymous = {}, remembered } = {},
    } = options;
    const classOf = ({ ttl = sessionTtl, absoluteTimeout: cap = absoluteTimeout }: LifetimeOptions): LifetimeClass => {
      return { ttlMs: Math.round(ttl * 1000), capMs: cap === null ? null : Math.round(cap * 1000) };
    };
    this.#standard = classOf({});
    this.#anonymous = classOf(anonymous);
    this.#remembered = remembered === undefined ? null : classOf(remembered);
    this.#isSliding = slidingExpiration;
    this.#everyCookiePersists = cookie?.persistent === 'always';
  }

  /** Logs the lifetimes that are in effect (ASVS 7.1.1). */
  onModuleInit(): void {
    const end = ({ ttlMs, capMs }: LifetimeClass): string => {
      const idle = `after ${ttlMs / 1000} s ${this.#isSliding ? 'without use' : 'from their start'}`;
      return capMs === null ? idle : `${idle}, at the latest ${capMs / 1000} s from their start`;
    };
    const standard = end(this.#standard);
    const anonymous = end(this.#anonymous);
    const parts = [`Sessions end ${standard}`];
    if (anonymous !== standard) parts.push(`anonymous ones ${anonymous}`);
    if (this.#remembered !== null) parts.push(`remembered ones ${end(this.#remembered)}`);
    new Logger('SessionModule').log(`${parts.join('; ')}.`);
  }

  /** @throws SessionUsageError when a lifetime is wrong, or longer than the options allow, or `remember` has no class */
  ofNewSession(isAnonymous: boolean, { ttl, absoluteTimeout, remember }: NewSessionLifetime): NewTimes {
    const isRemembered = asBoolean(remember);
    const { ttlMs, capMs } = this.#classOf(isAnonymous, isRemembered);
    const ownTtlMs = optionalMillisecondsOf(ttl, 'ttl');
    const ownCapMs = optionalMillisecondsOf(absoluteTimeout, 'absoluteTimeout');
    if (capMs !== null && (ownCapMs ?? 0) > capMs) throw capTooLongError();
    if (capMs !== null && ownCapMs === null && (ownTtlMs ?? 0) > capMs) throw ttlTooLongError();
    const createdAt = this.clock.now();
    const lastsMs = ownCapMs ?? capMs;
    return {
      createdAt,
      ttlMs: ownTtlMs ?? ttlMs,
      absoluteExpiresAt: lastsMs === null ? null : createdAt + lastsMs,
      isRemembered,
    };
  }

  #classOf(isAnonymous: boolean, isRemembered: boolean): LifetimeClass {
    if (!isRemembered) return isAnonymous ? this.#anonymous : this.#standard;
    if (isAnonymous)
      throw new SessionUsageError('A session without a user cannot be remembered: pass a user, or leave remember out.');
    if (this.#remembered !== null) return this.#remembered;
    throw new SessionUsageError(
      'remember: true needs the lifetimes of such sessions: set the option lifetimes, for example { remembered: { ttl: 2_592_000 } }.',
    );
  }

  /** Whether the cookie of a session outlives the browser. */
  hasPersistentCookie(session: Session): boolean {
    return this.#everyCookiePersists || session.isRemembered;
  }

  /** @throws SessionUsageError when a lifetime is wrong, or none is given */
  changeOf(lifetime: SessionLifetime): LifetimeChange {
    const { ttl, absoluteTimeout } = asLifetime(lifetime);
    return {
      ttlMs: ttl === undefined ? undefined : millisecondsOf(ttl, 'ttl'),
      capMs:
        absoluteTimeout === undefined || absoluteTimeout === null
          ? absoluteTimeout
          : millisecondsOf(absoluteTimeout, 'absoluteTimeout'),
    };
  }

  /**
   * Both lifetimes count from now, and the change is a use of the session. The times of a record only move forward, so that a shorter `ttl`
   * has its effect through `expiryOf()`, and without sliding expiration through the absolute end.
   *
   * @throws SessionUsageError when the session would last longer than its class allows, or `ttl` longer than the session
   */
  changed({ record, content }: StoredSession, change: LifetimeChange): SessionRevision {
    const { metadata } = content;
    const now = this.clock.now();
    const ttlMs = change.ttlMs ?? metadata.ttlMs;
    let absoluteExpiresAt = this.#absoluteEnd(content, change, now);
    const idleFrom = this.#isSliding || change.ttlMs !== undefined ? now : metadata.createdAt;
    const idleEnd = idleFrom + ttlMs;
    if (!this.#isSliding && change.ttlMs !== undefined && idleEnd < record.expiresAt) {
      absoluteExpiresAt = Math.min(absoluteExpiresAt ?? Infinity, idleEnd);
    }
    const end = Math.min(idleEnd, absoluteExpiresAt ?? Infinity);
    return {
      content: apply(content, [{ op: 'set-lifetime', ttlMs, absoluteExpiresAt }]),
      lastAccessed: Math.max(record.lastAccessed, now),
      expiresAt: Math.max(record.expiresAt, end),
    };
  }

  #absoluteEnd(
    { metadata, isAnonymous }: StoredSession['content'],
    { ttlMs, capMs }: LifetimeChange,
    now: number,
  ): number | null {
    const { createdAt, absoluteExpiresAt } = metadata;
    if (capMs === undefined) {
      if (absoluteExpiresAt !== null && (ttlMs ?? 0) > absoluteExpiresAt - createdAt) throw ttlTooLongError();
      return absoluteExpiresAt;
    }
    const { capMs: mostMs } = this.#storedClass(isAnonymous, metadata.isRemembered);
    if (mostMs === null) return capMs === null ? null : now + capMs;
    if (capMs === null || capMs > mostMs) throw capTooLongError();
    return Math.min(now + capMs, createdAt + mostMs);
  }

  #storedClass(isAnonymous: boolean, isRemembered: boolean): LifetimeClass {
    if (isAnonymous) return this.#anonymous;
    return isRemembered ? (this.#remembered ?? this.#standard) : this.#standard;
  }
}

function asBoolean(remember: unknown): boolean {
  if (remember === undefined || typeof remember === 'boolean') return remember === true;
  throw new SessionUsageError(
    "remember must be true or false. A form sends a text, so compare it: { remember: body.remember === 'on' }.",
  );
}

function asLifetime(lifetime: unknown): { readonly ttl?: unknown; readonly absoluteTimeout?: unknown } {
  if (typeof lifetime === 'object' && lifetime !== null) {
    const { ttl, absoluteTimeout } = lifetime as SessionLifetime;
    if (ttl !== undefined || absoluteTimeout !== undefined) return { ttl, absoluteTimeout };
  }
  throw new SessionUsageError('setLifetime() needs a new ttl, a new absoluteTimeout, or both: { ttl: 900 }.');
}

function optionalMillisecondsOf(seconds: unknown, name: string): number | null {
  return seconds === null || seconds === undefined ? null : millisecondsOf(seconds, name);
}

function millisecondsOf(seconds: unknown, name: string): number {
  if (typeof seconds === 'number') {
    const milliseconds = Math.round(seconds * 1000);
    if (milliseconds >= 1 && seconds <= LONGEST_LIFETIME_S) return milliseconds;
  }
  throw new SessionUsageError(`${name} must be a number of seconds, more than 0 and at most ${LONGEST_LIFETIME_S}.`);
}

function capTooLongError(): SessionUsageError {
  return new SessionUsageError(
    'A call can only shorten the absoluteTimeout of the options: raise it there, or in lifetimes for sessions of this class alone.',
  );
}

function ttlTooLongError(): SessionUsageError {
  return new SessionUsageError(
    'ttl is longer than absoluteTimeout, which would end the session before. Pass a shorter ttl, or raise absoluteTimeout, in the options or in lifetimes for sessions of this class alone.',
  );
}
