import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, UseGuards, type INestApplication } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { request as httpRequest } from 'node:http';
import {
  CurrentSession,
  MemoryBackend,
  Session,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionEvent,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, TOKEN_FORMATS, type AppUnderTest } from '../support/apps.js';
import { startService } from '../support/services.js';

@Controller()
class TransportController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    return { token: (await this.sessions.login(request, { userId: 'ann' }, { ttl: 100 })).token };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { id: session.sessionId, ip: session.ipAddress, expiresAt: session.expiresAt };
  }
}

/** Raw headers in the given order, repeated names included. */
function rawGet(url: string, headers: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(
      url,
      { agent: false, headers: ['host', 'localhost', 'connection', 'close', ...headers] as never },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    )
      .on('error', reject)
      .end();
  });
}

describe.each(PLATFORMS.flatMap((platform) => TOKEN_FORMATS.map((tokenFormat) => [platform, tokenFormat] as const)))(
  'transports, on %s, with %s tokens',
  (platform, tokenFormat) => {
    let app: AppUnderTest;
    let token: string;
    let other: string;
    let events: SessionEvent[];

    beforeAll(async () => {
      app = await startApp({ platform, controllers: [TransportController], session: { tokenFormat } });
      events = [];
      app.app
        .get(SessionEvents)
        .on('rejected')
        .subscribe((event) => events.push(event));
      ({ token } = await logIn(app.app, { userId: 'ann' }));
      ({ token: other } = await logIn(app.app, { userId: 'bob' }));
    });

    afterAll(() => app.close());

    const accepted: [name: string, headers: () => string[]][] = [
      ['the header of ours', () => ['X-Session-Token', token]],
      ['the header in any case', () => ['x-SESSION-token', token]],
      ['Bearer', () => ['Authorization', `Bearer ${token}`]],
      ['bearer in any case, and more spaces', () => ['authorization', `bEaReR   ${token}`]],
      [
        'a header that does not verify, then a bearer that does',
        () => ['X-Session-Token', 'garbage', 'Authorization', `Bearer ${token}`],
      ],
      ['an empty header, then a bearer', () => ['X-Session-Token', '', 'Authorization', `Bearer ${token}`]],
      ['our header beside Basic credentials', () => ['Authorization', 'Basic eDp5', 'X-Session-Token', token]],
    ];

    it.each(accepted)('%s opens the session', async (_name, headers) => {
      expect(await rawGet(`${app.url}/me`, headers())).toBe(200);
    });

    const refused: [name: string, headers: () => string[]][] = [
      ['our header twice', () => ['X-Session-Token', token, 'X-Session-Token', token]],
      ['two different tokens in our header', () => ['X-Session-Token', token, 'x-session-token', other]],
      ['two Authorization headers', () => ['Authorization', `Bearer ${token}`, 'authorization', `Bearer ${other}`]],
      ['two tokens in one header', () => ['X-Session-Token', `${token}, ${other}`]],
      [
        'our header twice, beside a good bearer',
        () => ['X-Session-Token', token, 'X-Session-Token', other, 'Authorization', `Bearer ${token}`],
      ],
      ['Basic', () => ['Authorization', `Basic ${token}`]],
      ['Bearer without a space', () => ['Authorization', `Bearer${token}`]],
      ['Bearer Bearer', () => ['Authorization', `Bearer Bearer ${token}`]],
      ['a token of 8 KB', () => ['X-Session-Token', 'x'.repeat(8192)]],
      ['bytes that are no UTF-8', () => ['X-Session-Token', '\xff\xfe\x80']],
      ['a cookie, which is not switched on', () => ['Cookie', `__Host-session=${token}`]],
    ];

    it.each(refused)('%s is a 401', async (_name, headers) => {
      expect(await rawGet(`${app.url}/me`, headers())).toBe(401);
    });

    it('a token in the URL is ignored', async () => {
      expect((await app.fetch(`/me?access_token=${token}&X-Session-Token=${token}`)).status).toBe(401);
    });

    it('hostile headers cost next to nothing and are no 500', async () => {
      const hostile = [
        '='.repeat(5_000),
        ' '.repeat(5_000) + 'x',
        'Bearer '.repeat(700),
        '%'.repeat(5_000),
        '"'.repeat(5_000),
      ];
      for (const text of hostile) {
        expect(await rawGet(`${app.url}/me`, ['Authorization', `Bearer ${text}`, 'X-Session-Token', text])).toBe(401);
      }
    });

    it('one that verifies and names no living session ends the search', async () => {
      const dead = await logIn(app.app, { userId: 'dead' });
      await app.app.get(SessionService).deleteSession(dead.session.sessionId);
      expect(await rawGet(`${app.url}/me`, ['X-Session-Token', dead.token, 'Authorization', `Bearer ${token}`])).toBe(
        401,
      );
    });

    it('tells the listeners the exact reason', () => {
      const reasons = new Set(events.map((event) => ('reason' in event ? event.reason : '')));
      expect([...reasons].sort()).toEqual(['SESSION_NOT_FOUND', 'TOKEN_AMBIGUOUS', 'TOKEN_MALFORMED', 'TOKEN_MISSING']);
    });

    it('renews before the end, hands out a new token for the same id, and the older one stays good', async () => {
      const { token: first } = (await (await app.fetch('/login', { method: 'POST' })).json()) as { token: string };
      const early = await app.fetch('/me', { headers: { 'x-session-token': first } });
      expect(early.headers.get('x-session-token')).toBeNull();
      expect(early.headers.get('cache-control')).toBeNull();
      app.clock.advanceSeconds(51);
      const due = await app.fetch('/me', { headers: { authorization: `Bearer ${first}` } });
      const second = due.headers.get('x-session-token');
      expect(second).not.toBe(first);
      expect(due.headers.get('cache-control')).toBe('no-store');
      expect(await due.json()).toMatchObject({ expiresAt: new Date(app.clock.now() + 100_000).toISOString() });
      app.clock.advanceSeconds(50);
      const bodies = await Promise.all(
        [first, second!].map(
          async (each) =>
            (await app.fetch('/me', { headers: { 'x-session-token': each } })).json() as Promise<{ id: string }>,
        ),
      );
      expect(bodies[0]!.id).toBe(bodies[1]!.id);
    });

    it('a session under an old key gets a token under the new one, without a write', async () => {
      const backend = new MemoryBackend();
      const session = { backend, secretKey: SECRET_KEY, tokenFormat };
      const before = await startApp({ platform, controllers: [TransportController], session });
      const { headers } = await logIn(before.app, { userId: 'ann' });
      const after = await startApp({
        platform,
        controllers: [TransportController],
        session: {
          backend,
          tokenFormat,
          secretKey: ['the new key, which is also long enough', SECRET_KEY],
          indexKey: SECRET_KEY,
        },
      });
      const response = await after.fetch('/me', { headers });
      expect(response.status).toBe(200);
      const renewed = response.headers.get('x-session-token')!;
      expect((await before.fetch('/me', { headers: { 'x-session-token': renewed } })).status).toBe(401);
      expect(
        (await after.fetch('/me', { headers: { 'x-session-token': renewed } })).headers.get('x-session-token'),
      ).toBeNull();
      await before.close();
      await after.close();
    });

    it.each([
      { slidingExpiration: false, threshold: 0.5, after: 99, renews: false },
      { slidingExpiration: true, threshold: 0, after: 1, renews: true },
      { slidingExpiration: true, threshold: 1, after: 99.999, renews: false },
      { slidingExpiration: true, threshold: 0.5, after: 49.999, renews: false },
      { slidingExpiration: true, threshold: 0.5, after: 50, renews: true },
    ])(
      'sliding $slidingExpiration, threshold $threshold, after $after s of 100: renews $renews',
      async ({ slidingExpiration, threshold, after, renews }) => {
        const local = await startApp({
          platform,
          controllers: [TransportController],
          session: { tokenFormat, sessionTtl: 100, slidingExpiration, slidingThreshold: threshold },
        });
        const { headers } = await logIn(local.app, { userId: 'ann' });
        local.clock.advance(after * 1000);
        expect((await local.fetch('/me', { headers })).headers.has('x-session-token')).toBe(renews);
        await local.close();
      },
    );
  },
);

