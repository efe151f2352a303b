import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { UnsecuredJWT } from 'jose';
import { createHmac, hkdfSync } from 'node:crypto';
import {
  CurrentSession,
  MemoryBackend,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type Session,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';

@Controller()
class JwtController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    return { token: (await this.sessions.login(request, { userId: 'ann' })).token };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { id: session.sessionId };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('logout')
  logout(@Req() request: object) {
    return this.sessions.logout(request);
  }
}

const opened: AppUnderTest[] = [];

afterEach(async () => {
  for (const app of opened.splice(0)) await app.close();
});

async function start(
  platform: Platform,
  session: Partial<SessionModuleOptions> = {},
  clock = new FakeClock(),
): Promise<AppUnderTest> {
  const app = await startApp({
    platform,
    controllers: [JwtController],
    session: { tokenFormat: 'jwt', ...session },
    clock,
  });
  opened.push(app);
  return app;
}

async function tokenOf(app: AppUnderTest): Promise<string> {
  return ((await (await app.fetch('/login', { method: 'POST' })).json()) as { token: string }).token;
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;

describe.each(PLATFORMS)('JWTs on %s', (platform) => {
  it('that are not ours are a 401 with an event, and cost no call to the store', async () => {
    const backend = new MemoryBackend();
    const app = await start(platform, { backend });
    const reasons: string[] = [];
    app.app
      .get(SessionEvents)
      .on('rejected')
      .subscribe(({ reason }) => reasons.push(reason));
    const token = await tokenOf(app);
    const simple = await start(platform, { tokenFormat: 'simple' });
    const [head = '', body = '', mac = ''] = token.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
    const key = Buffer.from(hkdfSync('sha256', SECRET_KEY, '', 'nestjs-sessionx/jwt-key/v1\0session:', 32));
    const sign = (text: string) => `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const read = jest.spyOn(backend, 'read');
    expect(sign(`${head}.${body}`)).toBe(token);

    const refused: [text: string, reason: string][] = [
      [new UnsecuredJWT(claimsOf(token)).encode(), 'TOKEN_MALFORMED'],
      [`${head}.${body}.`, 'TOKEN_MALFORMED'],
      [`${token}=`, 'TOKEN_MALFORMED'],
      [`${token}.${mac}`, 'TOKEN_MALFORMED'],
      [`${'A'.repeat(3000)}.${body}.${mac}`, 'TOKEN_MALFORMED'],
      [await tokenOf(simple), 'TOKEN_MALFORMED'],
      [`${head}.${body}.${mac.startsWith('A') ? 'B' : 'A'}${mac.slice(1)}`, 'TOKEN_FORGED'],
      [sign(`${encode({ ...header, alg: 'none' })}.${body}`), 'TOKEN_FORGED'],
      [sign(`${encode({ ...header, alg: 'RS256' })}.${body}`), 'TOKEN_FORGED'],
      [sign(`${encode({ ...header, kid: 'unknown' })}.${body}`), 'TOKEN_FORGED'],
      [sign(`${encode({ ...header, crit: ['x'], x: 1 })}.${body}`), 'TOKEN_FORGED'],
      [sign(`${head}.${encode({ ...claimsOf(token), aud: 'other' })}`), 'TOKEN_FORGED'],
      [sign(`${head}.${encode({ ...claimsOf(token), iat: app.clock.now() / 1000 + 61 })}`), 'TOKEN_FORGED'],
      [sign(`${head}.${encode({ ...claimsOf(token), exp: app.clock.now() / 1000 })}`), 'TOKEN_EXPIRED'],
    ];
    for (const [text, reason] of refused) {
      const response = await app.fetch('/me', bearer(text));
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"');
      expect(reasons.splice(0)).toEqual([reason]);
    }
    expect(read).not.toHaveBeenCalled();
    expect((await app.fetch('/me', bearer(token))).status).toBe(200);
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('are refused by an application with simple tokens, and the reverse', async () => {
    const backend = new MemoryBackend();
    const clock = new FakeClock();
    const [jwt, simple] = [
      await start(platform, { backend }, clock),
      await start(platform, { backend, tokenFormat: 'simple' }, clock),
    ];
    const [one, other] = [await tokenOf(jwt), await tokenOf(simple)];
    const read = jest.spyOn(backend, 'read');
    expect((await simple.fetch('/me', bearer(one))).status).toBe(401);
    expect((await jwt.fetch('/me', bearer(other))).status).toBe(401);
    expect(read).not.toHaveBeenCalled();
  });

  it('have an end only under absoluteTimeout, and a renewed one ends at the same instant', async () => {
    const backend = new MemoryBackend();
    const app = await start(platform, { backend, sessionTtl: 100, absoluteTimeout: 130 });
    const endsAt = app.clock.now() + 130_000;
    const token = await tokenOf(app);
    expect(claimsOf(token)).toMatchObject({ exp: endsAt / 1000 });
    app.clock.advanceSeconds(60);
    const renewed = (await app.fetch('/me', bearer(token))).headers.get('x-session-token')!;
    expect(claimsOf(renewed)).toMatchObject({ exp: endsAt / 1000, iat: app.clock.now() / 1000 });
    app.clock.advance(69_999);
    for (const text of [token, renewed]) expect((await app.fetch('/me', bearer(text))).status).toBe(200);
    app.clock.advance(1);
    const read = jest.spyOn(backend, 'read');
    for (const text of [token, renewed]) expect((await app.fetch('/me', bearer(text))).status).toBe(401);
    expect(read).not.toHaveBeenCalled();
  });

  it('stay valid as long as their session is used, however old they are', async () => {
    const app = await start(platform, { sessionTtl: 100 });
    const token = await tokenOf(app);
    expect(claimsOf(token)).not.toHaveProperty('exp');
    for (let use = 0; use < 10; use++) {
      app.clock.advanceSeconds(80);
      expect((await app.fetch('/me', bearer(token))).status).toBe(200);
    }
    app.clock.advanceSeconds(100);
    expect((await app.fetch('/me', bearer(token))).status).toBe(401);
  });

  it('are a 503 while the store is down, and a 401 where they are forged', async () => {
    const backend = new MemoryBackend();
    const app = await start(platform, { backend });
    const token = await tokenOf(app);
    jest.spyOn(backend, 'read').mockRejectedValue(new Error('down'));
    expect((await app.fetch('/me', bearer(token))).status).toBe(503);
    expect((await app.fetch('/me', bearer(token.slice(0, -1)))).status).toBe(401);
  });
});

describe.each(everyBackend().map((store) => [store.name, store] as const))('JWTs on %s', (_, store) => {
  it('are dead on every instance as soon as one of them has ended the session', async () => {
    await store.start();
    const clock = new FakeClock();
    const [one, two] = [
      await start('express', { backend: store.another() }, clock),
      await start('fastify', { backend: store.another() }, clock),
    ];
    const tokens = [await tokenOf(one), await tokenOf(two), await tokenOf(one)];
    for (const app of [one, two]) {
      for (const token of tokens) expect((await app.fetch('/me', bearer(token))).status).toBe(200);
    }
    await one.fetch('/logout', { method: 'POST', ...bearer(tokens[0]!) });
    expect((await two.fetch('/me', bearer(tokens[0]!))).status).toBe(401);
    expect((await one.fetch('/me', bearer(tokens[0]!))).status).toBe(401);
    expect(await two.app.get(SessionService).deleteUserSessions('ann')).toBe(2);
    for (const app of [one, two]) {
      for (const token of tokens) expect((await app.fetch('/me', bearer(token))).status).toBe(401);
    }
    for (const app of opened.splice(0)) await app.close();
    await store.stop();
  });
});

describe('the service, with JWTs', () => {
  it('renews a token for the same session, and regeneration kills it', async () => {
    const app = await start('express');
    const sessions = app.app.get(SessionService);
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' }, absoluteTimeout: 50 });
    expect(claimsOf(token)).toMatchObject({ exp: app.clock.now() / 1000 + 50 });
    app.clock.advanceSeconds(1);
    const renewed = await sessions.renewSession(token);
    expect(claimsOf(renewed.token)).toMatchObject({ exp: app.clock.now() / 1000 + 49 });
    expect((await sessions.getSession(token)).sessionId).toBe(session.sessionId);
    const next = await sessions.regenerateSessionId(await sessions.getSession(token));
    expect(claimsOf(next.token!)).toMatchObject({ exp: app.clock.now() / 1000 + 49 });
    await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect((await sessions.getSession(next.token!)).user?.userId).toBe('ann');
  });

  it('accepts a token of a server whose clock is ahead by the leeway, and no more', async () => {
    const backend = new MemoryBackend();
    const behind = new FakeClock();
    const ahead = new FakeClock(behind.now() + 60_000);
    const [one, two] = [
      await start('express', { backend }, behind),
      await start('express', { backend: new MemoryBackend() }, ahead),
    ];
    const token = await tokenOf(two);
    await expect(one.app.get(SessionService).getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    ahead.advance(1);
    const later = await tokenOf(two);
    await expect(one.app.get(SessionService).getSession(later)).rejects.toMatchObject({ code: 'TOKEN_FORGED' });
  });
});
