/** What a `SessionBackend` has to have. */
export const BACKEND_METHODS = [
  'create',
  'read',
  'replace',
  'touch',
  'delete',
  'listByUser',
  'deleteByUser',
  'ping',
  'close',
] as const;

/** What a `TokenSerializer` has to have. */
export const SERIALIZER_METHODS = ['serialize', 'verify'] as const;

/**
 * Checks what `extraProviders` may have put in the place of the module's own, which no option checks.
 *
 * @throws TypeError that names the token and what is missing
 */
export function assertProvided(token: string, value: unknown, methods: readonly string[]): void {
  assertMethods(`SessionModule cannot start: what is provided for ${token}`, value, methods);
}

/** @throws TypeError that names `what` and the methods that are missing */
export function assertMethods(what: string, value: unknown, methods: readonly string[]): void {
  const owner = Object(value) as Readonly<Record<string, unknown>>;
  const missing = methods.filter((method) => typeof owner[method] !== 'function');
  if (missing.length === 0) return;
  throw new TypeError(`${what} has no ${missing.map((method) => `${method}()`).join(', ')}.`);
}

/** The same of `SESSION_CLOCK`. @throws TypeError when it does not tell milliseconds */
export function assertClock(clock: { now(): unknown }): void {
  assertProvided('SESSION_CLOCK', clock, ['now']);
  if (Number.isFinite(clock.now())) return;
  throw new TypeError(
    'SessionModule cannot start: now() of SESSION_CLOCK has to return milliseconds since the epoch, as Date.now() does.',
  );
}
