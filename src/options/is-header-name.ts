import { ValidateBy } from 'class-validator';

/** RFC 9110, section 5.6.2; without what the headers of a request inherit as an object. */
const NAME = /^(?!(?:__proto__|constructor)$)[!#$%&'*+\-.^_`|~0-9a-z]{1,64}$/i;

/** Headers that have a meaning for browsers, proxies or the framework. */
const TAKEN =
  /^(age|allow|authorization|cache-control|clear-site-data|connection|cookie|date|etag|expires|forwarded|host|link|location|origin|range|referer|retry-after|set-cookie|strict-transport-security|te|trailer|transfer-encoding|upgrade|user-agent|vary|via|www-authenticate|accept.*|access-control-.*|content-.*|if-.*|proxy-.*|sec-.*|x-accel-.*|x-forwarded-.*)$/i;

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
