import { expect, it } from '@jest/globals';
import { parseCookie } from 'cookie';
import fc from 'fast-check';
import type { IncomingMessage } from 'node:http';

import { SessionCookieOptions } from '../../src/options/session-cookie-options.js';
import { CookieTransport } from '../../src/transports/cookie.transport.js';
import type { TokenReading } from '../../src/transports/token-transport.interface.js';

const NAME = 'sid';
const transport = new CookieTransport(Object.assign(new SessionCookieOptions(), { name: NAME, secure: false }));

function read(cookie: string): TokenReading {
  return transport.read({ headers: { cookie } } as IncomingMessage);
}

/** Pair by pair, by the library. */
function expected(header: string): TokenReading {
  const values = header
    .split(';')
    .filter((pair) => pair.includes(`${NAME}=`))
    .map((pair) => parseCookie(pair, { decode: (value) => value })[NAME])
    .filter((value) => value !== undefined && value !== '') as string[];
  const [token] = values;
  if (token === undefined) return { found: 'nothing' };
  return values.length === 1 ? { found: 'token', token } : { found: 'several', tokens: [...new Set(values)] };
}

it.each<[string, TokenReading]>([
  ['sid=abc', { found: 'token', token: 'abc' }],
  ['a=b; sid=abc; c=d', { found: 'token', token: 'abc' }],
  ['a=b;sid=abc', { found: 'token', token: 'abc' }],
  ['sid=abc=', { found: 'token', token: 'abc=' }],
  ['sid= abc ; a=b', { found: 'token', token: 'abc' }],
  ['sid="abc"', { found: 'token', token: '"abc"' }],
  ['xsid=abc', { found: 'nothing' }],
  ['a=x sid=abc', { found: 'nothing' }],
  ['a=sid=abc', { found: 'nothing' }],
  ['sid=', { found: 'nothing' }],
  ['xsid=no; sid=abc', { found: 'token', token: 'abc' }],
  ['sid=abc; sid=', { found: 'token', token: 'abc' }],
  ['sid=abc; sid=def; sid=abc', { found: 'several', tokens: ['abc', 'def'] }],
])('reads %j', (header, reading) => {
  expect(read(header)).toEqual(reading);
});

it('reads the usual spelling as the library reads any', () => {
  const piece = fc.constantFrom('sid=', 'sid', '=', ';', '; ', ' ', '\t', '"', 'abc', 'x', '%41', 'a=b; ');
  const header = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(fc.oneof(header, fc.string()), (text) => {
      expect(read(text)).toEqual(expected(text));
    }),
    { numRuns: 5000 },
  );
});
