import { closeBackend, openBackend } from '../backends/backend-opening.js';
import type { BackendContext, SessionBackend } from '../backends/session-backend.interface.js';
import { SessionBackendError } from '../errors/session-errors.js';

/**
 * Opens the backend once: when the application starts, or at the first use if that is earlier (an async provider, a test that does not
 * call `init()`, a lazily loaded module, for which Nest calls no start hook).
 */
export class BackendLifecycle {
  /** Whether the backend is open, so that calls need not wait for `open()`. */
  isOpen = false;
  #isClosed = false;
  #opening: Promise<void> | undefined;

  constructor(
    private readonly backend: SessionBackend,
    private readonly context: BackendContext,
  ) {}

  /** @throws what the backend's `open()` throws, the same at each call; SessionBackendError after `close()` */
  open(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    return (this.#opening ??= this.#open());
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.isOpen = false;
    if (await this.#wasOpened()) await closeBackend(this.backend);
  }

  async #open(): Promise<void> {
    await openBackend(this.backend, this.context);
    this.isOpen = !this.#isClosed;
  }

  async #wasOpened(): Promise<boolean> {
    try {
      await this.#opening;
      return this.#opening !== undefined;
    } catch {
      // The caller that opened it gets the error.
      return false;
    }
  }
}

function closedError(): SessionBackendError {
  return new SessionBackendError(
    'BACKEND_UNAVAILABLE',
    'The session store is closed, because the application has shut down. Use sessions before its last shutdown hook.',
  );
}