describe.each(PLATFORMS)('bindings, on %s', (platform) => {
  async function boundApp(session: object, configure?: (app: INestApplication) => void): Promise<AppUnderTest> {
    return startApp({ platform, controllers: [TransportController], session, configure });
  }

  it('the User-Agent must stay the same', async () => {
    const app = await boundApp({ userAgentBinding: true });
    const login = await app.fetch('/login', { method: 'POST', headers: { 'user-agent': 'phone' } });
    const { token } = (await login.json()) as { token: string };
    const as = (agent: string) =>
      app.fetch('/me', { headers: { authorization: `Bearer ${token}`, 'user-agent': agent } });
    expect((await as('phone')).status).toBe(200);
    expect((await as('laptop')).status).toBe(401);
    expect((await as('phone')).status).toBe(200);
    await app.close();
  });

  it('a client that sends no User-Agent is bound to sending none', async () => {
    const app = await boundApp({ userAgentBinding: true });
    const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' }, userAgent: '' });
    expect(await rawGet(`${app.url}/me`, ['X-Session-Token', token])).toBe(200);
    expect(await rawGet(`${app.url}/me`, ['X-Session-Token', token, 'User-Agent', 'curl'])).toBe(401);
    await app.close();
  });

  it('the address is what the framework says: a forged X-Forwarded-For changes nothing', async () => {
    const app = await boundApp({ ipBinding: true });
    const { token } = (await (await app.fetch('/login', { method: 'POST' })).json()) as { token: string };
    const headers = { authorization: `Bearer ${token}`, 'x-forwarded-for': '203.0.113.7' };
    const response = await app.fetch('/me', { headers });
    expect(await response.json()).toMatchObject({ ip: '127.0.0.1' });
    await app.close();
  });

  if (platform === 'express') {
    it('behind a trusted proxy, the network counts that the options name', async () => {
      const app = await boundApp({ ipBinding: { ipv4Prefix: 24, ipv6Prefix: 64 } }, (nest) => {
        (nest as NestExpressApplication).set('trust proxy', 'loopback');
      });
      const from = (address: string) => ({ 'x-forwarded-for': address });
      const login = await app.fetch('/login', { method: 'POST', headers: from('203.0.113.7') });
      const { token } = (await login.json()) as { token: string };
      const as = async (address: string) =>
        (await app.fetch('/me', { headers: { authorization: `Bearer ${token}`, ...from(address) } })).status;
      expect(await as('203.0.113.200')).toBe(200);
      expect(await as('::ffff:203.0.113.9')).toBe(200);
      expect(await as('203.0.114.7')).toBe(401);
      expect(await as('2001:db8::1')).toBe(401);
      await app.close();
    });
  }

  it('a session for a bound service needs something to be bound to', async () => {
    const app = await boundApp({ ipBinding: true, userAgentBinding: true });
    const sessions = app.app.get(SessionService);
    await expect(sessions.createSession({ userAgent: 'x' })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/address: pass ipAddress to createSession\(\)\.$/) as unknown,
    });
    await expect(sessions.createSession({ ipAddress: '192.0.2.1' })).rejects.toMatchObject({ code: 'USAGE' });
    const { token } = await sessions.createSession({ ipAddress: '192.0.2.1', userAgent: 'x' });
    for (const call of [sessions.getSession(token), sessions.renewSession(token, { userAgent: 'x' })]) {
      await expect(call).rejects.toMatchObject({
        code: 'BINDING_IP_MISMATCH',
        message:
          'The session belongs to another network address. The client has none: pass { ipAddress } as the argument client of getSession() or renewSession().',
      });
    }
    await expect(sessions.getSession(token, { ipAddress: '192.0.2.1' })).rejects.toMatchObject({
      code: 'BINDING_USER_AGENT_MISMATCH',
      message:
        'The session belongs to another User-Agent. The client has none: pass { userAgent } as the argument client of getSession() or renewSession().',
    });
    await expect(sessions.getSession(token, { ipAddress: '192.0.2.2', userAgent: 'x' })).rejects.toMatchObject({
      message: 'The session belongs to another network address.',
    });
    expect((await sessions.getSession(token, { ipAddress: '192.0.2.1', userAgent: 'x' })).ipAddress).toBe('192.0.2.1');
    await app.close();
  });
});

it.each([
  [{ userAgentBinding: true }, 'BINDING_USER_AGENT_MISMATCH'],
  [{ ipBinding: true }, 'BINDING_IP_MISMATCH'],
])('a session that was made without what %j binds to belongs to nobody', async (binding, code) => {
  const backend = new MemoryBackend();
  const before = await startService(backend);
  const { token } = await before.sessions.createSession({ user: { userId: 'ann' } });
  const bound = await startService(backend, binding, before.clock);
  for (const client of [{}, { ipAddress: '192.0.2.1', userAgent: 'x' }]) {
    await expect(bound.sessions.getSession(token, client)).rejects.toMatchObject({ code });
  }
  await bound.close();
  await before.close();
});
