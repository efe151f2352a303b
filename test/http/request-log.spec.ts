import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Body,
  ConflictException,
  Controller,
  Get,
  HttpException,
  Post,
  Req,
  UseGuards,
  type INestApplication,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { ExpressAdapter } from '@nestjs/platform-express';
import express from 'express';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CurrentSession,
  MemoryBackend,
  OptionalSession,
  SessionGuard,
  SessionService,
  UseSession,
} from 'nestjs-sessionx';
import type { Session, TokenSource } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { LogLines } from '../support/log-lines.js';

const SECRET = 'S3cr3t-of-a-link';
/** What makes another line of one, or another text of it in a terminal. */
const ODD = /[\p{Cc}\p{Cf}]/u;

function change(session: Session): void {
  session.data.seen = Math.random();
}

@Controller('reset')
class ResetController {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @Get('guarded/:secret')
  guarded(@CurrentSession() session: Session): string {
    change(session);
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Get('fails/:secret')
  fails(@CurrentSession() session: Session): never {
    change(session);
    throw new ConflictException('the own failure');
  }

  @UseSession()
  @Get('conflict/:secret')
  conflict(@OptionalSession() session: Session): never {
    change(session);
    throw new ConflictException('the own failure');
  }

  @UseSession()
  @Get('bug/:secret')
  bug(@OptionalSession() session: Session): never {
    change(session);
    throw new TypeError('a bug of the application');
  }

  @UseSession()
  @Post('login')
  async login(@Req() request: object): Promise<never> {
    const { session } = await this.sessions.login(request, { userId: 'eve' });
    change(session);
    throw new ConflictException('the own failure');
  }

  @Post('by')
  async by(@Req() request: object, @Body() { transport }: { transport: TokenSource }): Promise<void> {
    await this.sessions.start(request, { transport });
  }

  @UseSession()
  @Post('echo')
  echo(@OptionalSession() session: Session, @Body() { text }: { text: string }): never {
    change(session);
    throw new ConflictException(text);
  }

  /** An exception that is no error to the client. */
  @UseSession()
  @Get('thrown-success/:secret')
  thrownSuccess(@OptionalSession() session: Session): never {
    change(session);
    throw new HttpException('fine', 200);
  }

  @UseSession()
  @Get('data/:secret')
  data(@OptionalSession() session: Session): string {
    session.data.when = new Date();
    return 'ok';
  }

  @Get('unknown/:secret')
  async unknown(@Req() request: object): Promise<void> {
    await this.sessions.start(request, { data: 'no object' as never });
  }
}

describe.each(PLATFORMS)('what requests leave in the log on %s', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  const log = new LogLines();
  let app: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [ResetController],
      session: { backend: barrier.backend, sessionTtl: 100_000 },
      configure: (nest) => {
        nest.setGlobalPrefix('api');
      },
    });
    app.app.useLogger(log);
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterEach(() => {
    barrier.heal();
    log.clear();
    app.clock.advanceSeconds(61);
  });

  afterAll(() => app.close());

  function get(route: string): Promise<Response> {
    return app.fetch(`/api/reset/${route}/${SECRET}?key=${SECRET}`, { headers });
  }

  it('names the route of a response that was replaced, and no value of its path', async () => {
    barrier.fail('replace');
    expect((await get('guarded')).status).toBe(503);
    expect(log.of('error')).toContainEqual(
      expect.stringContaining('The response to GET /api/reset/guarded/:secret was replaced'),
    );
    expect(log.all.join('\n')).not.toContain(SECRET);
  });

  it('tells of the replaced responses of an outage once a minute, with their number', async () => {
    barrier.fail('replace');
    for (let request = 0; request < 20; request++) expect((await get('guarded')).status).toBe(503);
    const replaced = () => log.of('error').filter((line) => line.includes('was replaced'));
    expect(replaced()).toHaveLength(1);

    app.clock.advanceSeconds(61);
    await get('guarded');
    expect(replaced()).toHaveLength(2);
    expect(replaced()[1]).toContain('and 19 times more since this was last said');
  });

  it('tells of a value that cannot be stored once a minute for a route, and hides no other route by it', async () => {
    for (let request = 0; request < 5; request++) expect((await get('data')).status).toBe(500);
    await get('unknown');
    await get('unknown');
    expect(log.of('error')).toEqual([
      expect.stringContaining('GET /api/reset/data/:secret: '),
      expect.stringContaining('GET /api/reset/unknown/:secret: The data of a session must be an object'),
    ]);
    expect(log.all.join('\n')).not.toContain(SECRET);
  });

  it.each([
    ['fails', 409, 'the own failure'],
    ['conflict', 409, 'the own failure'],
    ['bug', 500, 'Internal server error'],
  ])('%s: keeps the failure of a handler, and tells of the changes behind it', async (route, status, message) => {
    barrier.fail('replace');
    const response = await get(route);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ message });
    const failure = route === 'bug' ? 'TypeError' : '409';
    expect(log.of('error')).toContainEqual(
      expect.stringMatching(
        new RegExp(`GET /api/reset/${route}/:secret: .* could not be stored \\(.*${failure}.*\\): `),
      ),
    );
    if (route === 'bug') expect(log.all.join('\n')).toContain('a bug of the application');
  });

  it('gives no token with the failure of a handler that has logged in, where its changes cannot be stored', async () => {
    barrier.fail('replace');
    const response = await app.fetch('/api/reset/login', { method: 'POST' });
    expect(response.status).toBe(409);
    expect(response.headers.get('x-session-token')).toBeNull();
    expect(await app.app.get(SessionService).listUserSessions('eve')).toEqual([]);

    barrier.heal();
    const stored = await app.fetch('/api/reset/login', { method: 'POST' });
    expect(stored.status).toBe(409);
    expect(stored.headers.get('x-session-token')).not.toBeNull();
  });

  it.each([
    [
      'one that is long, and has line breaks and escapes',
      `x\n\u001b[31m\u202e${'y'.repeat(3000)}`,
      'by "x\\n\\u001b[31m\\u202eyyy',
    ],
    ['a number', 7, 'by a value of the type number'],
    ['an object that is no text', { toString: 1 }, 'by a value of the type object'],
  ])('names a transport that a client has chosen on one short line: %s', async (_what, transport, shown) => {
    const json = { 'content-type': 'application/json' };
    const response = await app.fetch('/api/reset/by', {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ transport }),
    });
    expect([response.status, log.of('error').length]).toEqual([500, 1]);
    expect(log.of('error')[0]).toContain(shown);
    expect(log.of('error')[0]!.length).toBeLessThan(250);
    expect(log.all.join('')).not.toMatch(ODD);
  });

  it('quotes the message of a handler that has failed, which may hold what a client has sent', async () => {
    barrier.fail('replace');
    const text = `x\n\u001b[31m\u202e${'y'.repeat(3000)}`;
    const json = { ...headers, 'content-type': 'application/json' };
    await app.fetch('/api/reset/echo', { method: 'POST', headers: json, body: JSON.stringify({ text }) });
    const line = log.of('error').find((said) => said.includes('POST /api/reset/echo: its changes'))!;
    expect(line).toContain('ConflictException 409: "x\\n\\u001b[31m\\u202eyyy');
    expect(line.length).toBeLessThan(700);
    expect(line).not.toMatch(ODD);
  });

  it('replaces what looks like a success, also where the handler has thrown it', async () => {
    barrier.fail('replace');
    expect((await get('thrown-success')).status).toBe(503);
  });

  it('calls no outage what any client can cause', async () => {
    const { session, headers: own } = await logIn(app.app, { userId: 'bob' });
    const write = barrier.stopNext('replace');
    const pending = app.fetch(`/api/reset/guarded/${SECRET}`, { headers: own });
    await write.arrived;
    await app.app.get(SessionService).deleteSession(session.sessionId);
    write.letGo();
    expect((await pending).status).toBe(401);
    expect(log.of('error', 'warn')).toEqual([]);
    expect(log.of('debug')).toContainEqual(expect.stringContaining('GET /api/reset/guarded/:secret was replaced'));
  });
});

