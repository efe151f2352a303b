import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Res, UseGuards, type LoggerService } from '@nestjs/common';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CurrentSession, MemoryBackend, SessionGuard } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { logIn } from 'nestjs-sessionx/testing';
import express, { type NextFunction, type Request, type Response } from 'express';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { exchange } from '../support/raw-exchange.js';

interface Reply {
  readonly raw?: ServerResponse;
  readonly hijack?: () => void;
}

function rawOf(reply: Reply): ServerResponse {
  reply.hijack?.();
  return reply.raw ?? (reply as ServerResponse);
}

/** The lines of a log. */
class Lines implements LoggerService {
  readonly all: string[] = [];
  log = (): void => undefined;
  debug = (): void => undefined;
  warn = (message: unknown): void => void this.all.push(`warn: ${String(message)}`);
  error = (message: unknown): void => void this.all.push(`error: ${String(message)}`);
}

@UseGuards(SessionGuard)
@Controller()
class HeldController {
  /** Settles when the last handler of a stream is through. */
  through: Promise<number> = Promise.resolve(0);

  @Get('two-ends')
  twoEnds(@CurrentSession() session: Session, @Res() reply: Reply): void {
    session.data.seen = Math.random();
    const raw = rawOf(reply);
    raw.end('first');
    raw.end('second');
    raw.write('third');
  }

  @Get('rich')
  rich(@CurrentSession() session: Session, @Res() reply: Reply): void {
    session.data.seen = Math.random();
    const raw = rawOf(reply);
    raw.statusMessage = 'Own Reason';
    raw.writeHead(201, {
      'Content-Security-Policy': "default-src 'self'",
      'Access-Control-Allow-Origin': 'https://page.example',
      'X-Own': 'kept',
      'Content-Disposition': 'attachment',
      'Content-Encoding': 'gzip',
      ETag: '"of the body"',
      'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
      Location: '/paid',
      Refresh: '0; url=/paid',
      Link: '</page.css>; rel=preload',
      'Retry-After': '3600',
      'X-Accel-Redirect': '/internal/file',
      'X-Sendfile': '/internal/file',
      'Clear-Site-Data': '"*"',
      'WWW-Authenticate': 'Basic',
      'Set-Cookie': 'of=the application',
    });
    raw.end('the body');
    raw.end('a second body');
  }

  @Get('taken-earlier')
  async takenEarlier(@CurrentSession() session: Session, @Res() reply: Reply): Promise<void> {
    session.data.seen = Math.random();
    const raw = rawOf(reply);
    // What code has that took the function before the session was there.
    const writeEarlier = ServerResponse.prototype.write.bind(raw);
    raw.writeHead(200);
    try {
      writeEarlier('past the hold');
    } catch (error) {
      raw.end((error as Error).message);
    }
    await Promise.resolve();
  }

  @Get('step-by-step')
  stepByStep(@CurrentSession() session: Session, @Res() reply: Reply): void {
    session.data.seen = Math.random();
    const raw = rawOf(reply);
    this.through = (async () => {
      for (const chunk of ['one ', 'two ']) await new Promise<unknown>((resolve) => raw.write(chunk, resolve));
      await new Promise<void>((resolve) => raw.end('three', resolve));
      return 3;
    })();
  }

  @Get('until-full')
  untilFull(@CurrentSession() session: Session, @Res() reply: Reply): void {
    session.data.seen = Math.random();
    const raw = rawOf(reply);
    this.through = (async () => {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      let written = chunk.length;
      while (raw.write(chunk) && written < 10_000_000) written += chunk.length;
      await once(raw, 'drain');
      if (!raw.write('end')) await once(raw, 'drain');
      raw.end();
      return written;
    })();
  }

  @Get('leave')
  leave(@CurrentSession() session: Session, @Res() reply: Reply): void {
    session.data.seen = Math.random();
    const raw = rawOf(reply);
    raw.write('first');
    raw.destroy();
    raw.end('second');
  }
}

@Controller('fence')
class FenceController {
  @Get()
  fence(): string {
    return 'passed';
  }
}

