import type { ExecutionContext } from '@nestjs/common';

import { SessionUsageError, type RequiredProof } from '../errors/session-errors.js';

const REQUIREMENTS = Symbol.for('nestjs-sessionx:requirements');
const MARKED_METHODS = Symbol.for('nestjs-sessionx:marked-methods');

/** What a route requires of the user of a session. All that is listed must hold. */
export interface Requirements {
  /** Of each list, one role. */
  readonly roles?: readonly (readonly string[])[];
  /** Of each list, all permissions. */
  readonly permissions?: readonly (readonly string[])[];
  readonly proofs?: readonly RequiredProof[];
}

type Kind = keyof Requirements;

/** A class, or the function of a handler: what carries the marks. */
type Marked = object;

/**
 * What a route requires. Of each kind that of the handler, else that of the nearest class: as for `@Public()`, what is nearer is in place of what is
 * farther away.
 */
export function requirementsOf(context: Pick<ExecutionContext, 'getClass' | 'getHandler'>): Requirements {
  const ofClass = marksOf(context.getClass());
  const ofHandler = marksOf(context.getHandler());
  if (ofClass === undefined) return ofHandler ?? {};
  return ofHandler === undefined ? ofClass : { ...ofClass, ...ofHandler };
}

/**
 * Adds a requirement to a class or a handler. Two of one kind on the same target must both hold.
 *
 * @returns whether it is the first one, so that nothing checks the target yet
 */
export function addRequirement<K extends Kind>(
  kind: K,
  requirement: NonNullable<Requirements[K]>[number],
  ...[target, key, descriptor]: readonly [target: Marked, key?: string | symbol, descriptor?: PropertyDescriptor]
): boolean {
  const marked = key === undefined ? target : methodOf(target, key, descriptor);
  // A subclass has those of its parent, until it has some of the same kind.
  const known = marksOf(marked);
  const own = ownMarksOf(marked)?.[kind] ?? [];
  Reflect.defineMetadata(REQUIREMENTS, { ...known, [kind]: [...own, requirement] }, marked);
  return known === undefined;
}

function methodOf(target: Marked, key: string | symbol, descriptor: PropertyDescriptor | undefined): Marked {
  const method: unknown = descriptor?.value;
  // A static method is no handler.
  if (typeof method !== 'function' || typeof target === 'function') {
    throw new SessionUsageError(`${String(key)} is not a method. Put the decorator on a handler or on a class.`);
  }
  const { constructor } = target;
  Reflect.defineMetadata(MARKED_METHODS, [...markedMethodsOf(constructor), key], constructor);
  return method;
}

export function marksOf(marked: Marked): Requirements | undefined {
  return Reflect.getMetadata(REQUIREMENTS, marked) as Requirements | undefined;
}

export function ownMarksOf(marked: Marked): Requirements | undefined {
  return Reflect.getOwnMetadata(REQUIREMENTS, marked) as Requirements | undefined;
}

/** The handlers of a class that have requirements of their own when their decorators have run. */
export function markedMethodsOf(type: Marked): readonly (string | symbol)[] {
  return (Reflect.getOwnMetadata(MARKED_METHODS, type) ?? []) as readonly (string | symbol)[];
}