describe('the route of an application of Express that is mounted in another', () => {
  const log = new LogLines();
  let nest: AppUnderTest;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    nest = await startApp({ controllers: [ResetController] });
    nest.app.useLogger(log);
    const inner = instanceOf(nest.app);
    const router = express.Router();
    router.use('/static', inner);
    const outer = express();
    outer.use('/api/v1', express().use('/tenants/:tenant', router));
    outer.use('/by-function', (request, response, next) => {
      inner(request, response, next);
    });
    outer.use('/by-function-of/:key', (request, response, next) => {
      inner(request, response, next);
    });

    outer.use('/mounted', inner);
    server = createServer(outer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(() => {
    log.clear();
    nest.clock.advanceSeconds(61);
  });

  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    await nest.close();
  });

  it.each([
    ['/mounted', '/mounted'],
    ['/by-function', '/by-function'],
    [`/by-function-of/${SECRET}`, '/by-function-of/*'],
    [`/api/v1/tenants/${SECRET}/static`, '/api/v1/tenants/*/static'],
    ['/by-function-of/acme', '/by-function-of/*', 'acme'],
  ])('is that of the whole URL, without its values: %s', async (prefix, shown, secret = SECRET) => {
    await fetch(`${url}${prefix}/reset/unknown/${secret}`);
    expect(log.of('error')).toEqual([expect.stringContaining(`GET ${shown}/reset/unknown/:secret: `)]);
    expect(log.all.join('\n')).not.toContain(secret);
  });
});

function instanceOf(app: INestApplication): express.Express {
  return app.get<HttpAdapterHost<ExpressAdapter>>(HttpAdapterHost).httpAdapter.getInstance<express.Express>();
}
