import type { SessionErrorCode } from '../errors/session-error.js';

/** Why a session ended. */
export type SessionEndReason =
  'logout' | 'logout-everywhere' | 'deleted' | 'invalidated' | 'replaced-at-login' | 'evicted-by-limit';

interface SessionFact {
  /** Milliseconds since the epoch, by the module's clock. */
  readonly at: number;
  readonly sessionId: string;
  /** null: anonymous, or not known here. */
  readonly userId: string | null;
}

/** A session was made. */
export interface SessionCreatedEvent extends SessionFact {
  readonly type: 'created';
}

/** The idle expiry of a session was put off. */
export interface SessionRenewedEvent extends SessionFact {
  readonly type: 'renewed';
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** A session got a new id; the old one is dead. */
export interface SessionRegeneratedEvent extends SessionFact {
  readonly type: 'regenerated';
  readonly previousSessionId: string;
}

/** A session is over. Expiry sends no event: nobody watches the store for it. */
export interface SessionEndedEvent extends SessionFact {
  readonly type: 'ended';
  readonly reason: SessionEndReason;
}

/** A request wanted a session and had none that it could use, presented a token that opened nothing, or changed a session that had ended. */
export interface SessionRejectedEvent {
  readonly type: 'rejected';
  readonly at: number;
  /** The exact reason, which the client is not told. */
  readonly reason: SessionErrorCode;
  /** null when the token did not verify. */
  readonly sessionId: string | null;
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
