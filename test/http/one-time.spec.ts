import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  All,
  BadRequestException,
  Controller,
  Get,
  HttpCode,
  Post,
  Query,
  Redirect,
  Req,
  UseGuards,
} from '@nestjs/common';
import {
  AllowAnonymous,
  CurrentSession,
  MemoryBackend,
  OneTime,
  OptionalSession,
  SessionGuard,
  SessionService,
  SessionUsageError,
  UseSession,
  type Session,
} from 'nestjs-sessionx';
import { connect } from 'node:net';
import { once } from 'node:events';

import { PLATFORMS, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { everyBackend, memory } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce } from '../support/services.js';
import { send } from '../support/raw-client.js';

const OWN = { 'sec-fetch-site': 'same-origin' };

@Controller()
class OneTimeController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Redirect('/taken')
  @Get('put')
  async put(@Req() request: object, @Query('value') value: string) {
    const { session } = await this.sessions.start(request);
    await this.sessions.oneTime.put(session, 'state', value);
  }

  @All('taken')
  @HttpCode(200)
  taken(@OneTime('state') state: string | null) {
    return { state };
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @Get('guarded')
  guarded(@OneTime('state') state: string | null, @OneTime('other') other: null, @CurrentSession() session: Session) {
    return { state, other, id: session.sessionId };
  }

  @Get('consumed')
  async consumed(@OptionalSession() session: Session | null) {
    return { state: session && (await this.sessions.oneTime.consume(session, 'state')) };
  }

  @Get('thrown')
  thrown(@OneTime('state') state: string | null) {
    throw new BadRequestException(`with ${state}`);
  }

  @Get('changed')
  changed(@OneTime('state') state: string | null, @CurrentSession() session: Session) {
    session.data.last = state;
    return { state };
  }

  @UseSession()
  @Post('login')
  async login(@Req() request: object, @Query('user') userId: string) {
    const { session, token } = await this.sessions.login(request, { userId });
    return { token, id: session.sessionId };
  }

  @UseSession()
  @Post('logged-out')
  async loggedOut(@Req() request: object, @OptionalSession() session: Session) {
    await this.sessions.logout(request);
    return { state: await this.sessions.oneTime.consume(session, 'state') };
  }
}

const start = (platform: Platform, backend = new MemoryBackend() as object, options = {}) =>
  startApp({
    platform,
    controllers: [OneTimeController],
    session: { backend: backend as MemoryBackend, tokenSourcePriority: ['cookie', 'header'], ...options },
  });

async function put(app: AppUnderTest, value = 'secret', headers: Record<string, string> = {}) {
  const response = await app.fetch(`/put?value=${value}`, { headers: { ...OWN, ...headers } });
  expect(response.status).toBe(302);
  return { ...OWN, cookie: response.headers.getSetCookie()[0]?.split(';', 1)[0] ?? headers.cookie ?? '' };
}

async function stateIn(response: Response): Promise<unknown> {
  expect(response.status).toBe(200);
  return ((await response.json()) as { state: unknown }).state;
}

