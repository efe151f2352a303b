import type { SessionErrorCode } from '../errors/session-error.js';
import type { TokenSource } from '../options/session-options.js';

/**
 * The call that led to an event: `createSession()` (`created`), `regenerateSessionId()` (`regenerated`), `reauthenticate()`, `deleteSession()`
 * (`deleted`), `deleteUserSessions()` (`logout-everywhere`), `invalidateSession()`, `updateUserSessions()` (`user-updated`), `credentialsChanged()`,
 * `start()`, `login()`, `logout()`. Two have no call: `rotated` is the option `rotateEvery`, `reused` a late use of an old id.
 */
export type SessionCause =
  | 'created'
  | 'start'
  | 'login'
  | 'regenerated'
  | 'rotated'
  | 'reauthenticated'
  | 'reused'
  | 'logout'
  | 'logout-everywhere'
  | 'deleted'
  | 'invalidated'
  | 'user-updated'
  | 'credentials-changed';

/** Why a session ended. */
export type SessionEndReason =
  | 'logout'
  | 'logout-everywhere'
  | 'deleted'
  | 'invalidated'
  | 'replaced-at-login'
  | 'evicted-by-limit'
  | 'reused'
  | 'credentials-changed';

interface SessionEventBase {
  /** Milliseconds since the epoch, by the module's clock. */
  readonly at: number;
  /** The session, under its new id for `regenerated`. */
  readonly sessionId: string;
  /** `null` for an anonymous session, or if not known. */
  readonly userId: string | null;
}

/** What led to an event, and from where. */
export interface SessionEventOrigin {
  /** The call that led to it. */
  readonly cause: SessionCause;
  /**
   * The address of the client whose request led to it. For a call without a request, such as `deleteSession(id)`, the address of the client
   * for which the session was created. `null` if not known.
   */
  readonly ipAddress: string | null;
  /** The User-Agent of the same client. */
  readonly userAgent: string | null;
  /** How that request carries the token; `null` for a call without a request. */
  readonly transport: TokenSource | null;
}

/** A session was created. */
export interface SessionCreatedEvent extends SessionEventBase, SessionEventOrigin {
  readonly type: 'created';
}

/** The end of a session was put off, by a use or by `setLifetime()`. */
export interface SessionRenewedEvent extends SessionEventBase {
  readonly type: 'renewed';
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** A session got a new id. The old one is dead, or an alias of it for a grace. */
export interface SessionRegeneratedEvent extends SessionEventBase, SessionEventOrigin {
  readonly type: 'regenerated';
  /** The id that the session had before. */
  readonly previousSessionId: string;
}

/** A client has used an id that the session had before, after its grace. The client is refused in any case. */
export interface SessionReusedEvent extends SessionEventBase, Omit<SessionEventOrigin, 'cause' | 'transport'> {
  readonly type: 'reused';
  /** The id that was used. `sessionId` is the present one. */
  readonly previousSessionId: string;
  /** What the option `onReuse` does about it. */
  readonly onReuse: 'ignore' | 'end-session' | 'end-user-sessions';
}

/** A session has ended. Expiry emits no event, because nothing watches the store for it. */
export interface SessionEndedEvent extends SessionEventBase, SessionEventOrigin {
  readonly type: 'ended';
  /** Why it ended. */
  readonly reason: SessionEndReason;
  /** Who ended it, if the caller passed it: `deleteSession(session, { by: admin.userId })`. Otherwise `null`. */
  readonly by: string | null;
}

/** The user of a session was changed by `updateUserSessions()`, such as their roles. */
export interface SessionUserUpdatedEvent extends SessionEventBase, SessionEventOrigin {
  readonly type: 'user-updated';
  /** The names of the fields that were changed, such as `roles`. Never their values. */
  readonly fields: readonly string[];
  /** Who changed them, if the caller passed it. Otherwise `null`. */
  readonly by: string | null;
}

/**
 * A request sent a token that does not work, also where none is required; had none where one is; was refused by the CSRF check; changed a session
 * that had ended; or its user lacks a role or a permission.
 */
export interface SessionRejectedEvent {
  readonly type: 'rejected';
  /** Milliseconds since the epoch, by the module's clock. */
  readonly at: number;
  /** The exact reason, which is not sent to the client. */
  readonly reason: SessionErrorCode;
  /** `null` if the token is invalid. */
  readonly sessionId: string | null;
  /** The address of the client; `null` if not known. */
  readonly ipAddress: string | null;
}

/** A request was refused because the proof of identity of its session is too old, or was by another method: `@RequireFresh()`. */
export interface SessionStaleEvent extends SessionEventBase {
  readonly type: 'stale';
  /** Why the proof does not suffice. */
  readonly reason: Extract<SessionErrorCode, 'PROOF_TOO_OLD' | 'PROOF_METHOD_MISSING'>;
  /** The most seconds since the proof that the route allows. */
  readonly within: number;
  /** Of which the route requires one. Empty: any will do. */
  readonly methods: readonly string[];
  /** When the user last proved their identity. Milliseconds since the epoch. */
  readonly authenticatedAt: number | null;
  /** The methods of that proof. */
  readonly authMethods: readonly string[];
  /** The address of the client; `null` if not known. */
  readonly ipAddress: string | null;
  /** Its User-Agent; `null` if not known. */
  readonly userAgent: string | null;
}

interface StoreEventBase {
  /** Milliseconds since the epoch, by the module's clock. */
  readonly at: number;
  /** Reads and writes have outages of their own, because a store may refuse only writes. */
  readonly calls: 'read' | 'write';
}

/** The store has begun to fail: requests that need it get 503. Once for each outage. */
export interface StoreDownEvent extends StoreEventBase {
  readonly type: 'store-down';
  /** `BACKEND_UNAVAILABLE` if it fails, `BACKEND_TIMEOUT` if it does not respond. */
  readonly reason: Extract<SessionErrorCode, 'BACKEND_UNAVAILABLE' | 'BACKEND_TIMEOUT'>;
}

/** The store works again. Once for each outage; from the second outage within a minute, when no call has failed for ten seconds. */
export interface StoreUpEvent extends StoreEventBase {
  readonly type: 'store-up';
}

/** What happens to sessions, and to their store. No event ever holds a token or a secret. */
export type SessionEvent =
  | SessionCreatedEvent
  | SessionRenewedEvent
  | SessionRegeneratedEvent
  | SessionReusedEvent
  | SessionEndedEvent
  | SessionUserUpdatedEvent
  | SessionRejectedEvent
  | SessionStaleEvent
  | StoreDownEvent
  | StoreUpEvent;

/** An event without its time, which `SessionEvents` adds. */
export type SessionEventBody = SessionEvent extends infer Event
  ? Event extends SessionEvent
    ? Omit<Event, 'at'>
    : never
  : never;

/** The client of a call that has neither a request nor a session. */
export const UNKNOWN_CLIENT = { ipAddress: null, userAgent: null } as const;

/** The origin of a call without a request. */
export function originOf(
  cause: SessionCause,
  { ipAddress, userAgent }: Pick<SessionEventOrigin, 'ipAddress' | 'userAgent'>,
): SessionEventOrigin {
  return { cause, ipAddress, userAgent, transport: null };
}
