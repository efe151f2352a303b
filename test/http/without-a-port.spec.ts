import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, HttpCode, Post, Req, Res, UseGuards, type INestApplication } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  CurrentSession,
  MemoryBackend,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
} from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';

import { PLATFORMS, SECRET_KEY, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { callInProcess } from '../support/in-process.js';
import { inject } from '../support/inject.js';

interface Reply {
  readonly send: (body: unknown) => unknown;
}

@Controller()
class AccountController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object, @Body('user') userId: string): Promise<object> {
    const { csrfToken } = await this.sessions.login(request, { userId });
    return { csrfToken };
  }

  @UseGuards(SessionGuard)
  @Get('read')
  read(@CurrentSession() session: Session): object {
    return { user: session.user?.userId, seen: session.data.seen ?? 'no' };
  }

  @UseGuards(SessionGuard)
  @Get('change')
  change(@CurrentSession() session: Session): object {
    session.data.seen = 'yes';
    session.data.times = Number(session.data.times ?? 0) + 1;
    return { changed: true };
  }

  @UseGuards(SessionGuard)
  @Get('twice')
  twice(@CurrentSession() session: Session, @Res() reply: Reply): void {
    session.data.seen = 'twice';
    session.data.times = Number(session.data.times ?? 0) + 1;
    reply.send({ first: true });
    reply.send({ second: true });
  }
}

const OWN_PAGE = { 'sec-fetch-site': 'same-origin' };

async function createApp(platform: Platform, barrier: BarrierBackend): Promise<INestApplication> {
  const testing = await Test.createTestingModule({
    imports: [
      SessionModule.forRoot({
        secretKey: SECRET_KEY,
        backend: barrier.backend,
        backendTimeout: 10_000,
        tokenSourcePriority: ['cookie'],
        cookie: { name: 'session', secure: false },
      }),
    ],
    controllers: [AccountController],
  }).compile();
  const app =
    platform === 'fastify' ? testing.createNestApplication(new FastifyAdapter()) : testing.createNestApplication();
  app.useLogger(false);
  return app;
}

function cookieOf(setCookie: unknown): string {
  return String([setCookie].flat()[0]).split(';')[0] ?? '';
}

describe('a handler of Express that no server listens for', () => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let app: INestApplication;
  let handler: RequestListener;
  let cookie: string;

  beforeAll(async () => {
    app = await createApp('express', barrier);
    await app.init();
    handler = app.get<HttpAdapterHost<ExpressAdapter>>(HttpAdapterHost).httpAdapter.getInstance<RequestListener>();
    const login = callInProcess(handler, { method: 'POST', path: '/login', headers: OWN_PAGE, body: { user: 'ann' } });
    const { status, headers } = await login.response;
    expect(status).toBe(200);
    cookie = cookieOf(headers['set-cookie']);
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => app.close());

  it.each(['/change', '/twice'])('sends nothing of %s before the change is stored', async (path) => {
    const write = barrier.stopNext('replace');
    const call = callInProcess(handler, { path, headers: { cookie } });
    await write.arrived;
    await nextTurn();
    expect(call.sentBytes()).toBe(0);
    write.letGo();
    expect((await call.response).status).toBe(200);
    const read = await callInProcess(handler, { path: '/read', headers: { cookie } }).response;
    expect(JSON.parse(read.body)).toEqual({ user: 'ann', seen: path === '/twice' ? 'twice' : 'yes' });
  });

  it.each(['/change', '/twice'])('responds 503 to %s where the change cannot be stored', async (path) => {
    barrier.fail('replace');
    const { status, headers, body } = await callInProcess(handler, { path, headers: { cookie } }).response;
    expect(status).toBe(503);
    expect(headers).toMatchObject({ 'retry-after': 1, 'cache-control': 'no-store' });
    expect(JSON.parse(body)).toEqual({ statusCode: 503, message: 'Service Unavailable' });
  });

  it('responds 401 without a cookie', async () => {
    expect((await callInProcess(handler, { path: '/read' }).response).status).toBe(401);
  });
});

describe('inject() of Fastify', () => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let app: INestApplication;
  let cookie: string;

  beforeAll(async () => {
    app = await createApp('fastify', barrier);
    await app.init();
    const response = await inject(app, { method: 'POST', url: '/login', headers: OWN_PAGE, payload: { user: 'ann' } });
    expect(response.statusCode).toBe(200);
    cookie = cookieOf(response.headers['set-cookie']);
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => app.close());

  it.each(['/change', '/twice'])('resolves for %s when the change is stored', async (url) => {
    const write = barrier.stopNext('replace');
    let hasResponse = false;
    const pending = inject(app, { url, headers: { cookie } }).then((response) => {
      hasResponse = true;
      return response;
    });
    await write.arrived;
    await nextTurn();
    await nextTurn();
    expect(hasResponse).toBe(false);
    write.letGo();
    const response = await pending;
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual(url === '/twice' ? { first: true } : { changed: true });
    const read = await inject(app, { url: '/read', headers: { cookie } });
    expect(read.json()).toEqual({ user: 'ann', seen: url === '/twice' ? 'twice' : 'yes' });
  });

  it.each(['/change', '/twice'])('resolves to a 503 for %s where the change cannot be stored', async (url) => {
    barrier.fail('replace');
    const response = await inject(app, { url, headers: { cookie } });
    expect(response.statusCode).toBe(503);
    expect(response.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' });
    expect(response.json()).toEqual({ statusCode: 503, message: 'Service Unavailable' });
  });

  it('resolves to a 401 without a cookie', async () => {
    expect((await inject(app, { url: '/read' })).statusCode).toBe(401);
  });
});

describe.each(PLATFORMS)('a Unix socket on which %s listens', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let folder: string;
  let socketPath: string;
  let app: INestApplication;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sessionx-'));
    socketPath = join(folder, 'http.sock');
    app = await createApp(platform, barrier);
    await app.listen(socketPath);
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(async () => {
    await app.close();
    await rm(folder, { recursive: true });
  });

  interface Options {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: object;
  }

  async function send(path: string, { method = 'GET', headers = {}, body }: Options = {}) {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const given = { host: 'app.example', 'content-type': 'application/json', ...headers };
      httpRequest({ socketPath, path, method, headers: given, agent: false }, resolve)
        .on('error', reject)
        .end(body === undefined ? undefined : JSON.stringify(body));
    });
    return {
      status: response.statusCode,
      headers: response.headers,
      json: JSON.parse(await text(response)) as unknown,
    };
  }

  it('carries sessions, and knows the origin of pages', async () => {
    const login = await send('/login', {
      method: 'POST',
      headers: { origin: 'http://app.example' },
      body: { user: 'ann' },
    });
    expect(login.status).toBe(200);
    const cookie = cookieOf(login.headers['set-cookie']);
    expect((await send('/change', { headers: { cookie } })).status).toBe(200);
    expect((await send('/read', { headers: { cookie } })).json).toEqual({ user: 'ann', seen: 'yes' });

    const foreign = { method: 'POST', headers: { origin: 'http://other.example' }, body: { user: 'eve' } };
    expect((await send('/login', foreign)).status).toBe(403);
    barrier.fail('replace');
    expect((await send('/twice', { headers: { cookie } })).status).toBe(503);
  });
});
