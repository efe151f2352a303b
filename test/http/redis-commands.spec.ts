import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import type { Redis } from 'ioredis';
import {
  CurrentSession,
  FlashMessages,
  generateSecretKey,
  OptionalSession,
  Session,
  SessionGuard,
  SessionService,
  UseSession,
  type FlashMessage,
  type SessionUser,
} from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { logIn } from 'nestjs-sessionx/testing';

import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { RedisServer } from '../support/redis-server.js';

/** As the server runs them for a script, or for a connection; not asked for by a request. */
const OF_CONNECTIONS = /^(auth|client|hello|info|ping|select|command|config|script|eval)/;

@Controller()
class BudgetController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    return { token: (await this.sessions.login(request, { userId: 'ann' })).token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return this.sessions.logout(request);
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(
    @CurrentSession() session: Session,
    @CurrentSession('user') user: SessionUser,
    @OptionalSession() optional: Session | null,
    @FlashMessages() messages: FlashMessage[],
  ) {
    return { userId: user.userId, same: session === optional, messages };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('write')
  write(@CurrentSession() session: Session): void {
    session.data.written = true;
  }

  @UseSession()
  @Get('may-have-one')
  may(): string {
    return 'ok';
  }

  @Get('unused')
  unused(): string {
    return 'ok';
  }
}

describe.each(PLATFORMS)('the commands that Redis counts for a request, on %s', (platform) => {
  let redis: RedisServer;
  let observer: Redis;
  let app: AppUnderTest;
  let token: string;

  beforeAll(async () => {
    redis = await RedisServer.start();
    observer = redis.client();
    app = await startApp({
      platform,
      controllers: [BudgetController],
      session: { backend: new RedisBackend(redis.url) },
    });
    ({ token } = await logIn(app.app, { userId: 'ann' }));
  });

  afterAll(async () => {
    await app.close();
    await observer.quit();
    await redis.stop();
  });

  /** What clients sent: Redis counts a script's own calls under their names too, so so of a script its EVAL or EVALSHA is what tells. */
  async function sent(): Promise<Map<string, number>> {
    const lines = (await observer.info('commandstats')).matchAll(/^cmdstat_(\w+):calls=(\d+)/gm);
    return new Map([...lines].map(([, name, calls]) => [name!, Number(calls)]));
  }

  async function commandsOf(
    path: string,
    init: RequestInit = {},
  ): Promise<{ get: number; scripts: number; all: number }> {
    const before = await sent();
    await (await app.fetch(path, init)).arrayBuffer();
    const after = await sent();
    const made = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    const all = [...after.keys()]
      .filter((name) => !OF_CONNECTIONS.test(name))
      .reduce((sum, name) => sum + made(name), 0);
    return { get: made('get'), scripts: made('evalsha') + made('eval'), all };
  }

  const NONE = { get: 0, scripts: 0, all: 0 };
  const withToken = (text: string): RequestInit => ({ headers: { 'x-session-token': text } });

  it('exactly one GET for a signed-in read, with every decorator there is', async () => {
    expect(await commandsOf('/me', withToken(token))).toEqual({ get: 1, scripts: 0, all: 1 });
    expect(await commandsOf('/me', { headers: { authorization: `Bearer ${token}` } })).toMatchObject({ all: 1 });
    expect(await commandsOf('/may-have-one', withToken(token))).toEqual({ get: 1, scripts: 0, all: 1 });
  });

  it('none for a session that is not used, a 404, no token, and a token that is malformed', async () => {
    expect(await commandsOf('/unused', withToken(token))).toEqual(NONE);
    expect(await commandsOf('/nowhere', withToken(token))).toEqual(NONE);
    expect(await commandsOf('/me')).toEqual(NONE);
    expect(await commandsOf('/may-have-one')).toEqual(NONE);
    expect(await commandsOf('/logout', { method: 'POST' })).toEqual(NONE);
    for (const malformed of [
      'x',
      'x'.repeat(8000),
      '%00',
      `${token}=`,
      'eyJhbGciOiJub25lIn0.e30.',
      'null',
      'undefined',
    ]) {
      expect(await commandsOf('/me', withToken(malformed))).toEqual(NONE);
    }
  });

  it('none for a token with any one character changed, wherever it travels', async () => {
    for (let index = 0; index < token.length; index++) {
      const changed = token.slice(0, index) + (token[index] === 'A' ? 'B' : 'A') + token.slice(index + 1);
      const [name, value] = index % 2 === 0 ? ['x-session-token', changed] : ['authorization', `Bearer ${changed}`];
      const before = await sent();
      expect((await app.fetch('/me', { headers: { [name]: value } })).status).toBe(401);
      expect((await sent()).get('get')).toBe(before.get('get'));
    }
  });

  it('none for a token of another key, another application, or a key that was removed', async () => {
    const issuedAt = app.clock.now();
    const secret = token.slice(0, 48) as never;
    for (const [key, namespace] of [
      [generateSecretKey(), 'session:'],
      [SECRET_KEY, 'other:'],
      [SECRET_KEY, ''],
    ] as const) {
      const foreign = new SimpleTokenSerializer({ keys: [key], namespace }).serialize({ secret, issuedAt });
      expect(await commandsOf('/me', withToken(foreign))).toEqual(NONE);
    }
    const genuine = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' });
    expect((await app.fetch('/me', withToken(genuine.serialize({ secret, issuedAt })))).status).toBe(200);
  });

  it('1,000 requests of strangers, with bad tokens and with none, leave nothing in the store', async () => {
    const before = await observer.dbsize();
    for (let batch = 0; batch < 20; batch++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          app.fetch(['/me', '/may-have-one', '/unused'][index % 3]!, index % 2 === 0 ? {} : withToken('bad')),
        ),
      );
    }
    expect(await observer.dbsize()).toBe(before);
  });

  it('one read and one script for a write, a touch, a renewal and a logout; one script for a login, and the time where it is not known', async () => {
    const plain = await logIn(app.app, { userId: 'bob' });
    const write = await commandsOf('/write', { method: 'POST', ...withToken(plain.token) });
    expect([write.get, write.scripts]).toEqual([1, 1]);
    app.clock.advanceSeconds(61);
    const touch = await commandsOf('/me', withToken(plain.token));
    expect([touch.get, touch.scripts]).toEqual([1, 1]);
    app.clock.advanceSeconds(1800);
    const renewal = await commandsOf('/me', withToken(plain.token));
    expect([renewal.get, renewal.scripts]).toEqual([1, 1]);
    const logout = await commandsOf('/logout', { method: 'POST', ...withToken(plain.token) });
    expect([logout.get, logout.scripts]).toEqual([1, 1]);
    const scripts: number[] = [];
    for (let login = 0; login < 5; login++) {
      const made = await commandsOf('/login', { method: 'POST' });
      expect(made.get).toBe(0);
      scripts.push(made.scripts);
    }
    // The server's time, for the deadline, is believed for a second, in which a slow machine may not log in again.
    expect(Math.max(...scripts)).toBeLessThanOrEqual(2);
    expect(Math.min(...scripts)).toBe(1);
  });
});
