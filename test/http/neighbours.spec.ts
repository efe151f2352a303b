import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, HttpCode, Inject, Post, Req, Res, Scope, UseGuards } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import compression from 'compression';
import expressSession from 'express-session';
import type { NextFunction, Request, Response } from 'express';
import {
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  SessionGuard,
  SessionService,
  UseSession,
} from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const COOKIE = { tokenSourcePriority: ['cookie' as const], cookie: { name: 'session', secure: false } };
const OWN_PAGE = { 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' };

interface CountingRequest extends Request {
  session: Request['session'] & { count?: number };
}

@Controller()
class CountingController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: CountingRequest): Promise<object> {
    request.session.count = 1;
    await this.sessions.login(request, { userId: 'ann' });
    return { loggedIn: true };
  }

  @UseGuards(SessionGuard)
  @Get('count')
  count(@CurrentSession() session: Session, @Req() request: CountingRequest): object {
    request.session.count = (request.session.count ?? 0) + 1;
    session.data.count = Number(session.data.count ?? 1) + 1;
    return { theirs: request.session.count, ours: session.data.count };
  }
}

describe.each(['before', 'behind'])('express-session that stands %s ours', (place) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let app: AppUnderTest;

  beforeAll(async () => {
    app = await startApp({
      controllers: [CountingController],
      session: { backend: barrier.backend, ...COOKIE },
      configure: (nest) => {
        const requests = nest.get(RequestSessions);
        const theirs = expressSession({ name: 'theirs', secret: 'of theirs', resave: false, saveUninitialized: false });
        const ours = (request: Request, response: Response, next: NextFunction): void => {
          requests.ofRequest(request, response);
          next();
        };
        for (const handler of place === 'before' ? [theirs, ours] : [ours, theirs]) nest.use(handler);
      },
    });
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => app.close());

  async function logInByRoute(): Promise<string> {
    const response = await app.fetch('/login', { method: 'POST', headers: OWN_PAGE });
    expect(response.status).toBe(200);
    const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(';')[0] ?? '');
    expect(cookies.map((cookie) => cookie.split('=')[0]).sort()).toEqual(['session', 'theirs']);
    return cookies.join('; ');
  }

  it('keeps both sessions, each with its cookie and its data', async () => {
    const cookie = await logInByRoute();
    for (const count of [2, 3, 4]) {
      const response = await app.fetch('/count', { headers: { cookie } });
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ theirs: count, ours: count });
    }
  });

  it('does not let a response out before ours is stored', async () => {
    const cookie = await logInByRoute();
    const write = barrier.stopNext('replace');
    let isAnswered = false;
    const pending = app.fetch('/count', { headers: { cookie } }).finally(() => {
      isAnswered = true;
    });
    await write.arrived;
    for (let request = 0; request < 2; request++) expect((await app.fetch('/count')).status).toBe(401);
    expect(isAnswered).toBe(false);
    write.letGo();
    expect((await pending).status).toBe(200);
  });

  it('sees a 503 where ours cannot be stored', async () => {
    const cookie = await logInByRoute();
    barrier.fail('replace');
    const response = await app.fetch('/count', { headers: { cookie } });
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ statusCode: 503, message: 'Service Unavailable' });
    barrier.heal();
    expect(await (await app.fetch('/count', { headers: { cookie } })).json()).toMatchObject({ ours: 2 });
  });
});

describe.each(['before', 'behind'])('compression that stands %s ours', (place) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let app: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  @UseGuards(SessionGuard)
  @Controller()
  class LargeController {
    @Get('json')
    json(@CurrentSession() session: Session): object {
      session.data.count = Number(session.data.count ?? 0) + 1;
      return { large: 'x'.repeat(300_000) };
    }

    @Get('flush')
    flush(@CurrentSession() session: Session, @Res() response: Response): void {
      session.data.count = Number(session.data.count ?? 0) + 1;
      response.type('text/plain').flushHeaders();
      response.end('x'.repeat(300_000));
    }
  }

  beforeAll(async () => {
    app = await startApp({
      controllers: [LargeController],
      session: { backend: barrier.backend },
      configure: (nest) => {
        const requests = nest.get(RequestSessions);
        const ours = (request: Request, response: Response, next: NextFunction): void => {
          requests.ofRequest(request, response);
          next();
        };
        for (const handler of place === 'before' ? [compression(), ours] : [ours, compression()]) nest.use(handler);
      },
    });
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => app.close());

  it.each(['/json', '/flush'])('sends %s whole, and a 503 where it cannot be stored', async (path) => {
    expect(await (await app.fetch(path, { headers })).text()).toContain('x'.repeat(300_000));
    barrier.fail('replace');
    const response = await app.fetch(path, { headers });
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ statusCode: 503, message: 'Service Unavailable' });
  });
});

