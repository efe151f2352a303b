import { ValidateBy } from 'class-validator';

const SOURCES: readonly unknown[] = ['header', 'bearer'];

/** A non-empty list of different token sources, of which one at least is not switched off. */
export function IsTokenSources(): PropertyDecorator {
  return ValidateBy({
    name: 'isTokenSources',
    validator: {
      validate: (value: unknown, args) =>
        Array.isArray(value) &&
        (value.some((source) => source !== 'bearer') || usesBearer(args?.object)) &&
        value.length > 0 &&
        new Set(value).size === value.length &&
        value.every((source) => SOURCES.includes(source)),
      defaultMessage: () =>
        `tokenSourcePriority must be a list of different values out of ${SOURCES.join(', ')}; without useBearerToken, not bearer alone`,
    },
  });
}

function usesBearer(options: object | undefined): boolean {
  return options !== undefined && 'useBearerToken' in options && options.useBearerToken === true;
}
