import { randomBytes } from 'node:crypto';

/** Characters. */
export const SHORTEST_KEY = 32;

/**
 * A new secret for the `secretKey` option: 32 random bytes as 64 hexadecimal digits.
 *
 * @example `node -e "import('nestjs-sessionx').then((m) => console.log(m.generateSecretKey()))"`
 */
export function generateSecretKey(): string {
  return randomBytes(32).toString('hex');
}

/** Whether a value is a key that is neither short nor one repeated character. */
export function isSecretKey(value: unknown): boolean {
  return typeof value === 'string' && value.length >= SHORTEST_KEY && new Set(value).size > 1;
}

/** Checks the keys of a serializer. @throws TypeError that shows no key */
export function assertSecretKeys(keys: unknown, owner: string): void {
  if (Array.isArray(keys) && keys.length > 0 && keys.every(isSecretKey)) return;
  throw new TypeError(
    `${owner} takes keys: a list of strings of at least ${SHORTEST_KEY} characters each and not one character repeated; generateSecretKey() makes one.`,
  );
}
