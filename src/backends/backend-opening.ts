import { PrivateSlot } from '../http/private-slot.js';
import type { BackendContext, SessionBackend } from './session-backend.interface.js';

/** How a backend object is open. */
interface Opening {
  readonly context: BackendContext;
  readonly opened: Promise<void>;
  /** How many have opened it and not closed it yet; 0: it is closed, or was refused. */
  users: number;
  closed: Promise<void>;
}

const openings = new PrivateSlot<Opening>();

/**
 * Opens `backend`, or joins those who have it open: one object may serve several modules, if all of them open it with the same prefix and
 * timeout; it goes by the clock of the first. A backend that wraps others opens and closes them by these functions.
 *
 * @throws TypeError when it is open with another prefix or timeout; and whatever its own `open()` throws
 */
export async function openBackend(backend: SessionBackend, context: BackendContext): Promise<void> {
  const opening = openingFor(backend, context);
  opening.users++;
  try {
    await opening.opened;
  } catch (error) {
    opening.users--;
    throw error;
  }
}

/** Opens all of them at once, or none. @throws as `openBackend()` */
export async function openBackends(backends: readonly SessionBackend[], context: BackendContext): Promise<void> {
  const openings = backends.map((backend) => ({ backend, opened: openBackend(backend, context) }));
  try {
    await Promise.all(openings.map(({ opened }) => opened));
  } catch (error) {
    const refused = () => 'not open, so there is nothing to close';
    await Promise.all(openings.map(({ backend, opened }) => opened.then(() => closeBackend(backend), refused)));
    throw error;
  }
}

/** Gives up what one `openBackend()` opened; the last one closes the backend, which may be opened anew then. */
export async function closeBackend(backend: SessionBackend): Promise<void> {
  const opening = openings.get(backend);
  if (opening === undefined || opening.users === 0) return;
  opening.users--;
  if (opening.users > 0) return;
  opening.closed = backend.close();
  await opening.closed;
}

function openingFor(backend: SessionBackend, context: BackendContext): Opening {
  const current = openings.get(backend);
  if (current !== undefined && current.users > 0) {
    assertSameContext(current.context, context);
    return current;
  }
  const opening = { context, opened: openAfter(current, backend, context), users: 0, closed: Promise.resolve() };
  openings.set(backend, opening);
  return opening;
}

async function openAfter(former: Opening | undefined, backend: SessionBackend, context: BackendContext): Promise<void> {
  // The caller of close() learns of a failure.
  await former?.closed.catch(() => undefined);
  await backend.open?.(context);
}

function assertSameContext(one: BackendContext, other: BackendContext): void {
  const differences = [
    ...(one.keyPrefix === other.keyPrefix ? [] : [`backendKeyPrefix (${one.keyPrefix} and ${other.keyPrefix})`]),
    ...(one.timeoutMs === other.timeoutMs ? [] : [`backendTimeout (${one.timeoutMs} and ${other.timeoutMs})`]),
  ];
  if (differences.length === 0) return;
  throw sharedBackendError(differences.join(' and '));
}

/** @param what the option in which those who share a backend object differ */
export function sharedBackendError(what: string): TypeError {
  return new TypeError(
    `One backend object is used by two SessionModules with different ${what}: make a backend object for each of them, on the same server if you like.`,
  );
}
