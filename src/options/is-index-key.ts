import { ValidateBy } from 'class-validator';

import { isSecretKey } from '../tokens/secret-key.js';
import { secretKeyFault } from './is-secret-key.js';

interface OtherOptions {
  readonly secretKey?: unknown;
}

/**
 * A key, which may be missing if `secretKey` is a single key. With several keys it is required: otherwise the tag of a user would change at a
 * rotation, and log out everywhere would miss all earlier sessions.
 */
export function IsIndexKey(): PropertyDecorator {
  return ValidateBy({
    name: 'isIndexKey',
    validator: {
      validate: (value: unknown, args) => (isMissing(value) ? !needsIndexKey(args?.object ?? {}) : isSecretKey(value)),
      defaultMessage: (args) =>
        isMissing(args?.value)
          ? 'indexKey must be set where secretKey has several keys, or log out everywhere would miss the sessions that were created before the rotation: set it to the key that was the only one of secretKey so far'
          : secretKeyFault('indexKey', args?.value, { list: false }),
    },
  });
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}

function needsIndexKey({ secretKey }: OtherOptions): boolean {
  return Array.isArray(secretKey) && secretKey.length > 1;
}
