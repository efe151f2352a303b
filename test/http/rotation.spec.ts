import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Body,
  ConflictException,
  Controller,
  Get,
  HttpCode,
  Post,
  Req,
  Res,
  Sse,
  StreamableFile,
  UseGuards,
} from '@nestjs/common';
import { parseSetCookie } from 'cookie';
import { once } from 'node:events';
import { request as send, type Server, type ServerResponse } from 'node:http';
import {
  CsrfToken,
  CurrentSession,
  MemoryBackend,
  Passive,
  Session,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionEvent,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { of } from 'rxjs';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const EVERY_S = 600;
const GRACE_S = 10;
const ROTATION = { rotateEvery: EVERY_S, rotateGrace: GRACE_S };
const COOKIE = 'sid';
const OWN = { 'sec-fetch-site': 'same-origin' };

/** How the token of a client travels. */
interface Carrier {
  readonly by: 'cookie' | 'bearer';
  readonly session: Partial<SessionModuleOptions>;
  headers(token: string): Record<string, string>;
  tokenIn(headers: Headers): string | null;
}

const BY_COOKIE: Carrier = {
  by: 'cookie',
  session: { tokenSourcePriority: ['cookie'], cookie: { name: COOKIE, secure: false } },
  headers: (token) => ({ ...OWN, ...(token === '' ? {} : { cookie: `${COOKIE}=${token}` }) }),
  tokenIn: (headers) => {
    const cookies = headers.getSetCookie().map((line) => parseSetCookie(line));
    return cookies.find(({ name }) => name === COOKIE)?.value ?? null;
  },
};
const BY_BEARER: Carrier = {
  by: 'bearer',
  session: { tokenSourcePriority: ['bearer'] },
  headers: (token): Record<string, string> => (token === '' ? {} : { authorization: `Bearer ${token}` }),
  tokenIn: (headers) => headers.get('x-session-token'),
};

interface Barrier {
  readonly arrived: Promise<void>;
  readonly go: () => void;
  /** Called by the handler. */
  pass(): Promise<void>;
}

let barrier: Barrier | null = null;
let letGo: (() => void)[] = [];

/** Stops the next handler that waits, until `go()`. */
function holdHandler(): Barrier {
  let arrive!: () => void;
  let go!: () => void;
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  const opened = new Promise<void>((resolve) => (go = resolve));
  letGo.push(go);
  barrier = {
    arrived,
    go,
    pass: () => {
      arrive();
      return opened;
    },
  };
  return barrier;
}

async function wait(): Promise<void> {
  const held = barrier;
  barrier = null;
  await held?.pass();
}

/** Express's response, or Fastify's reply. */
type AnyResponse = ServerResponse & { readonly raw?: ServerResponse; hijack?: () => void };

function rawOf(response: AnyResponse): ServerResponse {
  response.hijack?.();
  return response.raw ?? response;
}

@Controller()
class SlowController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Body() { user = 'ann' }: { user?: string }) {
    const { token, csrfToken } = await this.sessions.login(request, { userId: user });
    return { token, csrfToken };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { id: session.sessionId, data: session.data };
  }

  /** Never gives the session a new id. */
  @Passive()
  @UseGuards(SessionGuard)
  @Get('poll')
  poll(@CurrentSession() session: Session) {
    return { id: session.sessionId };
  }

  @UseGuards(SessionGuard)
  @Get('slow/json')
  async json(@CurrentSession() session: Session) {
    await wait();
    return { id: session.sessionId };
  }

  @UseGuards(SessionGuard)
  @Get('slow/change')
  async change(@CurrentSession() session: Session) {
    await wait();
    session.data.changed = true;
    return {};
  }

  @UseGuards(SessionGuard)
  @Get('slow/throws')
  async throws() {
    await wait();
    throw new ConflictException();
  }

  @UseGuards(SessionGuard)
  @Get('slow/writes')
  async writes(@Res() response: AnyResponse) {
    const raw = rawOf(response);
    await wait();
    raw.write('a');
    raw.end('b');
  }

  @UseGuards(SessionGuard)
  @Get('slow/writes-head')
  async writesHead(@Res() response: AnyResponse) {
    const raw = rawOf(response);
    await wait();
    raw.writeHead(200, { 'content-type': 'text/plain' });
    raw.end('b');
  }

  @UseGuards(SessionGuard)
  @Get('slow/flushes-head')
  async flushesHead(@Res() response: AnyResponse) {
    const raw = rawOf(response);
    await wait();
    raw.flushHeaders();
    raw.end('b');
  }

  @UseGuards(SessionGuard)
  @Get('slow/file')
  async file() {
    await wait();
    return new StreamableFile(Buffer.from('a file'));
  }

  @UseGuards(SessionGuard)
  @Sse('slow/events')
  async events() {
    await wait();
    return of({ data: 'an event' });
  }

  @UseGuards(SessionGuard)
  @Get('slow/not-modified')
  async notModified(@Res() response: AnyResponse) {
    const raw = rawOf(response);
    await wait();
    raw.statusCode = 304;
    raw.end();
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('new-id')
  async newId(@CurrentSession() session: Session) {
    const { token } = await this.sessions.regenerateSessionId(session);
    await wait();
    return { token };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('slow/login')
  async slowLogin(@Req() request: object) {
    await wait();
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { token };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('slow/logout')
  async slowLogout(@Req() request: object) {
    await wait();
    await this.sessions.logout(request);
    return {};
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('start')
  async start(@Req() request: object) {
    const { token, session } = await this.sessions.start(request);
    return { token, id: session.sessionId };
  }

  @UseGuards(SessionGuard)
  @Get('form')
  form(@CsrfToken() csrfToken: string | null) {
    return { csrfToken };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('set')
  set(@CurrentSession() session: Session) {
    session.data.set = true;
    return {};
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly body: Record<string, unknown>;
  /** The token that came with it; `null`: none. */
  readonly token: string | null;
}

describe.each(PLATFORMS.flatMap((platform) => [BY_COOKIE, BY_BEARER].map((carrier) => ({ platform, carrier }))))(
  'rotateEvery, on $platform by $carrier.by',
  ({ platform, carrier }) => {
    let app: AppUnderTest;
    let store: BarrierBackend;
    let events: SessionEvent[];

    async function start(session: Partial<SessionModuleOptions> = {}): Promise<void> {
      store = new BarrierBackend(new MemoryBackend());
      app = await startApp({
        platform,
        controllers: [SlowController],
        session: { backend: store.backend, ...ROTATION, ...carrier.session, ...session },
      });
      events = [];
      app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
    }

    beforeEach(() => {
      barrier = null;
    });

    afterEach(() => {
      // A test that has failed may have left a request in its handler.
      for (const go of letGo) go();
      letGo = [];
      return app.close();
    });

    async function call(method: string, path: string, token: string, headers = {}): Promise<Answer> {
      const hasBody = method === 'POST';
      const response = await app.fetch(path, {
        method,
        headers: { ...carrier.headers(token), ...headers, ...(hasBody ? { 'content-type': 'application/json' } : {}) },
        ...(hasBody ? { body: '{}' } : {}),
      });
      const text = await response.text();
      const body = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
      return { status: response.status, text, body, token: carrier.tokenIn(response.headers) };
    }

    const get = (path: string, token: string, headers = {}) => call('GET', path, token, headers);
    const post = (path: string, token: string, headers = {}) => call('POST', path, token, headers);

    async function signIn(): Promise<string> {
      return (await post('/login', '')).token!;
    }

    /** A client whose session is to get a new id by its next request. */
    async function dueClient(session: Partial<SessionModuleOptions> = {}): Promise<string> {
      await start(session);
      const token = await signIn();
      app.clock.advanceSeconds(EVERY_S);
      return token;
    }

    /** Begins a request whose handler waits until `go()`. */
    async function beginSlow(method: string, path: string, token: string) {
      const held = holdHandler();
      const response = call(method, path, token);
      await held.arrived;
      return { response, go: held.go };
    }

    const newIds = () => events.filter(({ type }) => type === 'regenerated');

    describe.each(['ignore', 'end-session', 'end-user-sessions'] as const)(
      'a request that is longer than the grace, with onReuse %s',
      (onReuse) => {
        it('does no harm to the other requests of its client, and brings the token at its end', async () => {
          const old = await dueClient({ onReuse });
          const otherDevice = await signIn();
          const slow = await beginSlow('GET', '/slow/json', old);
          for (let seconds = 0; seconds < 3 * GRACE_S; seconds += GRACE_S) {
            expect((await get('/poll', old)).status).toBe(200);
            app.clock.advanceSeconds(GRACE_S);
          }
          slow.go();
          const { status, token } = await slow.response;
          expect([status, typeof token]).toEqual([200, 'string']);
          // The grace begins with the response.
          app.clock.advance(GRACE_S * 1000 - 1);
          expect((await get('/poll', old)).status).toBe(200);
          expect((await get('/poll', token!)).status).toBe(200);
          expect((await get('/poll', otherDevice)).status).toBe(200);
          expect(events.filter(({ type }) => type === 'reused' || type === 'ended')).toEqual([]);
          app.clock.advance(1);
          expect((await get('/poll', token!)).status).toBe(200);
          expect((await get('/poll', old)).status).toBe(401);
        });

        it('leaves the new id to a quick request, and brings no token then', async () => {
          const old = await dueClient({ onReuse });
          const slow = await beginSlow('GET', '/slow/json', old);
          const quick = await get('/me', old);
          expect([quick.status, typeof quick.token]).toEqual([200, 'string']);
          app.clock.advanceSeconds(2 * GRACE_S);
          slow.go();
          const late = await slow.response;
          expect([late.status, late.token]).toEqual([200, null]);
          expect((await get('/me', quick.token!)).status).toBe(200);
          expect(newIds()).toHaveLength(1);
          expect(events.filter(({ type }) => type === 'reused' || type === 'ended')).toEqual([]);
        });
      },
    );

    it.each([
      ['throws', 409],
      ['writes', 200],
      ['writes-head', 200],
      ['flushes-head', 200],
      ['file', 200],
      ['events', 200],
      ['not-modified', 304],
    ])('rotates before the head of a response of GET /slow/%s', async (path, expected) => {
      const old = await dueClient();
      const slow = await beginSlow('GET', `/slow/${path}`, old);
      app.clock.advanceSeconds(2 * GRACE_S);
      expect((await get('/poll', old)).status).toBe(200);
      slow.go();
      const { status, token } = await slow.response;
      expect([status, typeof token]).toEqual([expected, 'string']);
      expect((await get('/poll', old)).status).toBe(200);
      app.clock.advanceSeconds(GRACE_S);
      expect((await get('/poll', token!)).status).toBe(200);
    });

    it('stores the changes of the handler, and then gives the new id', async () => {
      const old = await dueClient();
      const slow = await beginSlow('GET', '/slow/change', old);
      app.clock.advanceSeconds(2 * GRACE_S);
      slow.go();
      const { status, token } = await slow.response;
      expect(status).toBe(200);
      expect((await get('/me', token!)).body.data).toEqual({ changed: true });
    });

    it('shows the handler the id that the request came with', async () => {
      const old = await dueClient();
      const before = (await get('/poll', old)).body.id;
      const { body, token } = await get('/me', old);
      expect(body.id).toBe(before);
      const after = (await get('/poll', token!)).body.id;
      expect(newIds()).toMatchObject([{ cause: 'rotated', previousSessionId: before, sessionId: after }]);
    });

    it('keeps the change and the token of a request whose store fails to rotate', async () => {
      const old = await dueClient();
      store.fail('create');
      const slow = await beginSlow('GET', '/slow/change', old);
      slow.go();
      const { status, token } = await slow.response;
      expect([status, token]).toEqual([200, null]);
      store.heal();
      app.clock.advanceSeconds(2 * GRACE_S);
      const next = await get('/me', old);
      expect([next.status, next.body.data, typeof next.token]).toEqual([200, { changed: true }, 'string']);
    });

    it('does not rotate if the changes cannot be stored', async () => {
      const old = await dueClient();
      const slow = await beginSlow('GET', '/slow/change', old);
      store.fail('replace');
      slow.go();
      const { status, token } = await slow.response;
      expect([status, token]).toEqual([503, null]);
      store.heal();
      expect(newIds()).toEqual([]);
      expect((await get('/me', old)).status).toBe(200);
    });

    it('does not rotate for a client that has gone', async () => {
      const old = await dueClient();
      const held = holdHandler();
      const closed = new Promise<void>((resolve) => {
        (app.app.getHttpServer() as Server).once('request', (_: unknown, response: ServerResponse) => {
          void once(response, 'close').then(() => {
            resolve();
          });
        });
      });
      const client = send(`${app.url}/slow/change`, { headers: carrier.headers(old) });
      client.on('error', () => undefined);
      client.end();
      await held.arrived;
      const stored = store.stopNext('replace');
      client.destroy();
      await closed;
      held.go();
      await stored.arrived;
      stored.letGo();
      await stored.done;
      // Served behind all that the request has begun.
      expect((await get('/poll', old)).status).toBe(200);
      expect(newIds()).toEqual([]);
      app.clock.advanceSeconds(2 * GRACE_S);
      const next = await get('/me', old);
      expect([next.status, next.body.data, newIds().length]).toEqual([200, { changed: true }, 1]);
    });

    it('does not replace the new id that the handler has asked for, however long ago', async () => {
      const old = await dueClient();
      const slow = await beginSlow('POST', '/new-id', old);
      app.clock.advanceSeconds(EVERY_S);
      slow.go();
      const { body, token } = await slow.response;
      if (carrier.by === 'bearer') expect(token).toBe(body.token);
      expect(newIds()).toMatchObject([{ cause: 'regenerated' }]);
      expect((await get('/poll', token!)).status).toBe(200);
    });

    it('a login in a slow handler leaves one session, and a logout none', async () => {
      const old = await dueClient();
      const login = await beginSlow('POST', '/slow/login', old);
      app.clock.advanceSeconds(2 * GRACE_S);
      login.go();
      const { token } = await login.response;
      expect((await get('/poll', old)).status).toBe(401);
      expect(await app.app.get(SessionService).listUserSessions('ann')).toHaveLength(1);
      app.clock.advanceSeconds(EVERY_S);
      const logout = await beginSlow('POST', '/slow/logout', token!);
      app.clock.advanceSeconds(2 * GRACE_S);
      logout.go();
      await logout.response;
      expect((await get('/poll', token!)).status).toBe(401);
      expect(newIds()).toEqual([]);
    });

    it('start() in a request that rotates returns no token but that of the new id', async () => {
      const old = await dueClient();
      const { body, token } = await post('/start', old);
      expect(body.token).toBe(carrier.by === 'cookie' ? null : token);
      app.clock.advanceSeconds(GRACE_S);
      expect((await get('/poll', token!)).status).toBe(200);
      expect(newIds()).toHaveLength(1);
    });

    it('puts off the idle expiry when the request comes, so that a slow one does not outlive its session', async () => {
      const old = await dueClient({ sessionTtl: 1000 });
      const slow = await beginSlow('GET', '/slow/json', old);
      app.clock.advanceSeconds(900);
      slow.go();
      const { status, token } = await slow.response;
      expect([status, typeof token]).toEqual([200, 'string']);
      app.clock.advanceSeconds(900);
      expect((await get('/poll', token!)).status).toBe(200);
    });

    it('a request that rotates costs two calls, and three where the idle expiry is due too', async () => {
      const old = await dueClient();
      const before = store.total;
      const { token } = await get('/me', old);
      expect(store.total - before).toBe(2);
      app.clock.advanceSeconds(1800);
      await get('/me', token!);
      expect(store.total - before).toBe(5);
    });

    if (carrier.by === 'cookie') {
      it('the CSRF token of a page that rotates fits until the id after it is gone', async () => {
        const old = await dueClient();
        const page = await get('/form', old);
        const fits = async (token: string) =>
          (await post('/set', token, { 'x-csrf-token': page.body.csrfToken as string })).status;
        app.clock.advanceSeconds(EVERY_S - 1);
        expect(await fits(page.token!)).toBe(200);
        app.clock.advanceSeconds(1);
        const { token } = await get('/me', page.token!);
        app.clock.advance(GRACE_S * 1000 - 1);
        expect(await fits(token!)).toBe(200);
        app.clock.advance(1);
        expect(await fits(token!)).toBe(403);
      });
    }
  },
);
