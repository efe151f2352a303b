import { SessionNotFoundError, SessionUsageError } from '../errors/session-errors.js';
import type { ClientIdentity } from '../http/client-identity.js';
import { isPlainObject } from '../is-object.js';
import { LONGEST_GRACE_S } from '../options/session-options.js';
import { isSessionId, type SessionId } from '../tokens/session-secret.js';
import { Session } from './session.js';

/**
 * Checks that an argument is a session id. The text may come from a client, so any other text counts as a session that does not exist.
 *
 * @throws SessionNotFoundError
 */
export function knownIdOf(argument: unknown): SessionId {
  if (isSessionId(argument)) return argument;
  throw new SessionNotFoundError('Not a session id. Did you pass a token? Pass session.sessionId.');
}

/** Checks that an argument is a session object. @throws SessionUsageError */
export function sessionOf(argument: unknown): Session {
  if (argument instanceof Session) return argument;
  throw new SessionUsageError(
    'Not a session object. Pass the object that @CurrentSession(), current() or getSession() returns, not a copy of it.',
  );
}

/**
 * Checks the id of the session that is kept when all others of its user end. It never comes from a client, so another text is a programming
 * error. It must not end all sessions.
 *
 * @throws SessionUsageError
 */
export function sparedIdOf(argument: unknown): SessionId | undefined {
  if (argument === undefined || isSessionId(argument)) return argument;
  throw new SessionUsageError('`except` is not a session id. Pass session.sessionId, not a token.');
}

/** In spite of the type: of a text in the place of the options, every choice would be ignored. @throws SessionUsageError */
export function optionsOf<Options extends object>(argument: Options): Options {
  if (isPlainObject(argument)) return argument;
  throw new SessionUsageError(
    'The last argument is an object with options, such as { by: admin.userId }, or left out.',
  );
}

/** Checks the client of a session. @throws SessionUsageError */
export function clientIdentityOf(argument: unknown): ClientIdentity {
  if (isPlainObject(argument) && isTextOrNothing(argument.ipAddress) && isTextOrNothing(argument.userAgent))
    return argument;
  throw new SessionUsageError(
    'The client of a session is an object with ipAddress and userAgent, each a string, or null or left out if it is not known.',
  );
}

function isTextOrNothing(value: unknown): boolean {
  return value === undefined || value === null || typeof value === 'string';
}

/** Checks the grace for an old id. @returns milliseconds; 0: none @throws SessionUsageError */
export function graceMsOf(options: unknown): number {
  const grace = isPlainObject(options) ? (options.grace ?? 0) : NaN;
  if (typeof grace === 'number' && grace >= 0 && grace <= LONGEST_GRACE_S) return Math.round(grace * 1000);
  throw new SessionUsageError(
    `The second argument of regenerateSessionId() is { grace }, a number of seconds from 0 to ${LONGEST_GRACE_S}.`,
  );
}
