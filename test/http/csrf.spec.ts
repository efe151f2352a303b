import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  All,
  Body,
  Controller,
  Get,
  HttpCode,
  Logger,
  Next,
  Post,
  Req,
  UseGuards,
  type INestApplication,
} from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { parseSetCookie } from 'cookie';
import {
  AllowAnonymous,
  CsrfToken,
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  Session,
  SessionEvents,
  SessionGuard,
  SessionModule,
  SessionService,
  SkipCsrf,
  UseSession,
  type SessionModuleOptions,
  type TokenSource,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { send, type RawResponse } from '../support/raw-client.js';

const NAME = '__Host-session';
const OWN = ['Sec-Fetch-Site', 'same-origin'];

@Controller()
class CsrfController {
  changes = 0;

  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: { query: { by?: TokenSource } }) {
    const { by } = request.query;
    const { token, csrfToken } = await this.sessions.login(request, { userId: 'ann' }, by ? { transport: by } : {});
    return { token, csrfToken };
  }

  @UseSession()
  @Get('callback')
  async callback(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
    return 'signed in';
  }

  @UseSession()
  @HttpCode(200)
  @Post('login-and-go-on')
  async loginAndGoOn(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
    const session = await this.sessions.require(request);
    await this.sessions.updateSession(session);
    return (await this.sessions.current(request))?.user;
  }

  @SkipCsrf()
  @UseSession()
  @HttpCode(200)
  @Post('form-post-callback')
  async formPostCallback(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' });
    return 'signed in';
  }

  @UseSession()
  @HttpCode(200)
  @Post('start')
  async start(@Req() request: object) {
    const { token, csrfToken } = await this.sessions.start(request);
    return { token, csrfToken };
  }

  /** Every way to a cookie that does not begin with one: a step for each word of the query. */
  @UseSession()
  @HttpCode(200)
  @Post('steps')
  async steps(@Req() request: { query: { do: string } }) {
    const transport: Record<string, TokenSource> = { h: 'header', b: 'bearer', c: 'cookie' };
    let latest: Session | null = null;
    for (const step of request.query.do.split(' ')) {
      const by = { transport: transport[step.at(-1)!]! };
      if (step.startsWith('start')) ({ session: latest } = await this.sessions.start(request, by));
      if (step.startsWith('login')) ({ session: latest } = await this.sessions.login(request, { userId: 'ann' }, by));
      if (step.startsWith('regenerate')) ({ session: latest } = await this.sessions.regenerateSessionId(latest!));
      if (step.startsWith('logout')) await this.sessions.logout(request);
    }
    return 'ok';
  }

  @UseSession()
  @Get('form')
  async form(@Req() request: object) {
    return { csrfToken: (await this.sessions.start(request)).csrfToken };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('regenerate')
  async regenerate(@CurrentSession() session: Session) {
    return { csrfToken: (await this.sessions.regenerateSessionId(session)).csrfToken };
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @HttpCode(200)
  @All('change')
  change(@CurrentSession() session: Session) {
    this.changes++;
    session.data.changed = true;
    return { changed: true };
  }

  @HttpCode(200)
  @Post('optional')
  optional(@OptionalSession('user') user: object | null) {
    return { user };
  }

  @SkipCsrf()
  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('skipped')
  skipped() {
    return 'ok';
  }

  @HttpCode(200)
  @Post('no-session')
  noSession(@Body() body: unknown) {
    return { body };
  }

  @UseGuards(SessionGuard)
  @Get('token')
  token(@CsrfToken() csrfToken: string | null, @CurrentSession() session: Session) {
    return { csrfToken, another: this.sessions.csrfToken(session) };
  }

  @Get('maybe-token')
  maybeToken(@CsrfToken() csrfToken: string | null) {
    return { csrfToken };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('passed-on')
  second(@CurrentSession('user') user: object) {
    return { user };
  }

  @UseSession()
  @HttpCode(200)
  @Post('started-then-passed-on')
  async logsIn(@Req() request: object) {
    await this.sessions.login(request, { userId: 'ann' }, { transport: 'cookie' });
    return 'ok';
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { loggedOut: await this.sessions.logout(request) };
  }
}

@Controller()
class PassesOnController {
  constructor(private readonly sessions: SessionService) {}

  @SkipCsrf()
  @All('started-then-passed-on')
  async starts(
    @Req() request: object,
    @OptionalSession() _session: Session | null,
    @Next() next: (error?: unknown) => void,
  ) {
    await this.sessions.start(request, { transport: 'header' });
    next();
  }

  @SkipCsrf()
  @All('passed-on')
  first(@OptionalSession() session: Session | null, @Next() next: (error?: unknown) => void) {
    next(session === null ? new Error('A session was expected.') : undefined);
  }
}

@SkipCsrf()
@UseGuards(SessionGuard)
@Controller('open')
class OpenController {
  @HttpCode(200)
  @Post()
  open() {
    return 'ok';
  }
}

interface Client {
  readonly value: string;
  readonly csrfToken: string;
}

class Fixture {
  private constructor(
    readonly app: AppUnderTest,
    readonly backend: BarrierBackend,
    readonly rejected: string[],
  ) {}

  static async start(platform: Platform, session: Partial<SessionModuleOptions> = {}): Promise<Fixture> {
    const backend = new BarrierBackend(new MemoryBackend());
    const app = await startApp({
      platform,
      // Fastify has one handler for a route.
      controllers: [...(platform === 'express' ? [PassesOnController] : []), CsrfController, OpenController],
      session: { tokenSourcePriority: ['header', 'bearer', 'cookie'], backend: backend.backend, ...session },
    });
    const rejected: string[] = [];
    app.app
      .get(SessionEvents)
      .on('rejected')
      .subscribe(({ reason }) => rejected.push(reason));
    return new Fixture(app, backend, rejected);
  }

  get changes(): number {
    return this.app.app.get(CsrfController).changes;
  }

  get host(): string {
    return new URL(this.app.url).host;
  }

  post(path: string, headers: readonly string[] = [], body?: string): Promise<RawResponse> {
    return send(this.app.url + path, { method: 'POST', headers, ...(body === undefined ? {} : { body }) });
  }

  async signIn(): Promise<Client> {
    return clientOf(await this.post('/login?by=cookie', OWN));
  }
}

function clientOf(response: RawResponse): Client {
  const { csrfToken } = JSON.parse(response.body) as { csrfToken: string };
  return { value: cookieIn(response), csrfToken };
}

function cookieIn({ setCookies }: RawResponse): string {
  expect(setCookies).toHaveLength(1);
  return parseSetCookie(setCookies[0]!).value!;
}

const cookie = ({ value }: Pick<Client, 'value'>) => ['Cookie', `${NAME}=${value}`];

describe.each(PLATFORMS)('protection against cross-site requests, on %s', (platform) => {
  let fixture: Fixture;
  let ann: Client;

  beforeAll(async () => {
    fixture = await Fixture.start(platform);
    ann = await fixture.signIn();
  });

  beforeEach(() => {
    fixture.rejected.length = 0;
  });

  afterAll(() => fixture.app.close());

  const change = (...headers: string[]) => fixture.post('/change', [...cookie(ann), ...headers]);

  describe('by what the browser says', () => {
    it.each<[string, (host: string) => string[]]>([
      ['Sec-Fetch-Site: same-origin', () => OWN],
      ['Origin, our own', (host) => ['Origin', `http://${host}`]],
      [
        'an unknown Sec-Fetch-Site beside our own Origin',
        (host) => ['Sec-Fetch-Site', 'new', 'Origin', `http://${host}`],
      ],
      ['Sec-Fetch-Site: none beside our own Origin', (host) => ['Sec-Fetch-Site', 'none', 'Origin', `http://${host}`]],
    ])('%s passes', async (_name, headers) => {
      expect((await change(...headers(fixture.host))).status).toBe(200);
    });

    it.each<[string, (host: string) => string[]]>([
      ['Sec-Fetch-Site: cross-site', () => ['Sec-Fetch-Site', 'cross-site']],
      ['Sec-Fetch-Site: same-site', () => ['Sec-Fetch-Site', 'same-site']],
      ['cross-site with our own Origin', (host) => ['Sec-Fetch-Site', 'cross-site', 'Origin', `http://${host}`]],
      ['the Origin of somebody else', () => ['Origin', 'https://attacker.example']],
      ['an Origin that begins as ours', (host) => ['Origin', `http://${host}.attacker.example`]],
      ['an Origin that ends as ours', (host) => ['Origin', `http://attacker-${host}`]],
      ['our host by another scheme', (host) => ['Origin', `https://${host}`]],
      ['our host on another port', () => ['Origin', 'http://127.0.0.1:1']],
      ['our host under another name', (host) => ['Origin', `http://${host.replace('127.0.0.1', 'localhost')}`]],
      ['an Origin with a path', (host) => ['Origin', `http://${host}/`]],
      ['an empty Origin', () => ['Origin', '']],
    ])('%s is a 403, with a good token too', async (_name, headers) => {
      const before = fixture.changes;
      for (const token of [[], ['X-CSRF-Token', ann.csrfToken]]) {
        const response = await change(...headers(fixture.host), ...token);
        expect(response.status).toBe(403);
        expect(JSON.parse(response.body)).toEqual({ statusCode: 403, message: 'Forbidden', code: 'CSRF_CROSS_SITE' });
        expect(response.setCookies).toEqual([]);
        expect(response.headers['www-authenticate']).toBeUndefined();
      }
      expect(fixture.changes).toBe(before);
      expect(fixture.rejected).toEqual(['CSRF_CROSS_SITE', 'CSRF_CROSS_SITE']);
    });

    it('what a user has typed in or opened from a bookmark is for the token to decide', async () => {
      expect((await change('Sec-Fetch-Site', 'none')).status).toBe(403);
      expect((await change('Sec-Fetch-Site', 'none', 'X-CSRF-Token', ann.csrfToken)).status).toBe(200);
    });

    it('costs no call to the store when it refuses', async () => {
      const before = { ...fixture.backend.calls };
      await change('Sec-Fetch-Site', 'cross-site');
      await change();
      await change('X-CSRF-Token', 'x'.repeat(86));
      expect(fixture.backend.calls).toEqual(before);
    });

    it('tells caches what the answer depends on', async () => {
      expect((await change(...OWN)).headers.vary).toMatch(/Cookie, Sec-Fetch-Site, Origin$/);
      expect((await change()).headers.vary).toMatch(/Cookie, Sec-Fetch-Site, Origin$/);
    });
  });

  describe('where the browser withholds the origin (Origin: null)', () => {
    const withheld = ['Origin', 'null'];

    it('a form with a token signs in and goes on, as under the headers of helmet over plain HTTP', async () => {
      const local = await Fixture.start(platform, { tokenSourcePriority: ['cookie'] });
      const page = clientOf(await send(`${local.app.url}/form`));
      const form = ['Content-Type', 'application/x-www-form-urlencoded', ...withheld];
      const login = await local.post('/login', [...cookie(page), ...form], `_csrf=${page.csrfToken}`);
      expect(login.status).toBe(200);
      const client = clientOf(login);
      expect((await local.post('/change', [...cookie(client), ...form], `_csrf=${client.csrfToken}`)).status).toBe(200);
      await local.app.close();
    });

    it('it is never taken for our own, and what another site says beside it counts', async () => {
      expect((await change(...withheld)).status).toBe(403);
      expect((await fixture.post('/login?by=cookie', withheld)).status).toBe(403);
      const good = ['X-CSRF-Token', ann.csrfToken];
      expect((await change(...withheld, ...good)).status).toBe(200);
      expect((await change(...withheld, 'Sec-Fetch-Site', 'same-origin')).status).toBe(200);
      for (const site of ['cross-site', 'same-site']) {
        expect((await change(...withheld, 'Sec-Fetch-Site', site, ...good)).status).toBe(403);
      }
    });
  });

  describe('a page that was opened before another user signed in', () => {
    it('does not act for that user, nor keep the session alive, though it is our own', async () => {
      const local = await Fixture.start(platform, { sessionTtl: 100 });
      const [page, next] = [await local.signIn(), await local.signIn()];
      local.app.clock.advanceSeconds(60);
      const { touch = 0 } = local.backend.calls;
      for (const path of ['/change', '/optional', '/regenerate', '/logout', '/start']) {
        const response = await local.post(path, [...cookie(next), ...OWN, 'X-CSRF-Token', page.csrfToken]);
        expect([path, response.status, response.setCookies]).toEqual([path, 403, []]);
        expect(JSON.parse(response.body)).toMatchObject({ code: 'CSRF_TOKEN_INVALID' });
      }
      expect(local.backend.calls.touch ?? 0).toBe(touch);
      expect(local.rejected).toEqual(Array.from({ length: 5 }, () => 'CSRF_TOKEN_INVALID'));
      const form = [...cookie(next), ...OWN, 'Content-Type', 'application/x-www-form-urlencoded'];
      expect((await local.post('/change', form, `_csrf=${page.csrfToken}`)).status).toBe(403);
      expect((await local.post('/change', [...cookie(next), ...OWN, 'X-CSRF-Token', next.csrfToken])).status).toBe(200);
      await local.app.close();
    });

    it('may sign in and use the new session, and so may one whose session has expired', async () => {
      const local = await Fixture.start(platform, { sessionTtl: 100, tokenSourcePriority: ['cookie'] });
      const page = clientOf(await send(`${local.app.url}/form`));
      const stale = [...OWN, 'X-CSRF-Token', page.csrfToken];
      const other = clientOf(await local.post('/login', OWN));
      for (const sent of [[], cookie(other), cookie(page), cookie({ value: 'garbage' })]) {
        expect((await local.post('/login', [...sent, ...stale])).status).toBe(200);
      }
      const another = clientOf(await local.post('/login', OWN));
      const goesOn = await local.post('/login-and-go-on', [...cookie(another), ...stale]);
      expect([goesOn.status, JSON.parse(goesOn.body)]).toMatchObject([200, { userId: 'ann' }]);
      local.app.clock.advanceSeconds(100);
      expect((await local.post('/login', [...cookie(page), ...stale])).status).toBe(200);
      await local.app.close();
    });

    it('reads as ever', async () => {
      const other = await fixture.signIn();
      const headers = [...cookie(other), ...OWN, 'X-CSRF-Token', ann.csrfToken];
      expect((await send(`${fixture.app.url}/change`, { headers })).status).toBe(200);
    });

    it('may act where nobody is signed in, and where the route asks for no proof', async () => {
      const local = await Fixture.start(platform, { tokenSourcePriority: ['cookie'] });
      const [first, second] = [await send(`${local.app.url}/form`), await send(`${local.app.url}/form`)].map(clientOf);
      const stale = [...cookie(second!), 'X-CSRF-Token', first!.csrfToken];
      expect((await local.post('/change', [...stale, ...OWN])).status).toBe(200);
      await local.app.close();
      const other = await fixture.signIn();
      expect((await fixture.post('/skipped', [...cookie(other), ...OWN, 'X-CSRF-Token', ann.csrfToken])).status).toBe(
        200,
      );
    });

    if (platform === 'express') {
      it('does not act by way of a route that asks for no proof and passes the request on', async () => {
        const other = await fixture.signIn();
        const stale = [...cookie(other), ...OWN, 'X-CSRF-Token', ann.csrfToken];
        expect((await fixture.post('/passed-on', stale)).status).toBe(403);
      });
    }
  });

  describe('by a token, where the browser says nothing', () => {
    it('in the header it passes', async () => {
      expect((await change('X-CSRF-Token', ann.csrfToken)).status).toBe(200);
    });

    it('in a field of a form or a JSON body it passes', async () => {
      const form = [...cookie(ann), 'Content-Type', 'application/x-www-form-urlencoded'];
      const json = [...cookie(ann), 'Content-Type', 'application/json'];
      expect((await fixture.post('/change', form, `a=b&_csrf=${ann.csrfToken}`)).status).toBe(200);
      expect((await fixture.post('/change', json, JSON.stringify({ _csrf: ann.csrfToken }))).status).toBe(200);
    });

    it.each<[string, (token: string) => string[]]>([
      ['no token', () => []],
      ['an empty one', () => ['X-CSRF-Token', '']],
    ])('%s is a 403 that says so', async (_name, headers) => {
      const response = await change(...headers(ann.csrfToken));
      expect(response.status).toBe(403);
      expect(JSON.parse(response.body)).toMatchObject({ code: 'CSRF_TOKEN_MISSING' });
    });

    it.each<[string, (token: string) => string[]]>([
      ['a wrong one', (token) => ['X-CSRF-Token', `${token.startsWith('A') ? 'B' : 'A'}${token.slice(1)}`]],
      ['a shorter one', (token) => ['X-CSRF-Token', token.slice(1)]],
      ['one in another spelling', (token) => ['X-CSRF-Token', `${token}==`]],
      ['two of them', (token) => ['X-CSRF-Token', token, 'X-CSRF-Token', token]],
      ['the token of the session', () => ['X-CSRF-Token', ann.value]],
    ])('%s is a 403 that says so', async (_name, headers) => {
      const response = await change(...headers(ann.csrfToken));
      expect(response.status).toBe(403);
      expect(JSON.parse(response.body)).toMatchObject({ code: 'CSRF_TOKEN_INVALID' });
    });

    it('an empty field is no token, as an empty header is none', async () => {
      const form = [...cookie(ann), 'Content-Type', 'application/x-www-form-urlencoded'];
      const response = await fixture.post('/change', form, '_csrf=');
      expect([response.status, JSON.parse(response.body)]).toMatchObject([403, { code: 'CSRF_TOKEN_MISSING' }]);
      expect((await fixture.post('/change', [...form, ...OWN], '_csrf=')).status).toBe(200);
      expect((await change(...OWN, 'X-CSRF-Token', '')).status).toBe(200);
      const both = await fixture.post('/change', [...form, 'X-CSRF-Token', ''], `_csrf=${ann.csrfToken}`);
      expect(both.status).toBe(200);
    });

    it.each([{}, { requireToken: true }])('the message says each way to send one, with %j', async (csrf) => {
      const local = await Fixture.start(platform, { csrf });
      const client = await local.signIn();
      const debug = jest.spyOn(Logger.prototype, 'debug').mockImplementation(() => undefined);
      await local.post('/change', cookie(client));
      expect(debug.mock.calls.join()).toMatch(/header X-CSRF-Token.*field _csrf.*multipart/);
      debug.mockRestore();
      await local.app.close();
    });

    it('in the URL or in a cookie it counts for nothing', async () => {
      const inUrl = await fixture.post(`/change?_csrf=${ann.csrfToken}&X-CSRF-Token=${ann.csrfToken}`, cookie(ann));
      const inCookie = await fixture.post('/change', [
        'Cookie',
        `${NAME}=${ann.value}; _csrf=${ann.csrfToken}; X-CSRF-Token=${ann.csrfToken}`,
      ]);
      expect([inUrl.status, inCookie.status]).toEqual([403, 403]);
    });

    it("a list, an object, or what an object has by nature is no field's value", async () => {
      const json = [...cookie(ann), 'Content-Type', 'application/json'];
      for (const body of [{ _csrf: [ann.csrfToken] }, { _csrf: { token: ann.csrfToken } }, [ann.csrfToken], {}]) {
        expect((await fixture.post('/change', json, JSON.stringify(body))).status).toBe(403);
      }
    });

    it("another session's is a 403, whoever signed it in", async () => {
      const other = await fixture.signIn();
      expect((await change('X-CSRF-Token', other.csrfToken)).status).toBe(403);
      expect((await fixture.post('/change', [...cookie(other), 'X-CSRF-Token', other.csrfToken])).status).toBe(200);
    });

    it('no content type opens the way', async () => {
      const types = [
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/json;x=1',
        'text/plain; application/json',
        'application/json',
        '',
      ];
      const before = fixture.changes;
      for (const type of types) {
        const response = await fixture.post('/change', [...cookie(ann), ...(type ? ['Content-Type', type] : [])], '{}');
        expect([403, 415]).toContain(response.status);
      }
      expect(fixture.changes).toBe(before);
    });

    it('renewal leaves it good; login and regeneration end it and answer with a new one', async () => {
      const local = await Fixture.start(platform, { sessionTtl: 100 });
      const first = await local.signIn();
      local.app.clock.advanceSeconds(60);
      const renewal = await local.post('/change', [...cookie(first), 'X-CSRF-Token', first.csrfToken]);
      expect(renewal.status).toBe(200);
      const renewed = { value: cookieIn(renewal) };
      expect(renewal.headers['x-csrf-token']).toBeUndefined();
      expect((await local.post('/change', [...cookie(renewed), 'X-CSRF-Token', first.csrfToken])).status).toBe(200);

      const regeneration = await local.post('/regenerate', [...cookie(renewed), 'X-CSRF-Token', first.csrfToken]);
      const second = clientOf(regeneration);
      expect(regeneration.headers['x-csrf-token']).toBe(second.csrfToken);
      expect(regeneration.headers['access-control-expose-headers']).toContain('X-CSRF-Token');
      expect((await local.post('/change', [...cookie(second), 'X-CSRF-Token', first.csrfToken])).status).toBe(403);
      expect((await local.post('/change', [...cookie(second), 'X-CSRF-Token', second.csrfToken])).status).toBe(200);

      const login = await local.post('/login', [...cookie(second), 'X-CSRF-Token', second.csrfToken]);
      const third = clientOf(login);
      expect(login.headers['x-csrf-token']).toBe(third.csrfToken);
      expect((await local.post('/change', [...cookie(third), 'X-CSRF-Token', second.csrfToken])).status).toBe(403);
      expect((await local.post('/change', [...cookie(third), 'X-CSRF-Token', third.csrfToken])).status).toBe(200);
      await local.app.close();
    });

    it('a page gets one from @CsrfToken() and from csrfToken(), masked anew each time, each as good', async () => {
      const tokens = new Set<string>();
      for (let round = 0; round < 3; round++) {
        const response = await send(`${fixture.app.url}/token`, { headers: cookie(ann) });
        const { csrfToken, another } = JSON.parse(response.body) as Record<string, string>;
        tokens.add(csrfToken!).add(another!);
      }
      expect(tokens.size).toBe(6);
      for (const token of tokens) expect((await change('X-CSRF-Token', token)).status).toBe(200);
      const nobody = await send(`${fixture.app.url}/maybe-token`);
      expect(JSON.parse(nobody.body)).toEqual({ csrfToken: null });
    });

    it('one from before a rotation of keys stays good, and one under a key that is gone does not', async () => {
      const backend = new MemoryBackend();
      const key = 'the new key, which is also long enough';
      const before = await Fixture.start(platform, { backend, indexKey: SECRET_KEY });
      const client = await before.signIn();
      const during = await Fixture.start(platform, { backend, secretKey: [key, SECRET_KEY], indexKey: SECRET_KEY });
      const changed = await during.post('/change', [...cookie(client), 'X-CSRF-Token', client.csrfToken]);
      expect(changed.status).toBe(200);
      const after = await Fixture.start(platform, { backend, secretKey: key, indexKey: SECRET_KEY });
      const renewed = { value: cookieIn(changed) };
      expect((await after.post('/change', [...cookie(renewed), ...OWN])).status).toBe(200);
      expect((await after.post('/change', [...cookie(renewed), 'X-CSRF-Token', client.csrfToken])).status).toBe(403);
      for (const { app } of [before, during, after]) await app.close();
    });
  });

  describe('where', () => {
    it.each(['GET', 'HEAD', 'OPTIONS'])('%s is asked for nothing', async (method) => {
      const headers = [...cookie(ann), 'Sec-Fetch-Site', 'cross-site'];
      expect((await send(`${fixture.app.url}/change`, { method, headers })).status).toBe(200);
    });

    it.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s is asked', async (method) => {
      const headers = [...cookie(ann), 'Sec-Fetch-Site', 'cross-site'];
      expect((await send(`${fixture.app.url}/change`, { method, headers })).status).toBe(403);
    });

    it('a method in a header or a field changes nothing', async () => {
      const override = ['X-HTTP-Method-Override', 'GET', 'X-HTTP-Method', 'GET', 'X-Method-Override', 'GET'];
      expect((await fixture.post('/change?_method=GET', [...cookie(ann), ...override])).status).toBe(403);
    });

    it('an optional session is not given to another site, nor is it called absent', async () => {
      expect((await fixture.post('/optional', [...cookie(ann), 'Sec-Fetch-Site', 'cross-site'])).status).toBe(403);
      expect((await fixture.post('/optional', ['Sec-Fetch-Site', 'cross-site'])).status).toBe(200);
    });

    it('a route that uses no session is none of ours', async () => {
      expect((await fixture.post('/no-session', [...cookie(ann), 'Sec-Fetch-Site', 'cross-site'])).status).toBe(200);
    });

    it('logout is asked, so that no other site can sign anybody out', async () => {
      expect((await fixture.post('/logout', [...cookie(ann), 'Sec-Fetch-Site', 'cross-site'])).status).toBe(403);
      expect((await change(...OWN)).status).toBe(200);
    });

    if (platform === 'express') {
      it('@SkipCsrf() speaks for its own route, not for the one that it passes the request on to', async () => {
        const foreign = ['Sec-Fetch-Site', 'cross-site'];
        expect((await fixture.post('/passed-on', [...cookie(ann), ...foreign])).status).toBe(403);
        expect((await fixture.post('/passed-on', [...cookie(ann), ...OWN])).status).toBe(200);
      });
    }

    it('@SkipCsrf() takes out a route or a controller', async () => {
      for (const path of ['/skipped', '/open']) {
        expect((await fixture.post(path, [...cookie(ann), 'Sec-Fetch-Site', 'cross-site'])).status).toBe(200);
        expect((await fixture.post(path, cookie(ann))).status).toBe(200);
        expect((await fixture.post(path, [])).status).toBe(401);
      }
    });
  });

  describe('by what carried the session', () => {
    it('a token in a header needs none of it', async () => {
      const { token } = await logIn(fixture.app.app, { userId: 'bob' });
      for (const header of [
        ['Authorization', `Bearer ${token}`],
        ['X-Session-Token', token],
      ]) {
        expect((await fixture.post('/change', [...header, 'Sec-Fetch-Site', 'cross-site'])).status).toBe(200);
        expect(
          (await fixture.post('/change', [...header, ...cookie(ann), 'Origin', 'https://app.example'])).status,
        ).toBe(200);
      }
    });

    it.each(['Bearer garbage', 'Bearer', 'Basic eDp5', 'Bearer a b'])(
      'an Authorization of "%s" beside the cookie exempts nothing',
      async (value) => {
        expect((await change('Authorization', value, 'Sec-Fetch-Site', 'cross-site')).status).toBe(403);
        expect((await change('Authorization', value)).status).toBe(403);
      },
    );

    it('a cookie that opens nothing is a 401 from our own pages and a 403 from others', async () => {
      const { value } = await fixture.signIn();
      await fixture.post('/logout', [...cookie({ value }), ...OWN]);
      expect((await fixture.post('/change', [...cookie({ value }), ...OWN])).status).toBe(401);
      expect((await fixture.post('/change', [...cookie({ value }), 'Sec-Fetch-Site', 'cross-site'])).status).toBe(403);
      expect((await fixture.post('/change', ['Cookie', `${NAME}=garbage`])).status).toBe(401);
    });
  });

  describe('a login that a cookie answers (login CSRF)', () => {
    it.each([
      ['another site', ['Sec-Fetch-Site', 'cross-site'], 'CSRF_CROSS_SITE'],
      ['another host of ours', ['Sec-Fetch-Site', 'same-site'], 'CSRF_CROSS_SITE'],
      ['another origin', ['Origin', 'https://attacker.example'], 'CSRF_CROSS_SITE'],
      ['nobody knows where', [], 'CSRF_TOKEN_MISSING'],
      ['nobody knows where, with a token of no session', ['X-CSRF-Token', 'A'.repeat(86)], 'CSRF_TOKEN_INVALID'],
    ])('from %s is a 403 that sets and stores nothing', async (_name, headers, code) => {
      const { create = 0 } = fixture.backend.calls;
      {
        const response = await fixture.post('/login?by=cookie', headers);
        expect(response.status).toBe(403);
        expect(JSON.parse(response.body)).toMatchObject({ code });
        expect(response.setCookies).toEqual([]);
      }
      expect(fixture.backend.calls.create).toBe(create);
    });

    it('from our own page passes', async () => {
      expect((await fixture.post('/login?by=cookie', OWN)).status).toBe(200);
      expect((await fixture.post('/login?by=cookie', ['Origin', `http://${fixture.host}`])).status).toBe(200);
    });

    it('from an old browser passes with the token of the session before it, as a page of ours has it', async () => {
      const local = await Fixture.start(platform, { tokenSourcePriority: ['cookie'] });
      const page = clientOf(await send(`${local.app.url}/form`));
      expect((await local.post('/login', cookie(page))).status).toBe(403);
      expect((await local.post('/login', [...cookie(page), 'X-CSRF-Token', page.csrfToken])).status).toBe(200);
      await local.app.close();
    });

    it('is held to the same when start() answers by cookie', async () => {
      const local = await Fixture.start(platform, { tokenSourcePriority: ['cookie'] });
      expect((await local.post('/start', ['Sec-Fetch-Site', 'cross-site'])).status).toBe(403);
      expect((await local.post('/start')).status).toBe(403);
      expect(local.backend.calls.create).toBeUndefined();
      expect((await local.post('/start', OWN)).status).toBe(200);
      await local.app.close();
    });

    it('is not asked when a header answers, or when a header has proved who asks', async () => {
      expect((await fixture.post('/login', ['Sec-Fetch-Site', 'cross-site'])).status).toBe(200);
      const { token } = await logIn(fixture.app.app, { userId: 'ann' });
      const proved = await fixture.post('/login?by=cookie', ['Authorization', `Bearer ${token}`]);
      expect(proved.setCookies).toHaveLength(1);
      const junk = await fixture.post('/login?by=cookie', ['Authorization', 'Bearer garbage']);
      expect(junk.status).toBe(403);
    });

    it.each([
      'start:h login:c',
      'start:b login:c',
      'start:h start:c login:c',
      'start:h regenerate login:c',
      'start:h logout start:c',
      'login:h login:c',
      'login:b logout login:c',
      'login:h logout start:c',
      'login:h regenerate login:c',
    ])('is not to be had by way of a header within the request: %s', async (steps) => {
      const path = `/steps?do=${encodeURIComponent(steps)}`;
      for (const headers of [['Sec-Fetch-Site', 'cross-site'], ['Origin', 'https://attacker.example'], []]) {
        const response = await fixture.post(path, headers);
        expect([response.status, response.setCookies]).toEqual([403, []]);
      }
      const own = await fixture.post(path, OWN);
      expect([own.status, own.setCookies.length]).toEqual([200, 1]);
    });

    it('nor by a header with a token that is none', async () => {
      for (const header of [
        ['X-Session-Token', 'garbage'],
        ['Authorization', 'Bearer garbage'],
        ['X-Session-Token', 'a', 'X-Session-Token', 'b'],
      ]) {
        const response = await fixture.post('/steps?do=start:h+login:c', [...header, 'Sec-Fetch-Site', 'cross-site']);
        expect([response.status, response.setCookies]).toEqual([403, []]);
      }
    });

    if (platform === 'express') {
      it('nor by a route with @SkipCsrf() that starts a session and passes the request on', async () => {
        const foreign = await fixture.post('/started-then-passed-on', ['Sec-Fetch-Site', 'cross-site']);
        expect([foreign.status, foreign.setCookies]).toEqual([403, []]);
        const own = await fixture.post('/started-then-passed-on', OWN);
        expect([own.status, own.setCookies.length]).toEqual([200, 1]);
      });
    }

    it('by a safe method, as at the end of a sign-in elsewhere, is for `state` to protect', async () => {
      const local = await Fixture.start(platform, { tokenSourcePriority: ['cookie'] });
      const response = await send(`${local.app.url}/callback`, { headers: ['Sec-Fetch-Site', 'cross-site'] });
      expect(response.setCookies).toHaveLength(1);
      const skipped = await local.post('/form-post-callback', ['Origin', 'https://idp.example']);
      expect(skipped.setCookies).toHaveLength(1);
      await local.app.close();
    });
  });

  describe('options', () => {
    it('an origin that is named may, another may not', async () => {
      const local = await Fixture.start(platform, { csrf: { allowedOrigins: ['https://app.example.com'] } });
      const client = await local.signIn();
      const from = async (site: string, origin: string) =>
        (await local.post('/change', [...cookie(client), 'Sec-Fetch-Site', site, 'Origin', origin])).status;
      expect(await from('same-site', 'https://app.example.com')).toBe(200);
      expect(await from('cross-site', 'https://app.example.com')).toBe(200);
      expect(await from('cross-site', 'https://app.example.com.attacker.example')).toBe(403);
      expect(await from('same-site', 'http://app.example.com')).toBe(403);
      expect(await from('same-site', 'https://APP.example.com')).toBe(403);
      await local.app.close();
    });

    it('requireToken asks for the token from our own pages too', async () => {
      const local = await Fixture.start(platform, { csrf: { requireToken: true } });
      const client = await local.signIn();
      expect((await local.post('/change', [...cookie(client), ...OWN])).status).toBe(403);
      const form = [...cookie(client), ...OWN, 'Content-Type', 'application/x-www-form-urlencoded'];
      expect((await local.post('/change', form, '_csrf=')).status).toBe(403);
      expect((await local.post('/change', [...cookie(client), ...OWN, 'X-CSRF-Token', client.csrfToken])).status).toBe(
        200,
      );
      await local.app.close();
    });

    it('header and field can have other names', async () => {
      const local = await Fixture.start(platform, { csrf: { headerName: 'X-XSRF-TOKEN', fieldName: 'authenticity' } });
      const response = await local.post('/login?by=cookie', OWN);
      const client = clientOf(response);
      expect(response.headers['x-xsrf-token']).toBe(client.csrfToken);
      expect((await local.post('/change', [...cookie(client), 'x-xsrf-token', client.csrfToken])).status).toBe(200);
      expect((await local.post('/change', [...cookie(client), 'X-CSRF-Token', client.csrfToken])).status).toBe(403);
      const json = [...cookie(client), 'Content-Type', 'application/json'];
      expect((await local.post('/change', json, JSON.stringify({ authenticity: client.csrfToken }))).status).toBe(200);
      await local.app.close();
    });

    it('enableCsrf: false asks for nothing and answers no token', async () => {
      const local = await Fixture.start(platform, { enableCsrf: false });
      const response = await local.post('/login?by=cookie', ['Sec-Fetch-Site', 'cross-site']);
      expect(JSON.parse(response.body)).toEqual({ token: null, csrfToken: null });
      expect(response.headers['x-csrf-token']).toBeUndefined();
      const client = { value: cookieIn(response) };
      expect((await local.post('/change', [...cookie(client), 'Sec-Fetch-Site', 'cross-site'])).status).toBe(200);
      await local.app.close();
    });
  });

  describe('behind a proxy that speaks TLS', () => {
    async function behindProxy(): Promise<INestApplication> {
      const testing = await Test.createTestingModule({
        imports: [SessionModule.forRoot({ secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'] })],
        controllers: [CsrfController],
      }).compile();
      const app: INestApplication =
        platform === 'fastify'
          ? testing.createNestApplication(new FastifyAdapter({ trustProxy: 'loopback' }))
          : testing.createNestApplication();
      if (platform === 'express') (app as NestExpressApplication).set('trust proxy', 'loopback');
      app.useLogger(false);
      await app.listen(0, '127.0.0.1');
      return app;
    }

    it('that is trusted, our own origin is the one that the client sees', async () => {
      const app = await behindProxy();
      const url = `${await app.getUrl()}/login`;
      const forwarded = ['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'shop.example.com'];
      const from = async (origin: string) =>
        (await send(url, { method: 'POST', headers: [...forwarded, 'Origin', origin] })).status;
      expect(await from('https://shop.example.com')).toBe(200);
      expect(await from('http://shop.example.com')).toBe(403);
      expect(await from(await app.getUrl())).toBe(403);
      await app.close();
    });

    it('that is trusted, and calls the scheme by a name of its own, a sandboxed page is no page of ours', async () => {
      const app = await behindProxy();
      for (const scheme of ['ssl', 'on', 'tls', 'file', 'https']) {
        const headers = ['X-Forwarded-Proto', scheme, 'X-Forwarded-Host', 'shop.example.com', 'Origin', 'null'];
        expect((await send(`${await app.getUrl()}/login`, { method: 'POST', headers })).status).toBe(403);
      }
      await app.close();
    });

    it('that is not, what it says is not believed', async () => {
      const forwarded = ['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'attacker.example'];
      expect((await change(...forwarded, 'Origin', 'https://attacker.example')).status).toBe(403);
    });
  });
});
