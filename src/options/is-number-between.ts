import { ValidateBy } from 'class-validator';

/** A finite number in a range, including its limits. A single message names all conditions. */
export function IsNumberBetween(least: number, most: number, unit: string, { whole = false } = {}): PropertyDecorator {
  return ValidateBy({
    name: 'isNumberBetween',
    validator: {
      validate: (value: unknown) =>
        typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value)),
      defaultMessage: (args) => {
        const kind = whole ? 'a whole number' : 'a number';
        const hint = typeof args?.value === 'string' ? '; it is a string, so wrap it in Number()' : '';
        return `${args?.property ?? 'option'} must be ${kind}${unit === '' ? '' : ` of ${unit}`}, from ${least} to ${most}${hint}`;
      },
    },
  });
}
