import { ValidateBy } from 'class-validator';

/**
 * A boolean.
 *
 * @param name how the message names the option. Default: the property
 */
export function IsTrueOrFalse(name?: string): PropertyDecorator {
  return ValidateBy({
    name: 'isTrueOrFalse',
    validator: {
      validate: (value: unknown) => typeof value === 'boolean',
      defaultMessage: (args) => notBoolean(name ?? args?.property ?? 'option', args?.value),
    },
  });
}

/** The message for an option that is no boolean. */
export function notBoolean(option: string, value: unknown): string {
  return `${option} must be true or false${booleanHint(value)}`;
}

/** Environment variables are strings, and the string `'false'` is truthy. */
export function booleanHint(value: unknown): string {
  return value === 'true' || value === 'false' ? "; it is a string, so compare it with 'true'" : '';
}
