import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';
import type { Clock } from '../clock.js';
import type { RandomPool } from '../tokens/random-pool.js';
import type { AnsweredSession } from './answered-session.js';
import type { SessionState } from './session-state.js';
import type { Session } from './session.js';

/** What a session object needs of its surroundings. */
export interface SessionSurroundings {
  readonly clock: Clock;
  readonly random: RandomPool;
  readonly maxSessionBytes: number;
}

/** The request that a session was loaded for, as far as a session is concerned. */
export interface SessionRequest {
  regenerate(session: Session): Promise<AnsweredSession>;
  /** Called before the holder gets at what it may change. */
  used(state: SessionState): void;
  /** What an event says of the request that led to it. */
  origin(cause: SessionCause): SessionEventOrigin;
  /** Called before flash messages are taken. False: not by this request, whose response nobody reads. */
  handsOutFlash(): boolean;
  /** Called with what is thrown at the application, for the log. */
  misused(error: Error): void;
  /** Called after the application has ended `session` by another call than `logout()`. */
  ended(session: Session): void;
}
