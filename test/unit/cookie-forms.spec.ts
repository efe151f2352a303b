import { describe, expect, it } from '@jest/globals';
import { parseSetCookie } from 'cookie';
import { SessionCookieOptions } from 'nestjs-sessionx';

import { otherFormsOf } from '../../src/transports/cookie-forms.js';

const options = (given: Partial<SessionCookieOptions>) => Object.assign(new SessionCookieOptions(), given);

describe('the lines that clear cookies of other configurations', () => {
  it('are one where only Partitioned can differ, and none without TLS', () => {
    expect(otherFormsOf(options({})).ofOurName).toEqual([
      '__Host-session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; Partitioned; SameSite=None',
    ]);
    expect(otherFormsOf(options({ sameSite: 'none', partitioned: true })).ofOurName).toEqual([
      '__Host-session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=None',
    ]);
    expect(otherFormsOf(options({ name: 'session', secure: false })).ofOurName).toEqual([]);
  });

  it('do not name one form twice, nor the one that is set now', () => {
    const { ofOurName } = otherFormsOf(
      options({
        name: '__Secure-session',
        domain: 'example.com',
        former: [{}, { domain: 'EXAMPLE.com', path: '/' }, { name: '__Secure-session', partitioned: true }],
      }),
    );
    expect(
      ofOurName.map((line) => parseSetCookie(line)).map(({ domain, partitioned }) => [domain, partitioned]),
    ).toEqual([
      [undefined, undefined],
      [undefined, true],
      ['example.com', true],
    ]);
  });

  it.each(['__Host-old', '__Secure-old', '__Host-Http-old', '__Http-old', '__HOST-old'])(
    'of %s have what a browser asks for before it looks at them, also where the present cookie does without TLS',
    (name) => {
      const { byFormerName } = otherFormsOf(
        options({ name: 'session', path: '/app', secure: false, former: [{ name }] }),
      );
      const path = /^__host-/i.test(name) ? '/' : '/app';
      for (const line of byFormerName.get(name) ?? []) {
        expect(parseSetCookie(line)).toMatchObject({
          name,
          path,
          secure: true,
          httpOnly: true,
          sameSite: 'none',
          maxAge: 0,
        });
      }
      expect(byFormerName.get(name)).toHaveLength(1);
    },
  );

  it('of a name without a prefix ask for no TLS where the present cookie does without', () => {
    const { byFormerName } = otherFormsOf(
      options({ name: 'session', secure: false, former: [{ name: 'sid' }, { name: 'old', partitioned: true }] }),
    );
    expect(byFormerName.get('sid')).toEqual([
      'sid=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax',
    ]);
    expect(byFormerName.get('old')).toEqual([
      'old=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; Partitioned; SameSite=None',
    ]);
  });
});
