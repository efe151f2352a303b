import type { SessionErrorCode } from '../errors/session-error.js';
import type { TokenSource } from '../options/session-options.js';

/** The call that led to an event: `createSession()` is `created`, the others go by their own names. */
export type SessionCause =
  'created' | 'start' | 'login' | 'regenerated' | 'logout' | 'logout-everywhere' | 'deleted' | 'invalidated';

/** Why a session ended. */
export type SessionEndReason =
  'logout' | 'logout-everywhere' | 'deleted' | 'invalidated' | 'replaced-at-login' | 'evicted-by-limit';

interface SessionFact {
  /** Milliseconds since the epoch, by the module's clock. */
  readonly at: number;
  /** The session, under its new id for `regenerated`. */
  readonly sessionId: string;
  /** null: anonymous, or not known here. */
  readonly userId: string | null;
}

/** What led to an event, and from where. */
export interface SessionEventOrigin {
  /** The call that led to it. */
  readonly cause: SessionCause;
  /**
   * The address of the client whose request led to it. Where the call knows no request, as `deleteSession(id)`, that of the client for
   * which the session was made. Null: not known.
   */
  readonly ipAddress: string | null;
  /** The User-Agent of the same client. */
  readonly userAgent: string | null;
  /** How the token of the session travels in that request; null: the call knows no request. */
  readonly transport: TokenSource | null;
}

/** A session was made. */
export interface SessionCreatedEvent extends SessionFact, SessionEventOrigin {
  readonly type: 'created';
}

/** The idle expiry of a session was put off. */
export interface SessionRenewedEvent extends SessionFact {
  readonly type: 'renewed';
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** A session got a new id; the old one is dead. */
export interface SessionRegeneratedEvent extends SessionFact, SessionEventOrigin {
  readonly type: 'regenerated';
  /** The id that the session had before. */
  readonly previousSessionId: string;
}

/** A session is over. Expiry sends no event: nothing watches the store for it. */
export interface SessionEndedEvent extends SessionFact, SessionEventOrigin {
  readonly type: 'ended';
  /** Why it ended. */
  readonly reason: SessionEndReason;
  /** Who ended it, as the caller says: `deleteSession(session, { by: admin.userId })`. Null: the caller did not say. */
  readonly by: string | null;
}

/** A request wanted a session and had none that it could use, presented a token that opened nothing, or changed a session that had ended. */
export interface SessionRejectedEvent {
  readonly type: 'rejected';
  /** Milliseconds since the epoch, by the module's clock. */
  readonly at: number;
  /** The exact reason, which is not sent to the client. */
  readonly reason: SessionErrorCode;
  /** null when the token did not verify. */
  readonly sessionId: string | null;
  /** The address of the client; null: not known. */
  readonly ipAddress: string | null;
}

/** What happens to sessions. No event ever holds a token or a secret. */
export type SessionEvent =
  SessionCreatedEvent | SessionRenewedEvent | SessionRegeneratedEvent | SessionEndedEvent | SessionRejectedEvent;

/** An event without its time, which `SessionEvents` adds. */
export type SessionEventBody = SessionEvent extends infer Event
  ? Event extends SessionEvent
    ? Omit<Event, 'at'>
    : never
  : never;

/** For the origin of a call that knows neither request nor session. */
export const UNKNOWN_CLIENT = { ipAddress: null, userAgent: null } as const;

/** The origin of a call that knows no request. */
export function originOf(
  cause: SessionCause,
  { ipAddress, userAgent }: Pick<SessionEventOrigin, 'ipAddress' | 'userAgent'>,
): SessionEventOrigin {
  return { cause, ipAddress, userAgent, transport: null };
}
