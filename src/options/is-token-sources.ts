import { ValidateBy } from 'class-validator';

const SOURCES: readonly unknown[] = ['header', 'bearer', 'cookie'];

interface OtherOptions {
  readonly useBearerToken?: unknown;
  readonly cookie?: unknown;
}

/** A non-empty list of different token sources. At least one is enabled, and `'cookie'` is listed if the option `cookie` is set. */
export function IsTokenSources(): PropertyDecorator {
  return ValidateBy({
    name: 'isTokenSources',
    validator: {
      validate: (value: unknown, args) => faultOf(value, args?.object ?? {}) === null,
      defaultMessage: (args) => `tokenSourcePriority ${faultOf(args?.value, args?.object ?? {}) ?? ''}`,
    },
  });
}

function faultOf(value: unknown, { useBearerToken, cookie }: OtherOptions): string | null {
  if (!Array.isArray(value) || value.length === 0 || !value.every((source) => SOURCES.includes(source))) {
    return `must be a list of values out of ${SOURCES.join(', ')}`;
  }
  if (new Set(value).size < value.length) return 'names a source twice';
  if (useBearerToken !== true && value.every((source) => source === 'bearer')) {
    return 'leaves no place for a token: it names bearer alone, and useBearerToken is off';
  }
  if (cookie !== undefined && !value.includes('cookie'))
    return "lacks 'cookie', though the option cookie is set: add it";
  return null;
}
