import { messageOf } from '../errors/message-of.js';

/** The package that signs and verifies JWTs. */
export type Jose = typeof import('jose');

/**
 * Loads `jose`, an optional peer, so that only applications with `tokenFormat: 'jwt'` need it.
 *
 * @param load for tests
 * @throws TypeError that says what to install
 */
export async function loadJose(load?: () => Promise<Jose>): Promise<Jose> {
  try {
    if (load !== undefined) return await load();
    // Directly in `try`, and awaited: so bundlers accept that it is not installed.
    return await import('jose');
  } catch (error) {
    const reason = isMissing(error) ? 'which is not installed' : `which cannot be loaded (${messageOf(error)})`;
    throw new TypeError(
      `SessionModule cannot start: tokenFormat 'jwt' needs the package jose, ${reason}. Run: npm install jose@6`,
      { cause: error },
    );
  }
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}
