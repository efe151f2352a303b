import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Get,
  Header,
  HttpException,
  Redirect,
  Res,
  Sse,
  StreamableFile,
  UseFilters,
  UseGuards,
  UseInterceptors,
  type ArgumentsHost,
  Injectable,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplication,
} from '@nestjs/common';
import type { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify';
import compression from 'compression';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CurrentSession, SessionGuard, SessionInterceptor, SessionService } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { logIn } from 'nestjs-sessionx/testing';
import { concat, of } from 'rxjs';

import { PLATFORMS, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const LARGE = 'x'.repeat(300_000);
/** Of a body that is more than may wait at once. */
const PARTS = Array.from({ length: 100 }, () => Buffer.alloc(10_000, 'x'));

class Refused implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}

/** A guard of the application that changes the session. */
@Injectable()
class ChangingGuard implements CanActivate {
  constructor(private readonly requests: RequestSessions) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    change(
      await this.requests
        .of(context)
        .load()
        .then((loaded) => loaded.required()),
    );
    return true;
  }
}

@Catch(HttpException)
class PlainTextFilter implements ExceptionFilter {
  catch(_error: HttpException, host: ArgumentsHost): void {
    const response = rawOf(host.switchToHttp().getResponse());
    response.statusCode = 418;
    response.end('filtered');
  }
}

@Catch()
class CheerfulFilter implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost): void {
    rawOf(host.switchToHttp().getResponse()).end('all is well');
  }
}

interface AnyResponse {
  raw?: ServerResponse;
  hijack?: () => void;
  send: (body: unknown) => unknown;
  redirect: (url: string, status?: number) => unknown;
}

function rawOf(response: unknown): ServerResponse {
  return (response as AnyResponse).raw ?? (response as ServerResponse);
}

function change(session: Session): void {
  session.data.seen = 'yes';
}

@UseGuards(SessionGuard)
@Controller('write')
class WritingController {
  @Get('json')
  json(@CurrentSession() session: Session) {
    change(session);
    return { large: LARGE };
  }

  @Get('intercepted')
  @UseInterceptors(SessionInterceptor)
  intercepted(@CurrentSession() session: Session) {
    change(session);
    return { large: LARGE };
  }

  @Get('res')
  res(@CurrentSession() session: Session, @Res() response: AnyResponse): void {
    change(session);
    response.send({ large: LARGE });
  }

  @Get('redirect')
  @Redirect('/read')
  redirect(@CurrentSession() session: Session): void {
    change(session);
  }

  @Get('res-redirect')
  resRedirect(@CurrentSession() session: Session, @Res() response: AnyResponse): void {
    change(session);
    // Fastify takes the status that Nest has set before, unless it is told.
    if (response.raw === undefined) response.redirect('/read');
    else response.redirect('/read', 302);
  }

  @Get('file')
  file(@CurrentSession() session: Session): StreamableFile {
    change(session);
    return new StreamableFile(Buffer.from(LARGE));
  }

  @Get('stream')
  stream(@CurrentSession() session: Session): StreamableFile {
    change(session);
    return new StreamableFile(Readable.from(PARTS));
  }

  @Get('pipe')
  async pipe(@CurrentSession() session: Session, @Res() response: AnyResponse): Promise<void> {
    change(session);
    response.hijack?.();
    const raw = rawOf(response);
    raw.writeHead(200, { 'Content-Type': 'text/plain', 'X-Own': 'kept' });
    await pipeline(Readable.from(PARTS), raw);
  }

  @Get('raw')
  raw(@CurrentSession() session: Session, @Res() response: AnyResponse): void {
    change(session);
    response.hijack?.();
    const raw = rawOf(response);
    raw.writeHead(200, 'Fine', [
      ['X-Own', 'kept'],
      ['Content-Type', 'text/plain'],
    ] as never);
    raw.flushHeaders();
    raw.write('one ');
    raw.end('two');
  }

  @Sse('sse')
  sse(@CurrentSession() session: Session) {
    change(session);
    return concat(of({ data: 'one' }), of({ data: 'two' }));
  }

  @Get('error')
  error(@CurrentSession() session: Session): never {
    change(session);
    throw new HttpException('teapot', 418);
  }

  @Get('crash')
  crash(@CurrentSession() session: Session): never {
    change(session);
    throw new Error('a bug of the application');
  }

  @Get('filter')
  @UseFilters(PlainTextFilter)
  filter(@CurrentSession() session: Session): never {
    change(session);
    throw new HttpException('teapot', 418);
  }

  @Get('cheerful')
  @UseInterceptors(SessionInterceptor)
  @UseFilters(CheerfulFilter)
  cheerful(@CurrentSession() session: Session) {
    change(session);
  }

