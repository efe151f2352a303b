import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, HttpCode, Post, Req, Res, UseGuards, type INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import type { FastifyReply } from 'fastify';
import type { Http2ServerResponse, OutgoingHttpHeaders } from 'node:http2';
import {
  CurrentSession,
  MemoryBackend,
  SESSION_CLOCK,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
} from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { SECRET_KEY } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { Http2Client } from '../support/http2-client.js';
import { codeOf, tried } from '../support/response-cases.js';

const seen: [string, unknown][] = [];

function see(what: string, value?: unknown): void {
  seen.push([what, value]);
}

@Controller()
class Http2Controller {
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
  @Post('change')
  change(@CurrentSession() session: Session): object {
    session.data.seen = 'yes';
    return { changed: true };
  }

  @UseGuards(SessionGuard)
  @Get('change-raw')
  changeRaw(@CurrentSession() session: Session, @Res() reply: FastifyReply): void {
    session.data.seen = 'raw';
    reply.hijack();
    const raw = reply.raw as unknown as Http2ServerResponse;
    raw.writeHead(201, { 'x-own': 'own' });
    raw.write('bo');
    raw.end('dy');
    see('headersSent', [raw.headersSent, raw.writableEnded, raw.statusCode]);
    tried(see, 'setHeader', () => {
      raw.setHeader('x-late', 'late');
    });
    tried(see, 'appendHeader', () => {
      raw.appendHeader('x-late', 'late');
    });
    tried(see, 'removeHeader', () => {
      raw.removeHeader('x-own');
    });
    tried(see, 'writeHead', () => raw.writeHead(500));
    raw.statusCode = 500;
    raw.write('late', (error) => {
      see('late write', codeOf(error));
    });
    raw.end('late');
    see('getHeader', raw.getHeader('x-own'));
  }

  @UseGuards(SessionGuard)
  @Get('change-without-head')
  changeWithoutHead(@CurrentSession() session: Session, @Res() reply: FastifyReply): void {
    session.data.seen = 'without head';
    reply.hijack();
    const raw = reply.raw as unknown as Http2ServerResponse;
    const list = ['one'];
    raw.setHeader('x-list', list);
    raw.statusCode = 202;
    raw.write('body');
    list.push('late');
    raw.statusCode = 500;
    tried(see, 'end', () => raw.end(null as never));
    if (!raw.writableEnded) raw.end();
  }

  @UseGuards(SessionGuard)
  @Get('change-badly')
  changeBadly(@CurrentSession() session: Session, @Res() reply: FastifyReply): void {
    session.data.seen = 'badly';
    reply.hijack();
    const raw = reply.raw as unknown as Http2ServerResponse;
    raw.writeHead(200);
    tried(see, 'write null', () => raw.write(null as never));
    tried(see, 'write a number', () => raw.write(5 as never));
    tried(see, 'write in an unknown encoding', () => raw.write('a', 'foo' as never));
    raw.end('body');
  }

  @UseGuards(SessionGuard)
  @Get('send-twice')
  sendTwice(@CurrentSession() session: Session, @Res() reply: FastifyReply): void {
    session.data.seen = 'twice';
    reply.send({ first: true });
    reply.code(500).header('x-late', 'late').send({ second: true });
  }

  @UseGuards(SessionGuard)
  @Get('hints')
  hints(@CurrentSession() session: Session, @Res() reply: FastifyReply): void {
    session.data.seen = 'hinted';
    (reply.raw as unknown as Http2ServerResponse).writeEarlyHints({ link: '</a.css>; rel=preload' });
    reply.send('body');
  }
}

