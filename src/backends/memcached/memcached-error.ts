/**
 * Why a call of Memcached failed: no response in time, a connection that was lost or cannot be made, a response to another call, wrong credentials,
 * an item that Memcached has forgotten while a session was made of it, one that is too large, or another refusal.
 */
export type MemcachedErrorCode =
  | 'NO_RESPONSE'
  | 'CONNECTION_LOST'
  | 'FOREIGN_RESPONSE'
  | 'AUTHENTICATION_FAILED'
  | 'EVICTED'
  | 'CLOSED'
  | 'UNREACHABLE'
  | 'TOO_LARGE'
  | 'REFUSED';

/**
 * What `MemcachedBackend` throws when a call has failed; the module makes a `SessionBackendError` of it. `code` goes to the log. No message holds a
 * key or a value.
 */
export class MemcachedError extends Error {
  override readonly name = 'MemcachedError';

  constructor(
    readonly code: MemcachedErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** Whether the server has responded, and has refused: out of memory, too large. The connection is as good as before. */
export function serverRefused(error: unknown): error is MemcachedError {
  return error instanceof MemcachedError && (error.code === 'REFUSED' || error.code === 'TOO_LARGE');
}
