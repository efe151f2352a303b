import { ValidateBy } from 'class-validator';

/** RFC 9110, section 5.6.2. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;

/** Those mean something else to browsers, proxies or the framework. */
const TAKEN =
  /^(authorization|cache-control|connection|cookie|date|expires|host|location|origin|referer|set-cookie|te|trailer|transfer-encoding|upgrade|vary|via|www-authenticate|content-.*|access-control-.*|sec-.*|proxy-.*)$/i;

/** The name of a header that is free for us. */
export function IsHeaderName(option: string): PropertyDecorator {
  return ValidateBy({
    name: 'isHeaderName',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && NAME.test(value) && !TAKEN.test(value),
      defaultMessage: (args) =>
        typeof args?.value === 'string' && TAKEN.test(args.value)
          ? `${option} cannot be ${args.value}, which has a meaning of its own`
          : `${option} is the name of a header: letters, digits and hyphens, at most 64`,
    },
  });
}
