import { ValidateBy } from 'class-validator';

const SHORTEST = 32;

/** A key, or with `list` also a list of keys, of which none is short or one repeated character. The message never shows a key. */
export function IsSecretKey({ list }: { list: boolean }): PropertyDecorator {
  return ValidateBy({
    name: 'isSecretKey',
    validator: {
      validate: (value: unknown) =>
        list && Array.isArray(value) ? value.length > 0 && value.every(isKey) : isKey(value),
      defaultMessage: (args) =>
        `${args?.property ?? 'key'}${args?.value === undefined ? ' is not set (is the environment variable set?); it' : ''} must be ${list ? 'a string, or a non-empty list of strings,' : 'a string'} of at least ${SHORTEST} ` +
        'characters each and not one character repeated; generateSecretKey() makes one',
    },
  });
}

function isKey(value: unknown): boolean {
  return typeof value === 'string' && value.length >= SHORTEST && new Set(value).size > 1;
}
