import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';

/** What a session asks the request that it belongs to, or notifies it of. The holder is the code that uses the session, such as a handler. */
export interface SessionListener {
  /** The holder accesses `user` or `data`, or adds a flash message. */
  accessed(): void;
  /** A change of the holder is about to be stored. @throws SessionCsrfError when another site may have sent the request */
  beforeWrite(): void;
  /** Whether the session was read for a response, or for a message, that is still to be made. One that is held for longer may be out of date. */
  isRecent(): boolean;
  /** The holder wants to take flash messages. @returns `false` if no client reads the response of this request */
  prepareFlash(): boolean;
  /** The holder wants to take a one-time value. @returns `false` if no client reads the response of this request */
  prepareOneTime(): boolean;
  /** Whether the request is no use of the session, so that it does not count as the last one. */
  isPassive(): boolean;
  /** The holder has used the session wrongly. The error is thrown next. */
  misused(error: Error): void;
  /**
   * Calls `callback` once when the connection of the request is closed: for HTTP, when its response is. At once if it is closed already.
   *
   * @returns a function that stops waiting; `null`: nothing notifies of the close
   */
  whenClosed(callback: () => void): (() => void) | null;
  /** The client and the call for an event. */
  eventOrigin(cause: SessionCause): SessionEventOrigin;
}
