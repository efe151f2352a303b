import { SessionNotFoundError, SessionUsageError } from '../errors/session-errors.js';
import { isSessionId, type SessionId } from '../tokens/session-secret.js';
import { Session } from './session.js';

/**
 * The id that an argument should be. It may come from a client, so another text names no session, as one that has ended.
 *
 * @throws SessionNotFoundError
 */
export function knownIdOf(argument: unknown): SessionId {
  if (isSessionId(argument)) return argument;
  throw new SessionNotFoundError('This is not a session id. Is it a token?');
}

/** The session that an argument should be. @throws SessionUsageError */
export function sessionOf(argument: unknown): Session {
  if (argument instanceof Session) return argument;
  throw new SessionUsageError(
    'This is not a session: pass the object that @CurrentSession(), current() or getSession() gives, not a copy of it.',
  );
}

/**
 * The id of the session that is spared when all others of its user end. It never comes from a client, so another text is a mistake, which
 * must not end all.
 *
 * @throws SessionUsageError
 */
export function sparedIdOf(argument: unknown): SessionId | undefined {
  if (argument === undefined || isSessionId(argument)) return argument;
  throw new SessionUsageError('`except` is not a session id: pass session.sessionId. A token is none.');
}
