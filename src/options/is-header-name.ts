import { ValidateBy } from 'class-validator';

/** RFC 9110, section 5.6.2. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;

/** Headers that have a meaning for browsers, proxies or the framework. */
const TAKEN =
  /^(authorization|cache-control|connection|cookie|date|expires|host|location|origin|referer|set-cookie|te|trailer|transfer-encoding|upgrade|vary|via|www-authenticate|content-.*|access-control-.*|sec-.*|proxy-.*)$/i;

/** The name of a header that has no other meaning. */
export function IsHeaderName(option: string): PropertyDecorator {
  return ValidateBy({
    name: 'isHeaderName',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && NAME.test(value) && !TAKEN.test(value),
      defaultMessage: (args) =>
        typeof args?.value === 'string' && TAKEN.test(args.value)
          ? `${option} cannot be ${args.value}, which HTTP uses for something else: choose another name`
          : `${option} is the name of a header: letters, digits and hyphens, at most 64`,
    },
  });
}
