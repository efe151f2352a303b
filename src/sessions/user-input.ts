import { isPlainObject } from '../is-object.js';
import { assertJsonValue, wrongTypeError } from '../records/json-value.js';
import { isStringArray, isUserId, LONGEST_USER_ID } from '../records/stored-user.js';
import type { NewSessionUser, SessionUser } from '../records/session-user.js';

/** The user of a new session as it will be stored. */
export interface CheckedUser {
  readonly userId: string;
  /** In JSON, with the lists that were left out: a copy that the caller cannot change afterwards. */
  readonly text: string;
}

/**
 * @param mostChars the most characters that the JSON text of the user may have
 * @throws SessionDataError when the user cannot be stored
 */
export function checkedUser(user: NewSessionUser, mostChars: number): CheckedUser {
  // Checked in spite of the type: the value may come from plain JavaScript or from a request body.
  const given: unknown = user;
  if (!isPlainObject(given))
    throw wrongTypeError(given, 'The user of a session must be an object with a userId.', 'user');
  const complete = completed(given);
  assertUser(complete, mostChars);
  return { userId: complete.userId, text: JSON.stringify(complete) };
}

/** @throws SessionDataError when `user` is not a user that a session can store */
export function assertUser(user: SessionUser, mostChars: number): void {
  const {
    userId,
    roles,
    permissions,
    metadata,
  }: Readonly<Record<'userId' | 'roles' | 'permissions' | 'metadata', unknown>> = user;
  assertJsonValue(user, 'user', mostChars);
  assertUserId(userId);
  if (!isStringArray(roles)) throw wrongTypeError(roles, 'user.roles is an array of strings.', 'user.roles');
  if (!isStringArray(permissions)) {
    throw wrongTypeError(permissions, 'user.permissions is an array of strings.', 'user.permissions');
  }
  if (!isPlainObject(metadata)) throw wrongTypeError(metadata, 'user.metadata is an object.', 'user.metadata');
}

/** @throws SessionDataError when `userId` is not a string of 1 to 512 characters */
export function assertUserId(userId: unknown): asserts userId is string {
  if (isUserId(userId)) return;
  throw wrongTypeError(
    userId,
    `user.userId is a string of 1 to ${LONGEST_USER_ID} well-formed characters, and was ${kindOf(userId)}.${typeof userId === 'number' ? ' Turn it into one with String(id).' : ''}`,
    'user.userId',
  );
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return value === '' ? 'an empty string' : 'a string that is not';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/**
 * The properties of `user`, which may be an instance of a class, such as an entity, and the lists that were left out. Optional fields are often
 * passed as `undefined`, which has the same meaning as leaving them out.
 */
function completed(user: Readonly<Record<string, unknown>>): SessionUser {
  // Copied first and then completed: V8 gives each object that a spread is not the beginning of a hidden class of its own, which is slow.
  const complete = { ...user };
  for (const key of Object.keys(complete)) if (complete[key] === undefined) Reflect.deleteProperty(complete, key);
  if (!Object.hasOwn(complete, 'roles')) complete.roles = [];
  if (!Object.hasOwn(complete, 'permissions')) complete.permissions = [];
  if (!Object.hasOwn(complete, 'metadata')) complete.metadata = {};
  return complete as unknown as SessionUser;
}
