import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';

/** Notified of what the holder of a session does. The request that loaded the session implements it. */
export interface SessionListener {
  /** The holder is given `user`, `data` or a flash message to change. */
  accessed(): void;
  /** Something is about to be stored for the holder. @throws SessionCsrfError when another site may have sent the request */
  beforeWrite(): void;
  /** The holder wants to take flash messages. False: not for this request, because nobody reads its response. */
  mayTakeFlash(): boolean;
  /** The holder has used the session wrongly. The error is thrown next. */
  misused(error: Error): void;
  /** The client and call that an event names. */
  origin(cause: SessionCause): SessionEventOrigin;
}
