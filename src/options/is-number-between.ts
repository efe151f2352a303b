import { ValidateBy } from 'class-validator';

/**
 * A finite number in a range, including its limits. A single message names all conditions.
 *
 * @param name how the message names the option. Default: the property
 */
export function IsNumberBetween(
  least: number,
  most: number,
  unit: string,
  { whole = false, name }: { readonly whole?: boolean; readonly name?: string } = {},
): PropertyDecorator {
  return ValidateBy({
    name: 'isNumberBetween',
    validator: {
      validate: (value: unknown) =>
        typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value)),
      defaultMessage: (args) => {
        const kind = whole ? 'a whole number' : 'a number';
        const hint = typeof args?.value === 'string' ? '; it is a string, so wrap it in Number()' : '';
        return `${name ?? args?.property ?? 'option'} must be ${kind}${unit === '' ? '' : ` of ${unit}`}, from ${least} to ${most}${hint}`;
      },
    },
  });
}
