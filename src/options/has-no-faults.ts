import { ValidateBy } from 'class-validator';

/**
 * A value in which `faultsOf` finds nothing. In the message each fault is a line of the list.
 *
 * @param faultsOf gets the value, and the object that has it
 */
export function HasNoFaults(
  name: string,
  faultsOf: (value: unknown, owner: object) => readonly string[],
): PropertyDecorator {
  return ValidateBy({
    name,
    validator: {
      validate: (value: unknown, args) => faultsOf(value, args?.object ?? {}).length === 0,
      defaultMessage: (args) => faultsOf(args?.value, args?.object ?? {}).join('\n- '),
    },
  });
}
