import { ValidateBy } from 'class-validator';

/** An object with these methods, or one of the values in `or`. */
export function IsObjectWith(
  methods: readonly string[],
  { or = [], message }: { or?: readonly unknown[]; message: string },
): PropertyDecorator {
  return ValidateBy({
    name: 'isObjectWith',
    validator: {
      validate: (value: unknown) => or.includes(value) || hasMethods(value, methods),
      defaultMessage: () => message,
    },
  });
}

function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
}
