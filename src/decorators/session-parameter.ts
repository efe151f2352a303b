import type { ExecutionContext } from '@nestjs/common';

import { PrivateSlot } from '../http/private-slot.js';
import type { Session } from '../sessions/session.js';

/** The properties of a session that a decorator can pick. */
export type SessionProperty = Exclude<keyof Session, 'addFlashMessage' | 'getFlashMessages' | 'toJSON'>;

/** What a session decorator hands to its pipe: its factory has no access to providers, a pipe has. */
export interface SessionParameter {
  readonly context: ExecutionContext;
  /** The property of the session that is wanted; undefined: the session. */
  readonly property: SessionProperty | undefined;
  /** The name of the one-time value that is wanted; undefined: none. */
  readonly oneTime?: string;
}

/** A parameter on its way through the pipes of the application, which run before ours. */
export interface SealedParameter {
  readonly sealed: () => unknown;
}

const parameters = new PrivateSlot<SessionParameter>();

/**
 * Hides `parameter` from the pipes of the application: they must neither see the request in it nor copy it. It is found again by a
 * function, the one value that is passed on as it is by what copies objects (spread, class-transformer, pipes that clean up strings).
 */
export function seal(parameter: SessionParameter): SealedParameter {
  // class-transformer copies what a function returns.
  const sealed = () => sealed;
  parameters.set(sealed, parameter);
  return { sealed };
}

/** The parameter in what `seal()` returned, or in a copy of it; undefined: `value` is something else. */
export function unseal(value: unknown): SessionParameter | undefined {
  if (typeof value !== 'object' || value === null || !('sealed' in value)) return undefined;
  return typeof value.sealed === 'function' ? parameters.get(value.sealed) : undefined;
}

/**
 * Takes its declared type off a parameter. `ValidationPipe` with `validateCustomDecorators` would otherwise hold the rules of that class
 * against a value that is not there yet; with `Object` it passes the value on. Compilers emit the types of a method before they apply the
 * decorators of its parameters.
 */
export function hideType(target: object, method: string | symbol | undefined, index: number): void {
  if (method === undefined) return;
  const types: unknown = Reflect.getOwnMetadata(PARAMETER_TYPES, target, method);
  if (Array.isArray(types)) Reflect.defineMetadata(PARAMETER_TYPES, types.with(index, Object), target, method);
}

const PARAMETER_TYPES = 'design:paramtypes';
