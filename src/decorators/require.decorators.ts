import { UseGuards } from '@nestjs/common';

import { SessionUsageError, type RequiredProof } from '../errors/session-errors.js';
import { LONGEST_LIFETIME_S } from '../options/session-lifetimes-options.js';
import { areMethods } from '../sessions/proof-of-identity.js';
import { addRequirement, type Requirements } from './requirements.js';
import { RequirementsGuard } from './requirements.guard.js';

/** What `@RequireFresh()` requires of the last proof of identity. */
export interface FreshOptions {
  /** The most seconds since the proof, a whole number. */
  readonly within: number;
  /** The proof was by one of these methods. Default: by any. */
  readonly methods?: readonly string[] | undefined;
}

/**
 * Lets only users pass that have one of the roles, on a route or on a controller. No other guard is needed: without a session, or without a user, the
 * response is a 401, without the role a 403 with the code `ROLE_MISSING`. `@Public()` and `@AllowAnonymous()` do not change that.
 *
 * On a handler it is in place of the one on the controller. Of two on the same target both must hold.
 *
 * @param roles compared exactly with `user.roles`
 * @throws SessionUsageError when there is none, or one is not a text
 *
 * @example @RequireRoles('admin', 'support')
 */
export function RequireRoles(...roles: string[]): MethodDecorator & ClassDecorator {
  assertNames(roles, 'RequireRoles', 'admin');
  return requirement('roles', roles);
}

/**
 * The same for permissions: only users pass that have all of them. Otherwise a 403 with the code `PERMISSION_MISSING`.
 *
 * @param permissions compared exactly with `user.permissions`
 * @throws SessionUsageError when there is none, or one is not a text
 *
 * @example @RequirePermissions('orders:read', 'orders:write')
 */
export function RequirePermissions(...permissions: string[]): MethodDecorator & ClassDecorator {
  assertNames(permissions, 'RequirePermissions', 'orders:write');
  return requirement('permissions', permissions);
}

/**
 * Lets only users pass that have proved their identity a short time ago, by `login()` or `reauthenticate()` (ASVS 7.5). Otherwise the response is a
 * 401 with the challenge of RFC 9470 and the code `PROOF_TOO_OLD` or `PROOF_METHOD_MISSING`. No other guard is needed.
 *
 * On a handler it is in place of the one on the controller. Of two on the same target both must hold.
 *
 * @param options seconds, after which the proof is too old, or seconds and methods
 * @throws SessionUsageError when a value is wrong
 *
 * @example @RequireFresh({ within: 300, methods: ['otp', 'hwk'] })
 */
export function RequireFresh(options: number | FreshOptions): MethodDecorator & ClassDecorator {
  return requirement('proofs', requiredProof(options));
}

function requirement<K extends keyof Requirements>(
  kind: K,
  required: NonNullable<Requirements[K]>[number],
): MethodDecorator & ClassDecorator {
  const attachGuard = UseGuards(RequirementsGuard);
  return (target: object, key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    if (!addRequirement(kind, required, target, key, descriptor)) return;
    if (typeof target === 'function') attachGuard(target);
    else if (key !== undefined && descriptor !== undefined) attachGuard(target, key, descriptor);
  };
}

function assertNames(names: readonly unknown[], decorator: string, example: string): void {
  if (names.length > 0 && names.every(isName)) return;
  throw new SessionUsageError(
    `@${decorator}() takes one text or more, none of them empty: @${decorator}('${example}'). Spread a list: @${decorator}(...list).`,
  );
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value.trim() !== '';
}

function requiredProof(options: unknown): RequiredProof {
  const { within, methods, ...others } = asOptions(options);
  // A misspelled name would leave out what it requires.
  if (!isLength(within) || Object.keys(others).length > 0) throw wrongProofError();
  if (methods === undefined) return { within, methods: [] };
  // No route requires a proof by no method.
  if (!areMethods(methods) || methods.length === 0) throw wrongProofError();
  return { within, methods: Object.freeze([...methods]) };
}

function asOptions(options: unknown): Readonly<Record<string, unknown>> {
  if (typeof options === 'number') return { within: options };
  return typeof options === 'object' && options !== null ? { ...options } : {};
}

function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= LONGEST_LIFETIME_S;
}

function wrongProofError(): SessionUsageError {
  return new SessionUsageError(
    "@RequireFresh() takes a whole number of seconds, 1 or more, or such a number and a list of methods: @RequireFresh({ within: 300, methods: ['otp'] }).",
  );
}
