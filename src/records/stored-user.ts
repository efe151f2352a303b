import { isPlainObject } from '../is-object.js';
import type { SessionUser } from './session-user.js';
import { isStorable } from './json-value.js';

export const LONGEST_USER_ID = 512;

/** Whether a value is a user id: 1 to 512 characters, well-formed. */
export function isUserId(value: unknown): value is string {
  // Half of a surrogate pair has no bytes of its own: two such ids would be one to a hash.
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_USER_ID && value.isWellFormed();
}

/** Whether a value is an array of strings, as roles and permissions are. */
export function isStringArray(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isString);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** Whether a value that `JSON.parse` has made is a user that this module could have written. */
export function isStoredUser(parsed: unknown): parsed is SessionUser {
  return (
    isPlainObject(parsed) &&
    isUserId(parsed.userId) &&
    isStringArray(parsed.roles) &&
    isStringArray(parsed.permissions) &&
    isPlainObject(parsed.metadata) &&
    isStorable(parsed)
  );
}
