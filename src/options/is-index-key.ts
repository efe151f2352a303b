import { ValidateBy } from 'class-validator';

import { isSecretKey, secretKeyFault } from './is-secret-key.js';

interface Surroundings {
  readonly secretKey?: unknown;
}

/**
 * A key, or none where `secretKey` is a single one. With several the tag of a user would follow whichever of them stands last, and a
 * rotation would hide all sessions from log out everywhere.
 */
export function IsIndexKey(): PropertyDecorator {
  return ValidateBy({
    name: 'isIndexKey',
    validator: {
      validate: (value: unknown, args) => (isMissing(value) ? !needsIndexKey(args?.object ?? {}) : isSecretKey(value)),
      defaultMessage: (args) =>
        isMissing(args?.value)
          ? 'indexKey must be set where secretKey has several keys, or log out everywhere would miss the sessions that were made before the rotation: give it the key that has been the only one of secretKey so far'
          : secretKeyFault('indexKey', args?.value, { list: false }),
    },
  });
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}

function needsIndexKey({ secretKey }: Surroundings): boolean {
  return Array.isArray(secretKey) && secretKey.length > 1;
}
