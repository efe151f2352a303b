import { expect, it } from '@jest/globals';

import { inSameNetwork, normaliseIp } from '../../src/binding/ip-address.js';

it.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:192.0.2.1', '192.0.2.1'],
  ['::ffff:c000:201', '192.0.2.1'],
  ['2001:DB8:0:0::1', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::1', '::1'],
  ['not an address', null],
  ['192.0.2.999', null],
  ['', null],
])('%s is %s', (address, expected) => {
  expect(normaliseIp(address)).toBe(expected);
});

it.each([
  ['192.0.2.1', '192.0.2.254', 24, 64, true],
  ['192.0.2.1', '192.0.3.1', 24, 64, false],
  ['192.0.2.1', '192.0.2.2', 32, 128, false],
  ['2001:db8::1', '2001:db8::ffff', 24, 64, true],
  ['2001:db8::1', '2001:db8:0:1::1', 24, 64, false],
  ['192.0.2.1', '2001:db8::1', 1, 1, false],
])('%s and %s in one network of /%i and /%i: %s', (a, b, ipv4, ipv6, expected) => {
  expect(inSameNetwork(a, b, { ipv4, ipv6 })).toBe(expected);
});
