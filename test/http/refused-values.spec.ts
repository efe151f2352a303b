import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Body, Controller, Get, HttpCode, Logger, Post, Req, Res, UseGuards } from '@nestjs/common';
import {
  CurrentSession,
  MemoryBackend,
  Session,
  SessionGuard,
  SessionService,
  UseSession,
  type NewSessionUser,
  type SessionData,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import type { ServerResponse } from 'node:http';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';

interface Sent {
  readonly value: unknown;
}

const rawOf = (response: ServerResponse & { raw?: ServerResponse }) => response.raw ?? response;

/** Each route gives what a client has sent to a session in another way. */
@Controller()
class CarelessController {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @Post('guarded')
  guarded(@CurrentSession() session: Session, @Body() { value }: Sent) {
    session.data.value = value;
    return 'ok';
  }

  @UseSession()
  @Post('intercepted')
  intercepted(@CurrentSession() session: Session, @Body() { value }: Sent) {
    session.data.value = value;
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('by-hand')
  byHand(
    @CurrentSession() session: Session,
    @Body() { value }: Sent,
    @Res() response: ServerResponse & { raw?: ServerResponse },
  ) {
    session.data.value = value;
    rawOf(response).end('ok');
  }

  @UseGuards(SessionGuard)
  @Post('user-field')
  userField(@CurrentSession() session: Session, @Body() { value }: Sent) {
    session.user!.metadata.value = value;
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('merged')
  merged(@CurrentSession() session: Session, @Body() { value }: Sent) {
    Object.assign(session.data, { value: Object.assign({}, value) });
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('saved')
  async saved(@CurrentSession() session: Session, @Body() { value }: Sent) {
    session.data.value = value;
    await this.sessions.updateSession(session);
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('updated')
  async updated(@CurrentSession() session: Session, @Body() { value }: Sent) {
    await this.sessions.update(session.sessionId, (current) => void (current.data.value = value));
    return 'ok';
  }

  @Post('created')
  async created(@Body() { value }: Sent) {
    await this.sessions.createSession({ data: { value } });
    return 'ok';
  }

  @UseSession()
  @Post('started')
  async started(@Req() request: object, @Body() { value }: Sent) {
    await this.sessions.start(request, { data: { value } });
    return 'ok';
  }

  @UseSession()
  @Post('logged-in')
  async loggedIn(@Req() request: object, @Body() { value }: Sent) {
    await this.sessions.login(request, { userId: 'bob', metadata: { value } });
    return 'ok';
  }

  @UseSession()
  @Post('start-with')
  async startWith(@Req() request: object, @Body() { value }: Sent) {
    await this.sessions.start(request, { data: value as SessionData });
    return 'ok';
  }

  @UseSession()
  @Post('login-as')
  async loginAs(@Req() request: object, @Body() { value }: Sent) {
    await this.sessions.login(request, value as NewSessionUser);
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('flash')
  flash(@CurrentSession() session: Session, @Body() { value }: Sent) {
    session.addFlashMessage(value as string);
    return 'ok';
  }

  @UseSession()
  @Post('login-and-change')
  async loginAndChange(@Req() request: object, @Body() { value }: Sent) {
    const { session } = await this.sessions.login(request, { userId: 'bob' });
    session.data.value = value;
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('no-flash')
  noFlash(@CurrentSession() session: Session) {
    session.addFlashMessage(undefined as unknown as string);
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('no-user')
  async noUser() {
    return this.sessions.listUserSessions(undefined as unknown as string);
  }

  @UseGuards(SessionGuard)
  @Post('user-of')
  async userOf(@Body() { value }: Sent) {
    return { ended: await this.sessions.deleteUserSessions(value as string) };
  }

  @UseGuards(SessionGuard)
  @Post('dated')
  dated(@CurrentSession() session: Session) {
    session.data.at = new Date(0);
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Post('dated-session')
  async datedSession() {
    await this.sessions.createSession({ data: { at: new Date(0) } });
    return 'ok';
  }

  @UseSession()
  @Post('user-changed')
  userChanged(@CurrentSession() session: Session) {
    Object.assign(session.user!, { userId: 'bob' });
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object) {
    const { token } = await this.sessions.start(request, { data: { cart: 'x'.repeat(40_000) } });
    return { token };
  }

  @UseSession()
  @Get('data')
  data(@CurrentSession() session: Session) {
    return { user: session.user?.userId ?? null, data: session.data };
  }
}

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
const large = JSON.stringify('x'.repeat(70_000));

const TAKING = [
  ...['guarded', 'intercepted', 'by-hand', 'user-field', 'merged', 'saved', 'updated'],
  ...['created', 'started', 'logged-in', 'login-and-change'],
];

describe.each(PLATFORMS)('what a client sends and no session can hold, on %s', (platform) => {
  let app: AppUnderTest;
  let sessions: SessionService;
  let backend: MemoryBackend;
  let headers: Record<string, string>;
  let error: jest.SpiedFunction<Logger['error']>;
  let debug: jest.SpiedFunction<Logger['debug']>;

  beforeAll(async () => {
    backend = new MemoryBackend();
    app = await startApp({ platform, controllers: [CarelessController], session: { backend } });
    sessions = app.app.get(SessionService);
  });

  beforeEach(async () => {
    error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    debug = jest.spyOn(Logger.prototype, 'debug').mockImplementation(() => undefined);
    // A line that repeats comes once a minute.
    app.clock.advanceSeconds(61);
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterEach(async () => {
    error.mockRestore();
    debug.mockRestore();
    await sessions.deleteUserSessions('ann');
    await sessions.deleteUserSessions('bob');
  });

  afterAll(() => app.close());

  const post = (path: string, json: string, as = headers) =>
    app.fetch(`/${path}`, {
      method: 'POST',
      headers: { ...as, 'Content-Type': 'application/json' },
      body: `{"value":${json}}`,
    });

  const stored = async () => (await app.fetch('/data', { headers })).json();

  const kinds: [what: string, json: string, status: number, code: string, path: string][] = [
    ['a number that overflows', '{"n":1e999}', 400, 'DATA_NOT_STORABLE', 'value.n'],
    ['more than 100 levels', nested(120), 400, 'DATA_NOT_STORABLE', '[0][0]'],
    ['thousands of levels', nested(5_000), 400, 'DATA_NOT_STORABLE', '[0][0]'],
    ['a key __proto__', '{"a":{"__proto__":{"admin":true}}}', 400, 'DATA_NOT_STORABLE', 'value.a'],
    ['a text that is too large', `{"text":${large}}`, 413, 'SESSION_TOO_LARGE', ''],
    ['a list that is too large', `[${'0,'.repeat(45_000)}0]`, 413, 'SESSION_TOO_LARGE', ''],
  ];

  // Fastify's parser refuses __proto__ by itself.
  const reachingHandlers = kinds.filter(([, json]) => platform === 'express' || !json.includes('__proto__'));

  describe.each(reachingHandlers)('%s', (_what, json, status, code, path) => {
    it.each(TAKING)('is refused by /%s, which stores nothing and logs no error', async (route) => {
      const response = await post(route, json);
      expect(response.status).toBe(status);
      expect(await response.json()).toEqual({
        statusCode: status,
        message: status === 413 ? 'Payload Too Large' : 'Bad Request',
        code,
      });
      expect(error).not.toHaveBeenCalled();
      const lines = debug.mock.calls
        .map(([line]) => String(line))
        .filter((line) => line.includes('A session cannot') || line.includes('would take'));
      // Here the value is still in the session when the response leaves.
      const times = route === 'saved' ? 2 : 1;
      expect(lines).toEqual(Array(times).fill(expect.stringContaining(path)));
      expect(response.headers.get('set-cookie')).toBeNull();
      expect(await stored()).toEqual(
        route === 'logged-in' || route === 'login-and-change' ? expect.anything() : { user: 'ann', data: {} },
      );
      expect(await sessions.listUserSessions('bob')).toEqual([]);
      expect(({} as { admin?: boolean }).admin).toBeUndefined();
    });
  });

  it('-0 is taken, and stored as 0', async () => {
    expect((await post('guarded', '{"lat":-0}')).status).toBe(201);
    expect(await stored()).toEqual({ user: 'ann', data: { value: { lat: 0 } } });
    expect(error).not.toHaveBeenCalled();
  });

  it.each(['7', 'null', '""', '{}', '["ann"]', '{"userId":7}', '{"userId":""}', '{"userId":"\\ud800"}'])(
    'a user %s signs nobody in',
    async (user) => {
      const response = await post('login-as', user);
      const isMissing = user === '{}';
      expect(response.status).toBe(isMissing ? 500 : 400);
      expect(await stored()).toEqual({ user: 'ann', data: {} });
      expect(error).toHaveBeenCalledTimes(isMissing ? 1 : 0);
    },
  );

  it('a userId of another type is a warning, once a minute for each route, which shows no value', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    for (let time = 0; time < 3; time++) expect((await post('login-as', '{"userId":77001}')).status).toBe(400);
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/^POST \/login-as: user\.userId is .*String\(id\)/)]]);
    app.clock.advanceSeconds(61);
    await post('login-as', '{"userId":77001}');
    expect(warn).toHaveBeenCalledTimes(2);
    expect(JSON.stringify(warn.mock.calls)).not.toContain('77001');
    warn.mockRestore();
  });

  it('is a line once a second for a route, however often it is sent', async () => {
    const lines = (route: string) => debug.mock.calls.map(String).filter((line) => line.includes(`POST /${route} `));
    for (let time = 0; time < 3; time++) expect((await post('guarded', '{"n":1e999}')).status).toBe(400);
    await post('merged', '{"n":1e999}');
    expect([lines('guarded').length, lines('merged').length]).toEqual([1, 1]);
    app.clock.advanceSeconds(1);
    await post('guarded', '{"n":1e999}');
    expect(lines('guarded')[1]).toContain('and 2 times more since this was last said');
  });

  it.each(['5', '[]', '"text"', 'null', 'true'])('data of %s are a wrong call and make no session', async (data) => {
    const response = await post('start-with', data, {});
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ statusCode: 500, message: 'Internal Server Error' });
    expect(response.headers.get('x-session-token')).toBeNull();
    expect(error.mock.calls).toEqual([
      [
        expect.stringContaining('POST /start-with: The data of a session must be an object'),
        // Where the call is.
        expect.stringContaining('CarelessController.'),
      ],
    ]);
  });

  it.each<[userId: string, status: number]>([
    ['7', 400],
    ['""', 400],
    ['{"$ne":null}', 400],
    [JSON.stringify('x'.repeat(513)), 400],
    ['"carl"', 201],
  ])('log out everywhere for the user %s is %i', async (userId, status) => {
    expect((await post('user-of', userId)).status).toBe(status);
    expect(error).not.toHaveBeenCalled();
  });

  it.each<[message: string, status: number]>([
    ['7', 400],
    ['{"a":1}', 400],
    ['null', 400],
    ['"hello"', 201],
  ])('a flash message %s is %i', async (message, status) => {
    expect((await post('flash', message)).status).toBe(status);
    expect(error).not.toHaveBeenCalled();
  });

  it.each([
    ['dated', 'data.at'],
    ['dated-session', 'data.at'],
    ['user-changed', 'user.userId'],
    ['no-user', 'user.userId'],
    ['no-flash', 'A flash message is a string'],
  ])('what only the application can get wrong is a 500 by /%s, and one line at error', async (route, path) => {
    const response = await post(route, '0');
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ statusCode: 500, message: 'Internal Server Error' });
    expect(error.mock.calls.map(([line]) => String(line))).toEqual([expect.stringContaining(path)]);
    expect(await stored()).toEqual({ user: 'ann', data: {} });
  });

  it('a login that would take too much along leaves the anonymous session and its data, and no user', async () => {
    const { token } = (await (await post('cart', '0', {})).json()) as { token: string };
    const guest = { Authorization: `Bearer ${token}` };
    const created = jest.spyOn(backend, 'create');
    const response = await post('logged-in', JSON.stringify('y'.repeat(40_000)), guest);
    expect(response.status).toBe(413);
    expect(created).not.toHaveBeenCalled();
    expect(await (await app.fetch('/data', { headers: guest })).json()).toMatchObject({
      user: null,
      data: { cart: 'x'.repeat(40_000) },
    });
    expect(await sessions.listUserSessions('bob')).toEqual([]);
    created.mockRestore();
  });
});
