import { SessionUsageError } from '../errors/session-errors.js';

/** The most methods that one proof may name. */
const MOST_METHODS = 16;
/** The most characters of a method. */
const LONGEST_METHOD = 128;

/** How a user has proved their identity. */
export interface ProofOptions {
  /**
   * The methods, such as `['pwd', 'otp']`: any texts, of which RFC 8176 names many. At most 16 of at most 128 characters. Default: none.
   * They become `session.authMethods`.
   */
  readonly methods?: readonly string[] | undefined;
}

/** Checks the methods of a proof. @returns a copy without repetitions @throws SessionUsageError */
export function authMethodsOf(methods: unknown): readonly string[] {
  if (methods === undefined) return [];
  if (!areMethods(methods)) {
    throw new SessionUsageError(
      `methods must be an array of at most ${MOST_METHODS} texts with 1 to ${LONGEST_METHOD} well-formed characters, such as ['pwd', 'otp'].`,
    );
  }
  return [...new Set(methods)];
}

/** Whether a value is a list of methods that a session can hold. It may be empty. */
export function areMethods(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= MOST_METHODS && value.every(isMethod);
}

function isMethod(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_METHOD && value.isWellFormed();
}
