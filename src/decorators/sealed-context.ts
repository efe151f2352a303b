import type { ExecutionContext } from '@nestjs/common';

import { PrivateSlot } from '../http/private-slot.js';

/** A context on its way through the pipes of the application. */
interface SealedContext {
  readonly sealed: () => unknown;
}

const contexts = new PrivateSlot<ExecutionContext>();

/**
 * Hides `context` from the pipes of the application: they must neither see the request in it nor copy it. It is found again by a
 * function, the one value that is passed on as it is by what copies objects (spread, class-transformer, pipes that clean up strings).
 */
export function seal(context: ExecutionContext): SealedContext {
  // class-transformer copies what a function returns.
  const sealed = () => sealed;
  contexts.set(sealed, context);
  return { sealed };
}

/** The context in what `seal()` returned, or in a copy of it; undefined: `value` is something else. */
export function unseal(value: unknown): ExecutionContext | undefined {
  if (typeof value !== 'object' || value === null || !('sealed' in value)) return undefined;
  return typeof value.sealed === 'function' ? contexts.get(value.sealed) : undefined;
}
