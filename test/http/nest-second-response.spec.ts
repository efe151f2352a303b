import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Get,
  Head,
  HttpException,
  Injectable,
  Redirect,
  Res,
  StreamableFile,
  UseFilters,
  UseInterceptors,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import type { ServerResponse } from 'node:http';
import { MemoryBackend } from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { logIn } from 'nestjs-sessionx/testing';
import { tap, type Observable } from 'rxjs';

import { PLATFORMS, startApp, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { exchange, type Exchange } from '../support/raw-exchange.js';

/** What Express and Fastify have in common. */
interface Reply {
  readonly raw?: ServerResponse;
  readonly status: (code: number) => Reply;
  readonly send: (body?: unknown) => unknown;
  readonly redirect: (url: string, status?: number) => unknown;
}

function redirect(reply: Reply): void {
  if (reply.raw === undefined) reply.redirect('/target');
  else reply.redirect('/target', 302);
}

/** Responds to every error, whether or not there is a response. */
@Catch()
class EagerFilter implements ExceptionFilter {
  catch(error: Error, host: ArgumentsHost): void {
    host.switchToHttp().getResponse<Reply>().status(418).send({ filtered: error.message });
  }
}

/** Looks first. */
@Catch()
class CarefulFilter implements ExceptionFilter {
  catch(error: Error, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<Reply>();
    const raw = reply.raw ?? (reply as unknown as ServerResponse);
    if (raw.headersSent) return;
    reply.status(418).send({ filtered: error.message });
  }
}

/** Responds itself when the handler is through. */
@Injectable()
class RespondingInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      tap(() => {
        context.switchToHttp().getResponse<Reply>().status(202).send({ intercepted: true });
      }),
    );
  }
}

@Controller()
class HandlersController {
  @Get('return-after-redirect')
  returnAfterRedirect(@Res() reply: Reply): string {
    redirect(reply);
    return 'a page';
  }

  @Get('return-after-redirect-passthrough')
  returnAfterRedirectPassthrough(@Res({ passthrough: true }) reply: Reply): string {
    redirect(reply);
    return 'a page';
  }

  @Get('redirect-decorator')
  @Redirect('/target')
  redirectDecorator(@Res({ passthrough: true }) reply: Reply): { url: string; statusCode: number } {
    redirect(reply);
    return { url: '/other', statusCode: 301 };
  }

  @Get('throw-after-send')
  throwAfterSend(@Res() reply: Reply): void {
    reply.status(201).send({ first: true });
    throw new Error('after the response');
  }

  @Get('reject-after-send')
  async rejectAfterSend(@Res() reply: Reply): Promise<void> {
    reply.status(201).send({ first: true });
    await Promise.resolve();
    throw new HttpException('after the response', 409);
  }

  @Get('eager-filter')
  @UseFilters(EagerFilter)
  eagerFilter(@Res() reply: Reply): void {
    reply.status(201).send({ first: true });
    throw new Error('after the response');
  }

  @Get('careful-filter')
  @UseFilters(CarefulFilter)
  carefulFilter(@Res() reply: Reply): void {
    reply.status(201).send({ first: true });
    throw new Error('after the response');
  }

  @Get('interceptor')
  @UseInterceptors(RespondingInterceptor)
  interceptor(): { handler: boolean } {
    return { handler: true };
  }

  @Get('interceptor-and-res')
  @UseInterceptors(RespondingInterceptor)
  interceptorAndRes(@Res() reply: Reply): void {
    reply.status(201).send({ first: true });
  }

  @Get('file-after-send')
  fileAfterSend(@Res({ passthrough: true }) reply: Reply): StreamableFile {
    reply.status(201).send({ first: true });
    return new StreamableFile(Buffer.from('a file'));
  }

  @Get('never-ends')
  neverEnds(@Res() reply: Reply): void {
    const raw = reply.raw ?? (reply as unknown as ServerResponse);
    raw.writeHead(200, { 'Content-Type': 'text/plain' });
    throw new Error('after the head');
  }

  @Get('bad-status')
  badStatus(@Res() reply: Reply): void {
    const raw = reply.raw ?? (reply as unknown as ServerResponse);
    raw.writeHead(1000);
  }

  @Head('head')
  head(@Res() reply: Reply): void {
    reply.send({ first: true });
    reply.send({ second: true });
  }

  @Get('no-content')
  noContent(@Res({ passthrough: true }) reply: Reply): string {
    reply.status(204).send();
    return 'second';
  }
}

const ROUTES = [
  'return-after-redirect',
  'return-after-redirect-passthrough',
  'redirect-decorator',
  'throw-after-send',
  'reject-after-send',
  'eager-filter',
  'careful-filter',
  'interceptor',
  'interceptor-and-res',
  'file-after-send',
  'never-ends',
  'bad-status',
  'head',
  'no-content',
];

async function startWithout(platform: Platform): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ controllers: [HandlersController] }).compile();
  const app =
    platform === 'fastify' ? testing.createNestApplication(new FastifyAdapter()) : testing.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  return app;
}

describe.each(PLATFORMS)('a handler of Nest on %s that responds twice while its session is stored', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let without: INestApplication;
  let ours: Awaited<ReturnType<typeof startApp>>;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    without = await startWithout(platform);
    ours = await startApp({
      platform,
      controllers: [HandlersController],
      session: { backend: barrier.backend, backendTimeout: 10_000 },
      configure: (app) => {
        const requests = app.get(RequestSessions);
        const changing: CanActivate = {
          canActivate: async (context) => {
            (
              await requests
                .of(context)
                .load()
                .then((loaded) => loaded.required())
            ).data.seen = Math.random();
            return true;
          },
        };
        app.useGlobalGuards(changing);
      },
    });
    headers = (await logIn(ours.app, { userId: 'ann' })).headers;
  });

  afterAll(async () => {
    await without.close();
    await ours.close();
  });

  it.each(ROUTES)('%s: the client gets the first response, as without us', async (route) => {
    const method = route === 'head' ? 'HEAD' : 'GET';
    const expected = await exchange(await without.getUrl(), { method, path: `/${route}`, headers: {} });

    const write = barrier.stopNext('replace');
    const pending = exchange(ours.url, { method, path: `/${route}`, headers });
    await write.arrived;
    // The handler and what Nest does behind it are through.
    await new Promise((resolve) => setImmediate(resolve));
    write.letGo();

    expect(comparable(await pending)).toEqual(comparable(expected));
  });
});

function comparable(got: Exchange): unknown {
  if (got === null) return null;
  const { date, vary, ...headers } = got.headers;
  return { ...got, headers, isDated: date !== undefined, variesByItself: vary?.startsWith('Accept') === true };
}
