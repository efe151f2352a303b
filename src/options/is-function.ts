import { ValidateBy } from 'class-validator';

/** A function. */
export function IsFunction(message: string): PropertyDecorator {
  return ValidateBy({
    name: 'isFunction',
    validator: { validate: (value: unknown) => typeof value === 'function', defaultMessage: () => message },
  });
}
