import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { CurrentSession, FlashMessages, MemoryBackend, Session, SessionGuard, SessionService } from 'nestjs-sessionx';
import type { FlashMessage, SessionBackend } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

const BUDGET_MS = 80;

@UseGuards(SessionGuard)
@Controller()
class GuardedController {
  constructor(private readonly sessions: SessionService) {}

  @Get('me')
  me(@CurrentSession() session: Session) {
    return session.user?.userId;
  }

  @HttpCode(200)
  @Post('write')
  write(@CurrentSession() session: Session) {
    session.data.written = true;
    return 'stored';
  }

  @Get('flash')
  flash(@FlashMessages() messages: FlashMessage[]) {
    return messages;
  }

  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { token };
  }

  @HttpCode(200)
  @Post('elevate')
  async elevate(@CurrentSession() session: Session) {
    const { token } = await this.sessions.regenerateSessionId(session);
    return { token };
  }

  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }

  @HttpCode(200)
  @Post('logout-all')
  async logoutAll() {
    return { ended: await this.sessions.deleteUserSessions('ann') };
  }

  @HttpCode(200)
  @Post('invalidate')
  async invalidate(@CurrentSession() session: Session) {
    return { ended: await this.sessions.invalidateSession(session) };
  }

  @Get('devices')
  devices() {
    return this.sessions.listUserSessions('ann');
  }
}

type Method = 'read' | 'create' | 'replace' | 'delete' | 'deleteByUser' | 'listByUser' | 'touch';

/** What a store does instead of its work. */
const misdeeds: [name: string, act: () => unknown][] = [
  [
    'throws',
    () => {
      throw new Error('thrown: GET session:secret');
    },
  ],
  ['rejects', () => Promise.reject(new Error('rejected: GET session:secret'))],
  ['hangs', () => new Promise(() => undefined)],
  ...[undefined, true, 1, 'OK', '', {}, [], [null], { outcome: 'ok' }, { id: 'x', payload: '{}' }].map(
    (garbage): [string, () => unknown] => [
      `answers ${garbage === undefined ? 'undefined' : JSON.stringify(garbage)}`,
      () => Promise.resolve(garbage),
    ],
  ),
  ['answers without a promise', () => 'OK'],
];

const routes: [method: Method, verb: string, path: string][] = [
  ['read', 'GET', '/me'],
  ['replace', 'POST', '/write'],
  ['replace', 'GET', '/flash'],
  ['create', 'POST', '/login'],
  ['create', 'POST', '/elevate'],
  ['delete', 'POST', '/logout'],
  ['deleteByUser', 'POST', '/logout-all'],
  ['replace', 'POST', '/invalidate'],
  ['listByUser', 'GET', '/devices'],
];

const cases = routes.flatMap(([method, verb, path]) =>
  misdeeds
    // An empty list is what these two return for a user without sessions.
    .filter(([name]) => !(name === 'answers []' && ['deleteByUser', 'listByUser'].includes(method)))
    .map(([name, act]) => ({ method, verb, path, name, act })),
);

/** A store of which one method fails once the test switches it on, until it heals the store. */
function spoilable() {
  const spoilt = new Map<string | symbol, () => unknown>();
  const backend = new Proxy<SessionBackend>(new MemoryBackend(), {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      return spoilt.get(name) ?? ((...args: unknown[]): unknown => Reflect.apply(method, target, args));
    },
  });
  const spoil = (method: Method, act: () => unknown) => void spoilt.set(method, act);
  return { backend, spoil, heal: () => spoilt.clear() };
}

describe.each(PLATFORMS)('a store that fails in any way never opens a guarded route, on %s', (platform) => {
  const { backend, spoil, heal } = spoilable();
  let app: AppUnderTest;
  let headers: Record<string, string>;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [GuardedController],
      session: { backend, backendTimeout: BUDGET_MS },
    });
  });

  beforeEach(async () => {
    const login = await logIn(app.app, { userId: 'ann' });
    headers = { ...login.headers };
    login.session.addFlashMessage('hello');
    await app.app.get(SessionService).updateSession(login.session);
  });

  afterEach(async () => {
    heal();
    await app.app.get(SessionService).deleteUserSessions('ann');
  });

  afterAll(() => app.close());

  it.each(cases)('$method $name: $verb $path is a 503', async ({ method, verb, path, act }) => {
    spoil(method, act);
    const response = await app.fetch(path, { method: verb, headers });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(response.headers.get('x-session-token')).toBeNull();
    expect(await response.text()).toBe('{"statusCode":503,"message":"Service Unavailable"}');
  });

  it.each(misdeeds)('touch %s: the session was read and lives, so the request goes on', async (name, act) => {
    app.clock.advanceSeconds(2000);
    spoil('touch', act);
    const response = await app.fetch('/me', { headers });
    expect(response.status).toBe(200);
    // True is the response of a touch that succeeded.
    expect(response.headers.has('x-session-token')).toBe(name === 'answers true');
  });
});