describe('middleware that puts a body into request.raw, on Express', () => {
  @Controller()
  class RawController {
    constructor(private readonly sessions: SessionService) {}

    @UseSession()
    @HttpCode(200)
    @Post('login')
    async login(@Req() request: object, @Body('user') userId: string): Promise<object> {
      const { token } = await this.sessions.login(request, { userId });
      return { token };
    }

    @UseGuards(SessionGuard)
    @Get('read')
    read(@CurrentSession() session: Session, @Req() request: { raw: unknown }): object {
      session.data.raw = String(request.raw);
      return { user: session.user?.userId };
    }
  }

  it.each([Buffer.from('{}'), 'a body', { headers: {}, method: 'PUT', url: '/other' }, null])(
    'does not take it for the request: %j',
    async (raw) => {
      const app = await startApp({
        controllers: [RawController],
        configure: (nest) => {
          nest.use((request: object, response: object, next: NextFunction) => {
            Object.assign(request, { raw });
            Object.assign(response, { raw });
            next();
          });
        },
      });
      const login = await app.fetch('/login', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ user: 'ann' }),
      });
      expect(login.status).toBe(200);
      const { token } = (await login.json()) as { token: string };
      const read = await app.fetch('/read', { headers: { authorization: `Bearer ${token}` } });
      expect(read.status).toBe(200);
      expect(await read.json()).toEqual({ user: 'ann' });
      expect(read.headers.get('vary')).toContain('Authorization');
      await app.close();
    },
  );
});

describe.each(PLATFORMS)('CORS on %s that exposes every header', (platform) => {
  @Controller()
  class ExposedController {
    constructor(private readonly sessions: SessionService) {}

    @UseGuards(SessionGuard)
    @Get('read')
    read(): object {
      return {};
    }

    @UseSession()
    @HttpCode(200)
    @Post('login')
    async login(@Req() request: object): Promise<object> {
      await this.sessions.login(request, { userId: 'ann' }, { transport: 'cookie' });
      return {};
    }
  }

  it('still names ours, as * names none to a page that sends credentials', async () => {
    const app = await startApp({
      platform,
      controllers: [ExposedController],
      session: { cookie: { name: 'session', secure: false }, tokenSourcePriority: ['bearer', 'cookie'] },
      configure: (nest) => {
        nest.enableCors({ origin: 'https://page.example', credentials: true, exposedHeaders: '*' });
      },
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    app.clock.advanceSeconds(1800);
    const read = await app.fetch('/read', { headers: { ...headers, origin: 'https://page.example' } });
    expect(read.headers.get('x-session-token')).not.toBeNull();
    expect(read.headers.get('access-control-expose-headers')).toBe('*, X-Session-Token');
    const login = await app.fetch('/login', { method: 'POST', headers: { 'sec-fetch-site': 'same-origin' } });
    expect(login.headers.get('x-csrf-token')).not.toBeNull();
    expect(login.headers.get('access-control-expose-headers')).toBe('*, X-CSRF-Token');
    await app.close();
  });
});

describe.each(PLATFORMS)('a controller of each request on %s', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let app: AppUnderTest;

  @Controller({ path: 'scoped', scope: Scope.REQUEST })
  class ScopedController {
    constructor(
      private readonly sessions: SessionService,
      @Inject(REQUEST) private readonly request: object,
    ) {}

    @UseGuards(SessionGuard)
    @Get('change/:value')
    async change(@CurrentSession() session: Session): Promise<object> {
      session.data.by = session.user?.userId;
      const current = await this.sessions.current(this.request);
      return { user: session.user?.userId, same: current === session };
    }

    @UseSession()
    @HttpCode(200)
    @Post('login')
    async login(@Body('user') userId: string): Promise<object> {
      const { token } = await this.sessions.login(this.request, { userId });
      return { token };
    }

    @Get('read')
    read(@OptionalSession() session: Session | null): object {
      return { by: session?.data.by ?? null };
    }
  }

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [ScopedController],
      session: { backend: barrier.backend, backendTimeout: 10_000 },
    });
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => app.close());

  it('gives each of many requests at once its own session', async () => {
    const users = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => ({
        userId: `user ${index}`,
        headers: (await logIn(app.app, { userId: `user ${index}` })).headers,
      })),
    );
    await Promise.all(
      users.map(async ({ userId, headers }) => {
        const response = await app.fetch('/scoped/change/1', { headers });
        expect(await response.json()).toEqual({ user: userId, same: true });
        expect(await (await app.fetch('/scoped/read', { headers })).json()).toEqual({ by: userId });
      }),
    );
  });

  it('logs in by the request that it was given', async () => {
    const login = await app.fetch('/scoped/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'ann' }),
    });
    const { token } = (await login.json()) as { token: string };
    const response = await app.fetch('/scoped/change/1', { headers: { authorization: `Bearer ${token}` } });
    expect(await response.json()).toEqual({ user: 'ann', same: true });
  });

  it('responds after the change is stored, and 503 where it cannot be', async () => {
    const { headers } = await logIn(app.app, { userId: 'bob' });
    barrier.fail('replace');
    expect((await app.fetch('/scoped/change/1', { headers })).status).toBe(503);
    barrier.heal();
    const write = barrier.stopNext('replace');
    let isAnswered = false;
    const pending = app.fetch('/scoped/change/1', { headers }).finally(() => {
      isAnswered = true;
    });
    await write.arrived;
    for (let request = 0; request < 2; request++) await app.fetch('/scoped/read');
    expect(isAnswered).toBe(false);
    write.letGo();
    expect((await pending).status).toBe(200);
  });
});
