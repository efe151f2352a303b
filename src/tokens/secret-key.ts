import { randomBytes } from 'node:crypto';

/**
 * A new secret for the `secretKey` option: 32 random bytes as 64 hexadecimal digits.
 *
 * @example `node -e "import('nestjs-sessionx').then((m) => console.log(m.generateSecretKey()))"`
 */
export function generateSecretKey(): string {
  return randomBytes(32).toString('hex');
}
