import { ValidateBy } from 'class-validator';

import { booleanHint } from './is-true-or-false.js';

/** A boolean, or the prefixes of {@link IpNetworkBinding}. */
export function IsIpBinding(): PropertyDecorator {
  return ValidateBy({
    name: 'isIpBinding',
    validator: {
      validate: (value: unknown) => typeof value === 'boolean' || isPrefixes(value),
      defaultMessage: (args) =>
        `ipBinding must be true, false, or { ipv4Prefix?: 1 to 32, ipv6Prefix?: 1 to 128 }${booleanHint(args?.value)}`,
    },
  });
}

function isPrefixes(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).every(
    ([name, prefix]) =>
      (name === 'ipv4Prefix' && isPrefix(prefix, 32)) || (name === 'ipv6Prefix' && isPrefix(prefix, 128)),
  );
}

function isPrefix(value: unknown, max: number): boolean {
  return value === undefined || (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max);
}
