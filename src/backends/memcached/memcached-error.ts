/** Why a call of Memcached failed. `code` goes to the log; no message here ever holds a key or a value. */
export type MemcachedErrorCode =
  | 'NO_ANSWER'
  | 'CONNECTION_LOST'
  | 'FOREIGN_ANSWER'
  | 'AUTHENTICATION_FAILED'
  | 'EVICTED'
  | 'CLOSED'
  | 'UNREACHABLE'
  | 'TOO_LARGE'
  | 'REFUSED';

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
export function isRefusal(error: unknown): error is MemcachedError {
  return error instanceof MemcachedError && (error.code === 'REFUSED' || error.code === 'TOO_LARGE');
}