  @Get('refused')
  @UseGuards(ChangingGuard, Refused)
  refused(): string {
    return 'never';
  }

  /** Node refuses the first head, after which nothing has left yet. */
  @Get('second-head')
  secondHead(@CurrentSession() session: Session, @Res() response: AnyResponse) {
    response.hijack?.();
    const raw = rawOf(response);
    try {
      raw.writeHead(200, { 'X-Bad': 'line\nbreak' });
    } catch {
      change(session);
      raw.writeHead(500).end('mended');
    }
  }

  @Get('cacheable')
  @Header('Cache-Control', 'public, max-age=60')
  @Header('Vary', 'Accept')
  cacheable(@CurrentSession() session: Session): string {
    change(session);
    return 'ok';
  }
}

@Controller()
class ReadingController {
  @Get('fence')
  fence(): string {
    return 'passed';
  }

  @UseGuards(SessionGuard)
  @Get('read')
  read(@CurrentSession() session: Session) {
    return { seen: session.data.seen ?? 'no' };
  }
}

const routes: [route: string, status: number, body: RegExp][] = [
  ['json', 200, /"large":"x+"/],
  ['intercepted', 200, /"large":"x+"/],
  ['res', 200, /"large":"x+"/],
  ['redirect', 302, /.*/],
  ['res-redirect', 302, /.*/],
  ['file', 200, /^x{300000}$/],
  ['stream', 200, /^x{1000000}$/],
  ['pipe', 200, /^x{1000000}$/],
  ['raw', 200, /^one two$/],
  ['sse', 200, /data: one[^]*data: two/],
  ['error', 418, /teapot/],
  ['crash', 500, /Internal server error/],
  ['filter', 418, /filtered/],
  ['refused', 403, /Forbidden/],
  ['second-head', 500, /mended/],
  ['cacheable', 200, /ok/],
];

const setups = everyBackend().flatMap((store) =>
  PLATFORMS.flatMap((platform) =>
    [false, true].map((compressed) => ({ store, platform, compressed, name: store.name })),
  ),
);

