import { ValidateBy } from 'class-validator';

import { isSecretKey, SHORTEST_KEY } from '../tokens/secret-key.js';

/** A key, or a list of keys, of which none is short or one repeated character. The message never shows a key. */
export function IsSecretKeys(): PropertyDecorator {
  return ValidateBy({
    name: 'isSecretKeys',
    validator: {
      validate: (value: unknown) =>
        Array.isArray(value) ? value.length > 0 && value.every(isSecretKey) : isSecretKey(value),
      defaultMessage: (args) => secretKeyFault(args?.property ?? 'key', args?.value, { list: true }),
    },
  });
}

/** What is wrong with an option that holds a key, or with `list` also keys. */
export function secretKeyFault(option: string, value: unknown, { list }: { readonly list: boolean }): string {
  return (
    `${option}${value === undefined ? ' is not set (is the environment variable set?); it' : ''} must be ${list ? 'a string, or a non-empty list of strings,' : 'a string'} of at least ${SHORTEST_KEY} ` +
    'characters each and not one character repeated; generateSecretKey() makes one'
  );
}