describe.each(PLATFORMS)('one-time values, on %s', (platform) => {
  describe.each(everyBackend())('on $name', (store) => {
    it('go to one of 20 requests at once, in two processes', async () => {
      await store.start();
      const apps = [await start(platform, store.another()), await start(platform, store.another())];
      const headers = await put(apps[0]!);
      const responses = await atOnce(20, (index) =>
        apps[index % 2]!.fetch(index % 4 < 2 ? '/taken' : '/consumed', { headers }),
      );
      const states = await Promise.all(responses.map(stateIn));
      expect(states.filter((state) => state !== null)).toEqual(['secret']);
      for (const app of apps) await app.close();
      await store.stop();
    });
  });

  describe('in one process', () => {
    let barrier: BarrierBackend;
    let app: AppUnderTest;

    beforeAll(async () => {
      barrier = new BarrierBackend(new MemoryBackend());
      app = await start(platform, barrier.backend);
    });

    beforeEach(() => {
      barrier.heal();
    });

    afterAll(() => app.close());

    const taken = async (headers: Record<string, string>, path = '/taken') =>
      stateIn(await app.fetch(path, { headers }));

    it('are seen after the redirect, once, with a guard or without, by a response that no cache keeps', async () => {
      const headers = await put(app);
      const response = await app.fetch('/guarded', { headers });
      expect(response.headers.get('cache-control')).toContain('no-store');
      expect(await response.json()).toEqual({ state: 'secret', other: null, id: expect.any(String) });
      for (const path of ['/taken', '/guarded', '/consumed']) expect(await taken(headers, path)).toBeNull();
    });

    it('are null without a session, with a token that opens none, and in the session of another client', async () => {
      const headers = await put(app);
      const other = await put(app, 'of another');
      const { cookie } = headers;
      expect(await taken({ ...OWN })).toBeNull();
      expect(await taken({ ...OWN, cookie: cookie.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')) })).toBeNull();
      expect(await taken(other)).toBe('of another');
      expect(await taken(headers)).toBe('secret');
      expect((await app.fetch('/guarded')).status).toBe(401);
    });

    it.each<[what: string, init: { method?: string; headers?: Record<string, string> }]>([
      ['HEAD', { method: 'HEAD' }],
      ['a prefetch', { headers: { 'sec-purpose': 'prefetch' } }],
      ['a prerendered page', { headers: { 'sec-purpose': 'prefetch;prerender' } }],
      ['a prefetch of an old browser', { headers: { purpose: 'prefetch' } }],
      [
        'an image in a page of another site',
        { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' } },
      ],
    ])('are not taken by %s', async (what, { method = 'GET', headers: more = {} }) => {
      const headers = await put(app);
      for (const path of what.includes('another site') ? ['/taken'] : ['/taken', '/consumed']) {
        const response = await app.fetch(path, { method, headers: { ...headers, ...more } });
        expect(response.status).toBe(200);
        expect(response.headers.get('cache-control')).toContain('no-store');
        expect(await response.text()).toBe(method === 'HEAD' ? '' : '{"state":null}');
      }
      expect(await taken(headers)).toBe('secret');
    });

    /** `fetch` names a mode of its own. */
    const fromAnotherSite = (method: string, { cookie }: { readonly cookie: string }) =>
      send(`${app.url}/taken`, {
        method,
        headers: ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'navigate', 'Cookie', cookie],
      });

    it('are taken by the way back from another site', async () => {
      const headers = await put(app);
      expect((await fromAnotherSite('GET', headers)).body).toBe('{"state":"secret"}');
    });

    it('are taken by a handler that calls consume() for whatever another site sends', async () => {
      const headers = { ...(await put(app)), 'sec-fetch-site': 'cross-site' };
      expect(await taken(headers)).toBeNull();
      expect(await taken(headers, '/consumed')).toBe('secret');
    });

    it('are not taken by an unsafe request of another site', async () => {
      const headers = await put(app);
      expect((await fromAnotherSite('POST', headers)).status).toBe(403);
      expect(await taken(headers)).toBe('secret');
    });

    it('are a 503 where the store fails, and are still there', async () => {
      const headers = await put(app);
      barrier.fail('replace');
      for (const path of ['/taken', '/consumed']) {
        const response = await app.fetch(path, { headers });
        expect([response.status, response.headers.get('retry-after')]).toEqual([503, expect.any(String)]);
      }
      expect((await app.fetch('/put?value=new', { headers })).status).toBe(503);
      barrier.heal();
      expect(await taken(headers)).toBe('secret');
    });

    it('are gone once a handler has them, though it fails, or its changes cannot be stored', async () => {
      const failed = await put(app);
      expect((await app.fetch('/thrown', { headers: failed })).status).toBe(400);
      expect(await taken(failed)).toBeNull();

      const unstored = await put(app);
      const consume = barrier.stopNext('replace');
      const response = app.fetch('/changed', { headers: unstored });
      await consume.arrived;
      const commit = consume.done.then(() => barrier.stopNext('replace'));
      consume.letGo();
      const { arrived, letGo } = await commit;
      await arrived;
      barrier.fail('replace');
      letGo();
      expect((await response).status).toBe(503);
      barrier.heal();
      expect(await taken(unstored)).toBeNull();
    });

    it('are gone though the response is lost', async () => {
      const headers = await put(app);
      const consume = barrier.stopNext('replace');
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
      socket.write(`GET /taken HTTP/1.1\r\nHost: a\r\nCookie: ${headers.cookie}\r\n\r\n`);
      await consume.arrived;
      socket.destroy();
      await once(socket, 'close');
      consume.letGo();
      await consume.done;
      expect(await taken(headers)).toBeNull();
    });

    it('go along with a login of the visitor, and never into the session of another user', async () => {
      const visitor = await put(app);
      const login = async (user: string, headers: Record<string, string>) => {
        const response = await app.fetch(`/login?user=${user}`, { method: 'POST', headers });
        expect(response.status).toBe(201);
        return { ...OWN, cookie: response.headers.getSetCookie()[0]!.split(';', 1)[0]! };
      };
      const ann = await login('ann', visitor);
      expect(await taken(visitor)).toBeNull();
      expect(await taken(ann)).toBe('secret');
      await put(app, 'of ann', ann);
      expect(await taken(await login('bob', ann))).toBeNull();
    });

    it('are refused after a logout in the same request', async () => {
      const headers = await put(app);
      expect((await app.fetch('/logged-out', { method: 'POST', headers })).status).toBe(401);
      expect(await taken(headers)).toBeNull();
    });
  });

  describe('where a login carries nothing over', () => {
    let app: AppUnderTest;
    afterEach(() => app.close());

    it('stay behind', async () => {
      const store = memory();
      await store.start();
      app = await start(platform, store.another(), { regenerateOnLogin: false });
      const visitor = await put(app);
      const response = await app.fetch('/login?user=ann', { method: 'POST', headers: visitor });
      const cookie = response.headers.getSetCookie()[0]!.split(';', 1)[0]!;
      expect(await stateIn(await app.fetch('/taken', { headers: { ...OWN, cookie } }))).toBeNull();
    });
  });
});

it('@OneTime() refuses a name that is none when the class is made', () => {
  for (const name of ['', undefined, 7]) expect(() => OneTime(name as string)).toThrow(SessionUsageError);
});