describe.each(setups)(
  'stored before the first byte, on $name and $platform, compressed: $compressed',
  ({ store, platform, compressed }) => {
    let barrier: BarrierBackend;
    let app: AppUnderTest;
    let headers: Record<string, string>;

    beforeAll(async () => {
      await store.start();
      barrier = new BarrierBackend(store.another());
      app = await startApp({
        platform,
        controllers: [WritingController, ReadingController],
        // The tests hold writes back, on a machine that may be busy; only those that make them fail are to fail.
        session: { backend: barrier.backend, backendTimeout: 10_000 },
        configure: compressed ? (nest) => compress(nest, platform) : undefined,
      });
    });

    beforeEach(async () => {
      barrier.heal();
      headers = { ...(await logIn(app.app, { userId: 'ann' })).headers };
    });

    afterAll(async () => {
      await app.close();
      await store.stop();
    });

    it.each(routes)('%s: nothing leaves before the change is stored', async (route, status, body) => {
      const write = barrier.stopNext('replace');
      let answered = false;
      const request = app.fetch(`/write/${route}`, { headers }).then((response) => {
        answered = true;
        return response;
      });
      await write.arrived;
      // Two further requests through the same server: a byte sent before them would have arrived before their answers.
      await app.fetch('/fence');
      await app.fetch('/fence');
      expect(answered).toBe(false);
      write.letGo();

      const response = await request;
      expect(response.status).toBe(status);
      expect(await (await app.fetch('/read', { headers })).json()).toEqual({ seen: 'yes' });
      expect(await response.text()).toMatch(body);
      if (route === 'raw' || route === 'pipe') expect(response.headers.get('x-own')).toBe('kept');
      expect(response.headers.get('vary')).toContain('Authorization');
    });

    it.each(routes.filter(([, status]) => status < 400))(
      '%s: a commit that fails is a 503, and nothing of the answer leaves',
      async (route) => {
        barrier.fail('replace');
        const response = await app.fetch(`/write/${route}`, { headers });
        expect(response.status).toBe(503);
        expect(response.headers.get('retry-after')).toBe('1');
        expect(response.headers.get('cache-control')).toBe('no-store');
        expect(response.headers.get('www-authenticate')).toBeNull();
        expect(response.headers.get('location')).toBeNull();
        expect(await response.json()).toEqual({ statusCode: 503, message: 'Service Unavailable' });

        barrier.heal();
        expect(await (await app.fetch('/read', { headers })).json()).toEqual({ seen: 'no' });
      },
    );

    it.each(routes.filter(([, status]) => status >= 400))(
      '%s: an error of the handler goes out as it is, also where its change cannot be stored',
      async (route, status, body) => {
        barrier.fail('replace');
        const response = await app.fetch(`/write/${route}`, { headers });
        expect(response.status).toBe(status);
        expect(await response.text()).toMatch(body);

        barrier.heal();
        expect(await (await app.fetch('/read', { headers })).json()).toEqual({ seen: 'no' });
      },
    );

    it('a session that ends while the request runs answers 401, and its change is nowhere', async () => {
      const { session, headers: own } = await logIn(app.app, { userId: 'bob' });
      const write = barrier.stopNext('replace');
      const request = app.fetch('/write/json', { headers: own });
      await write.arrived;
      await app.app.get(SessionService).deleteSession(session.sessionId);
      write.letGo();
      const response = await request;
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
      expect(await response.json()).toEqual({ statusCode: 401, message: 'Unauthorized' });
    });

    it('is a 503, and no success, also where a filter makes a page of the failure', async () => {
      barrier.fail('replace');
      const response = await app.fetch('/write/cheerful', { headers });
      expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('Service Unavailable')]);
    });

    it('composes Vary and Cache-Control with those of the application', async () => {
      const response = await app.fetch('/write/cacheable', { headers });
      expect(response.headers.get('vary')).toMatch(/Accept(?!-).*X-Session-Token.*Authorization/);
      expect(response.headers.get('cache-control')).toBe('public, max-age=60');
    });

    it('an answer with a token is kept from shared caches, whatever the application says of it', async () => {
      app.clock.advanceSeconds(1800);
      const response = await app.fetch('/write/cacheable', { headers });
      expect(response.headers.get('x-session-token')).toMatch(/^[\w-]{56}\.[\w-]{43}$/);
      expect(response.headers.get('cache-control')).toBe('no-store');
    });

    it('an answer without a body says too what it depends on', async () => {
      const head = await app.fetch('/read', { method: 'HEAD', headers });
      expect(head.headers.get('vary')).toContain('X-Session-Token, Authorization');
      expect(await head.text()).toBe('');
    });

    // Fastify makes no ETag by itself.
    if (platform === 'express') {
      it('an answer that is not modified says too what it depends on', async () => {
        const first = await app.fetch('/read', { headers });
        const etag = first.headers.get('etag');
        expect(etag).toMatch(/^W\/"/);
        const unchanged = await app.fetch('/read', {
          // Said by fetch() otherwise: no-cache.
          headers: { ...headers, 'if-none-match': etag!, 'cache-control': 'max-age=0' },
        });
        expect(unchanged.status).toBe(304);
        expect(unchanged.headers.get('vary')).toContain('X-Session-Token, Authorization');
      });
    }

    it('a client that goes away during a commit that fails harms nobody', async () => {
      const rejections: unknown[] = [];
      const note = (reason: unknown) => rejections.push(reason);
      process.on('unhandledRejection', note);
      for (const route of ['json', 'stream', 'pipe', 'sse']) {
        barrier.fail('replace');
        const write = barrier.stopNext('replace');
        const abort = new AbortController();
        const request = app.fetch(`/write/${route}`, { headers, signal: abort.signal });
        await write.arrived;
        abort.abort();
        await expect(request).rejects.toMatchObject({ name: 'AbortError' });
        write.letGo();
        await write.done;
        expect((await app.fetch('/fence')).status).toBe(200);
        barrier.heal();
      }
      expect(await (await app.fetch('/read', { headers })).json()).toEqual({ seen: 'no' });
      process.off('unhandledRejection', note);
      expect(rejections).toEqual([]);
    });

    it('a client that goes away during the commit leaves no trace but the change', async () => {
      const write = barrier.stopNext('replace');
      const abort = new AbortController();
      const request = app.fetch('/write/stream', { headers, signal: abort.signal });
      await write.arrived;
      abort.abort();
      await expect(request).rejects.toMatchObject({ name: 'AbortError' });
      write.letGo();
      await write.done;
      expect((await app.fetch('/fence')).status).toBe(200);
      expect(await (await app.fetch('/read', { headers })).json()).toEqual({ seen: 'yes' });
    });
  },
);

async function compress(nest: INestApplication, platform: Platform): Promise<void> {
  if (platform === 'express') {
    nest.use(compression({ threshold: 0 }));
    return;
  }
  const { default: plugin } = await import('@fastify/compress');
  const register: (plugin: never, options: object) => PromiseLike<unknown> = (
    nest as NestFastifyApplication<never> & { register: FastifyAdapter['register'] }
  ).register.bind(nest);
  await register(plugin as never, { threshold: 0 });
}
