import { SessionNotFoundError } from '../errors/session-errors.js';

/** The error for a change that comes after the end of its session. */
export function sessionEnded(): SessionNotFoundError {
  return new SessionNotFoundError(
    'The session has ended, so the change was not stored. After a logout use the session that start() or login() returns, outside of a request the one that regenerateSessionId() returns.',
    'SESSION_ENDED',
  );
}