describe('Fastify over HTTP/2', () => {
  const barrier = new BarrierBackend(new MemoryBackend());
  const clock = new FakeClock();
  let app: INestApplication;
  let url: string;
  let client: Http2Client;
  let cookie: string;

  beforeAll(async () => {
    const testing = await Test.createTestingModule({
      imports: [
        SessionModule.forRoot({
          secretKey: SECRET_KEY,
          backend: barrier.backend,
          backendTimeout: 10_000,
          rotateEvery: 600,
          tokenSourcePriority: ['cookie', 'bearer'],
          cookie: { name: 'session', secure: false },
          extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }],
        }),
      ],
      controllers: [Http2Controller],
    }).compile();
    app = testing.createNestApplication(new FastifyAdapter({ http2: true }));
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });

  beforeEach(async () => {
    seen.length = 0;
    client = new Http2Client(url);
    const response = await post('/login', { origin: url }, { user: 'ann' });
    expect(response.status).toBe(200);
    cookie = String(response.headers['set-cookie']).split(';')[0] ?? '';
  });

  afterEach(async () => {
    barrier.heal();
    await client.close();
  });

  afterAll(() => app.close());

  function get(path: string, headers: OutgoingHttpHeaders = {}) {
    return client.request({ ':path': path, cookie, ...headers });
  }

  function post(path: string, headers: OutgoingHttpHeaders, body: object = {}) {
    return client.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/json', ...headers },
      JSON.stringify(body),
    );
  }

  it.each(['/read', '/change-raw'])('brings the token of rotateEvery before the head of GET %s', async (path) => {
    clock.advanceSeconds(600);
    const response = await get(path);
    const rotated = String(response.headers['set-cookie']).split(';')[0] ?? '';
    expect(rotated).toMatch(/^session=/);
    clock.advanceSeconds(10);
    expect((await get('/read', { cookie: rotated })).status).toBe(200);
    expect((await get('/read')).status).toBe(401);
  });

  it('carries the cookie in and out', async () => {
    expect(cookie).toMatch(/^session=[\w-]{56}\.[\w-]{43}$/);
    const response = await get('/read');
    expect(JSON.parse(response.body)).toEqual({ user: 'ann', seen: 'no' });
    expect(response.headers.vary).toContain('Cookie');
    // Browsers send each cookie in a field of its own.
    const apart = await get('/read', { cookie: ['other=1', cookie] });
    expect(apart.status).toBe(200);
  });

  it('takes a Bearer token too', async () => {
    const { token } = await app.get(SessionService).createSession({ user: { userId: 'bob' } });
    const response = await get('/read', { cookie: '', authorization: `Bearer ${token}` });
    expect(JSON.parse(response.body)).toMatchObject({ user: 'bob' });
  });

  it('knows its own origin by the :authority', async () => {
    expect((await post('/change', { cookie, origin: url })).status).toBe(201);
    expect((await post('/change', { cookie, 'sec-fetch-site': 'same-origin' })).status).toBe(201);
    expect((await post('/change', { cookie, origin: 'https://other.example' })).status).toBe(403);
    expect((await post('/login', { origin: 'https://other.example' }, { user: 'eve' })).status).toBe(403);
  });

  it.each(['/change-raw', '/send-twice', '/hints'])('sends nothing of %s before the change is stored', async (path) => {
    const write = barrier.stopNext('replace');
    let isAnswered = false;
    const pending = get(path).finally(() => {
      isAnswered = true;
    });
    await write.arrived;
    // Further requests on the same connection: a frame sent before theirs would have come before them.
    await get('/read');
    await get('/read');
    expect(isAnswered).toBe(false);
    write.letGo();
    expect((await pending).status).toBeLessThan(300);
    expect(JSON.parse((await get('/read')).body)).not.toMatchObject({ seen: 'no' });
  });

  it.each(['/change-raw', '/change-badly', '/send-twice', '/hints'])(
    'responds 503 to %s where the change cannot be stored',
    async (path) => {
      barrier.fail('replace');
      const response = await get(path);
      expect(response).toMatchObject({
        status: 503,
        headers: { 'retry-after': '1', 'cache-control': 'no-store' },
        body: JSON.stringify({ statusCode: 503, message: 'Service Unavailable' }),
      });
      expect(response.headers).not.toHaveProperty('x-late');
    },
  );

  it('refuses, while the response waits, what comes after it', async () => {
    const response = await get('/change-raw');
    expect(response).toMatchObject({ status: 201, headers: { 'x-own': 'own' }, body: 'body' });
    expect(response.headers).not.toHaveProperty('x-late');
    const sent = expect.stringContaining('ERR_HTTP2_HEADERS_SENT');
    expect(seen.slice(0, 5)).toEqual([
      ['headersSent', [true, true, 201]],
      ['setHeader', sent],
      ['appendHeader', sent],
      ['removeHeader', sent],
      ['writeHead', sent],
    ]);
    expect(seen).toContainEqual(['getHeader', 'own']);
    expect(seen).toContainEqual(['late write', 'ERR_STREAM_WRITE_AFTER_END']);
  });

  it('makes the head of a response without writeHead when its first chunk is written', async () => {
    const response = await get('/change-without-head');
    expect(response).toMatchObject({ status: 202, headers: { 'x-list': 'one' }, body: 'body' });
    expect(seen).toEqual([['end', 'an object']]);
  });

  it('refuses, while the response waits, chunks that are none', async () => {
    expect(await get('/change-badly')).toMatchObject({ status: 200, body: 'body' });
    expect(seen).toEqual([
      ['write null', expect.stringContaining('ERR_STREAM_NULL_VALUES')],
      ['write a number', expect.stringContaining('ERR_INVALID_ARG_TYPE')],
      ['write in an unknown encoding', expect.stringContaining('ERR_UNKNOWN_ENCODING')],
    ]);
  });

  it('sends the first of two responses', async () => {
    const response = await get('/send-twice');
    expect(response).toMatchObject({ status: 200, body: JSON.stringify({ first: true }) });
    expect(response.headers).not.toHaveProperty('x-late');
  });

  it('sends early hints at once', async () => {
    const response = await get('/hints');
    expect(response).toMatchObject({ status: 200, body: 'body' });
    expect(response.informed).toMatchObject([{ ':status': 103, link: '</a.css>; rel=preload' }]);
  });
});
