import { SessionDataError } from '../errors/session-errors.js';
import { assertJsonValue } from '../records/json-value.js';
import type { NewSessionUser, SessionUser } from './session-user.js';

const LONGEST_USER_ID = 512;

/**
 * The user of a new session, with the lists that were left out, as a copy that the caller cannot change afterwards.
 *
 * @throws SessionDataError when the user cannot be stored
 */
export function toSessionUser(user: NewSessionUser): SessionUser {
  const complete: SessionUser = { roles: [], permissions: [], metadata: {}, ...withoutUndefined(user) };
  assertUser(complete);
  return JSON.parse(JSON.stringify(complete)) as SessionUser;
}

/** @throws SessionDataError when `user` is not a user that a session can store */
export function assertUser(user: SessionUser): void {
  // The types say so already; what arrives may come from plain JavaScript, or from a body.
  const { metadata }: { metadata: unknown } = user;
  assertUserId(user.userId);
  assertJsonValue(user, 'user');
  if (!Array.isArray(user.roles)) throw new SessionDataError('user.roles is an array of strings.', 'user.roles');
  if (!Array.isArray(user.permissions)) {
    throw new SessionDataError('user.permissions is an array of strings.', 'user.permissions');
  }
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw new SessionDataError('user.metadata is an object.', 'user.metadata');
  }
}

/** @throws SessionDataError when `userId` is not a string of 1 to 512 characters */
export function assertUserId(userId: unknown): asserts userId is string {
  // Half of a surrogate pair has no bytes of its own: two such ids would be one to a hash.
  const isText = typeof userId === 'string' && userId.isWellFormed();
  if (isText && userId !== '' && userId.length <= LONGEST_USER_ID) return;
  throw new SessionDataError(
    `user.userId is a string of 1 to ${LONGEST_USER_ID} well-formed characters, and was ${kindOf(userId)}; turn a number into one with String(id).`,
    'user.userId',
  );
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return value === '' ? 'an empty string' : 'a string that is not';
  return `a ${typeof value}`;
}

/** Optional fields are often passed as `undefined`; in an argument that means the same as to leave them out. */
function withoutUndefined(user: NewSessionUser): NewSessionUser {
  const entries = Object.entries(user).filter(([, value]: [string, unknown]) => value !== undefined);
  return Object.fromEntries(entries) as unknown as NewSessionUser;
}
