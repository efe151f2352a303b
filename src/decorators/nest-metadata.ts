/** Keys under which Nest keeps what its decorators say. They are no part of its public interface; tests hold each of them. */
export const PATH_METADATA = 'path';
export const GUARDS_METADATA = '__guards__';
export const PIPES_METADATA = '__pipes__';
export const SSE_METADATA = '__sse__';
