import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Query, Req, UseGuards } from '@nestjs/common';
import { CurrentSession, OptionalSession, Session, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { asHeaderValue, COOKIE_HEADERS, FORWARDED_FOR, ODD_TEXTS, USER_AGENTS } from '../support/odd-texts.js';
import { send } from '../support/raw-client.js';

const NAME = '__Host-session';
const OWN = ['Sec-Fetch-Site', 'same-origin'];

@Controller()
class WhoController {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { userId: session.user?.userId, ipAddress: session.ipAddress };
  }

  @Get('maybe')
  maybe(@OptionalSession() session: Session | null) {
    return { userId: session?.user?.userId ?? null };
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Query('user') userId: string) {
    await this.sessions.login(request, { userId });
    return {};
  }
}

describe.each(PLATFORMS)('headers that are odd, on %s', (platform) => {
  let app: AppUnderTest;
  /** Each text has its turn on one of the platforms. */
  const texts = ODD_TEXTS.filter((_, index) => index % 2 === PLATFORMS.indexOf(platform)).map(asHeaderValue);
  const fewTexts = texts.filter((_, index) => index % 4 === 0);

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [WhoController],
      trustProxy: true,
      session: { tokenSourcePriority: ['cookie', 'header', 'bearer'], userAgentBinding: true },
    });
  });

  afterAll(() => app.close());

  const get = (path: string, headers: readonly string[]) => send(app.url + path, { headers });

  async function logIn(userId: string, headers: readonly string[]): Promise<string> {
    const response = await send(`${app.url}/login?user=${userId}`, { method: 'POST', headers: [...OWN, ...headers] });
    expect(response.status).toBe(200);
    const [line = ''] = response.setCookies;
    return line.split(';', 1)[0] ?? '';
  }

  const phone = ['User-Agent', 'phone'];

  it.each(COOKIE_HEADERS.map((header) => [header.slice(0, 60), header]))(
    'a Cookie header %j: the session that is in it, or none',
    async (_shown, header) => {
      const cookie = await logIn('ann', phone);
      const response = await get('/maybe', [...phone, 'Cookie', header.replace('<session>', cookie)]);
      // RFC 6265, section 4.2.1: pairs stand between semicolons.
      const isInIt = header.split(';').some((pair) => pair.trim() === '<session>');
      expect([response.status, JSON.parse(response.body)]).toEqual([200, { userId: isInIt ? 'ann' : null }]);
    },
  );

  it('any texts beside the cookie, and in its place', async () => {
    const cookie = await logIn('ann', phone);
    for (const group of inGroups(texts, 10)) {
      const values = group.map((text) => text.replaceAll(';', ''));
      const neighbours = [...values.map((value) => `a=${value}`), cookie, ...values.map((value) => `${value}=b`)];
      const response = await get('/me', [...phone, 'Cookie', neighbours.join('; ')]);
      expect([group, response.status]).toEqual([group, 200]);
      expect(JSON.parse(response.body)).toMatchObject({ userId: 'ann' });
    }
    for (const text of texts) {
      const response = await get('/me', [...phone, 'Cookie', `${NAME}=${text}`]);
      expect([text, response.status]).toEqual([text, 401]);
    }
  });

  it('any texts in the place of a token', async () => {
    for (const text of texts) {
      const response = await get('/me', ['Authorization', `Bearer ${text}`, 'X-Session-Token', text]);
      expect([text, response.status]).toEqual([text, 401]);
      expect((await get('/me', ['Authorization', text])).status).toBe(401);
    }
  });

  it('any User-Agent, to which the session is bound', async () => {
    for (const userAgent of [...USER_AGENTS.map(asHeaderValue), ...fewTexts]) {
      const cookie = await logIn('ann', ['User-Agent', userAgent]);
      const same = await get('/me', ['User-Agent', userAgent, 'Cookie', cookie]);
      expect([userAgent, same.status]).toEqual([userAgent, 200]);
      const different = await get('/me', ['User-Agent', `not ${userAgent}`, 'Cookie', cookie]);
      expect([userAgent, different.status]).toEqual([userAgent, 401]);
    }
  });

  it('any address of a proxy: one, or none', async () => {
    for (const address of [...FORWARDED_FOR, ...fewTexts]) {
      const headers = [...phone, 'X-Forwarded-For', address];
      const cookie = await logIn('ann', headers);
      const response = await get('/me', [...headers, 'Cookie', cookie]);
      expect([address, response.status]).toEqual([address, 200]);
      const { ipAddress } = JSON.parse(response.body) as { ipAddress: string | null };
      expect(ipAddress ?? '::').toMatch(/^[0-9a-f.:]{2,39}$/);
    }
  });

  it('any site and origin that a browser might name: the login is refused or not, and is no fault', async () => {
    const outcomes = new Set<number>();
    for (const text of fewTexts) {
      for (const name of ['Origin', 'Sec-Fetch-Site', 'X-CSRF-Token', 'Referer']) {
        const headers = [...phone, name, text];
        const response = await send(`${app.url}/login?user=eve`, { method: 'POST', headers });
        outcomes.add(response.status);
      }
    }
    expect([...outcomes]).toEqual([403]);
  });
});

function inGroups<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  );
}