describe.each(PLATFORMS)('a response on %s while its session is stored', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  const lines = new Lines();
  let app: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [HeldController, FenceController],
      session: { backend: barrier.backend, backendTimeout: 10_000 },
    });
    app.app.useLogger(lines);
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterEach(() => {
    barrier.heal();
    lines.all.length = 0;
  });

  afterAll(() => app.close());

  it('ends once, and the log says that the handler went on, where nobody listens for errors', async () => {
    const got = await exchange(app.url, { method: 'GET', path: '/two-ends', headers });
    expect(got).toMatchObject({ status: 200, body: 'first' });
    expect(lines.all).toEqual([expect.stringMatching(/^warn: GET \/two-ends: .*Return after the first response/)]);
  });

  it('that is replaced has nothing of the lost one but what protects the client', async () => {
    barrier.fail('replace');
    const got = await exchange(app.url, { method: 'GET', path: '/rich', headers });
    expect(got).toMatchObject({
      status: 503,
      reason: 'Service Unavailable',
      body: JSON.stringify({ statusCode: 503, message: 'Service Unavailable' }),
    });
    const received = got?.headers ?? {};
    expect(received).toMatchObject({
      'content-security-policy': "default-src 'self'",
      'access-control-allow-origin': 'https://page.example',
      'x-own': 'kept',
      'retry-after': '1',
      'cache-control': 'no-store',
    });
    const ofTheBody = ['content-disposition', 'content-encoding', 'etag', 'last-modified'];
    const ofTheSuccess = ['location', 'refresh', 'link', 'clear-site-data', 'www-authenticate', 'set-cookie'];
    const ofTheProxy = ['x-accel-redirect', 'x-sendfile'];
    for (const name of [...ofTheBody, ...ofTheSuccess, ...ofTheProxy]) expect(received).not.toHaveProperty(name);
  });

  it('is not passed by functions that were taken from it earlier', async () => {
    const write = barrier.stopNext('replace');
    const pending = exchange(app.url, { method: 'GET', path: '/taken-earlier', headers });
    await write.arrived;
    expect((await app.fetch('/fence')).status).toBe(200);
    write.letGo();
    expect(await pending).toMatchObject({
      status: 200,
      body: expect.stringContaining('call its own write() and end()'),
    });
  });

  it.each([true, false])('calls its handler back for each part; the store works: %s', async (works) => {
    if (!works) barrier.fail('replace');
    const got = await exchange(app.url, { method: 'GET', path: '/step-by-step', headers });
    expect(got).toMatchObject(works ? { status: 200, body: 'one two three' } : { status: 503 });
    expect(await app.app.get(HeldController).through).toBe(3);
  });

  it.each([true, false])('has its handler wait when 256 KiB are written; the store works: %s', async (works) => {
    if (!works) barrier.fail('replace');
    const got = await exchange(app.url, { method: 'GET', path: '/until-full', headers });
    const written = await app.app.get(HeldController).through;
    expect(written).toBe(256 * 1024);
    expect([got?.status, got?.body.length]).toEqual(works ? [200, written + 3] : [503, expect.any(Number)]);
  });

  it('has its handler go on after a HEAD, of which nothing is sent that could drain', async () => {
    expect((await exchange(app.url, { method: 'HEAD', path: '/until-full', headers }))?.status).toBe(200);
    expect(await app.app.get(HeldController).through).toBe(256 * 1024);
  });

  it.each([true, false])('may be destroyed by its handler; the store works: %s', async (works) => {
    if (!works) barrier.fail('replace');
    const write = barrier.stopNext('replace');
    const pending = exchange(app.url, { method: 'GET', path: '/leave', headers });
    await write.arrived;
    write.letGo();
    expect(await pending).toBeNull();
    expect((await app.fetch('/fence')).status).toBe(200);
  });

  it('is stored though its client goes away, also where it ends twice', async () => {
    const write = barrier.stopNext('replace');
    const { hostname, port } = new URL(app.url);
    const client = connect(Number(port), hostname);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    client.write(`GET /two-ends HTTP/1.1\r\nHost: a\r\n${lines.join('')}\r\n`);
    await write.arrived;
    await new Promise((resolve) => {
      client.once('close', resolve).destroy();
    });
    expect((await app.fetch('/fence')).status).toBe(200);
    write.letGo();
    await write.done;
    expect((await app.fetch('/fence')).status).toBe(200);
  });
});

describe('middleware of Express around a response that waits', () => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let folder: string;
  let app: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  /** As `on-headers` does it, by which response-time, express-session and others add their headers. */
  function addLate(name: string) {
    return (_request: Request, response: Response, next: NextFunction): void => {
      const { writeHead } = response;
      response.writeHead = function (this: Response, ...args: [number]) {
        this.statusCode = args[0];
        this.setHeader(name, `${this.statusCode} ${String(this.getHeader('x-own'))}`);
        return writeHead.call(this, args[0], { [`${name}-Given`]: 'given' });
      };
      next();
    };
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sessionx-'));
    await writeFile(join(folder, 'file.txt'), 'x'.repeat(100_000));
    app = await startApp({
      controllers: [HeldController, FenceController],
      session: { backend: barrier.backend, backendTimeout: 10_000 },
      configure: (nest) => {
        const requests = nest.get(RequestSessions);
        nest.use(addLate('X-Below'));
        nest.use(async (request: Request, response: Response, next: NextFunction) => {
          const session = await requests.ofRequest(request, response).current();
          if (session !== null) session.data.seen = Math.random();
          response.setHeader('X-Own', 'own');
          next();
        });
        nest.use(addLate('X-Above'));
        nest.use(express.static(folder));
      },
    });
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(async () => {
    await app.close();
    await rm(folder, { recursive: true });
  });

  it('serves its files, whole and in part, after the session is stored', async () => {
    const write = barrier.stopNext('replace');
    const pending = exchange(app.url, { method: 'GET', path: '/file.txt', headers });
    await write.arrived;
    write.letGo();
    const got = await pending;
    expect(got?.status).toBe(200);
    expect(got?.body).toHaveLength(100_000);
    expect(got?.headers).toMatchObject({ 'content-length': '100000', 'x-below': '200 own', 'x-above': '200 own' });
    expect(got?.headers).toMatchObject({ 'x-below-given': 'given', 'x-above-given': 'given' });

    const part = await exchange(app.url, {
      method: 'GET',
      path: '/file.txt',
      headers: { ...headers, range: 'bytes=5-9' },
    });
    expect(part).toMatchObject({ status: 206, body: 'xxxxx', headers: { 'content-range': 'bytes 5-9/100000' } });
  });

  it('adds its late headers also to the response in place of a lost one', async () => {
    barrier.fail('replace');
    const got = await exchange(app.url, { method: 'GET', path: '/file.txt', headers });
    expect(got).toMatchObject({ status: 503, headers: { 'x-below': '503 own' } });
    expect(got?.headers).not.toHaveProperty('content-range');
  });
});
