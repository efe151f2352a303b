import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  All,
  Catch,
  Controller,
  HttpCode,
  HttpException,
  Inject,
  Injectable,
  NotFoundException,
  ParseIntPipe,
  Query,
  Req,
  RequestTimeoutException,
  Res,
  UseFilters,
  UseGuards,
  UseInterceptors,
  type ArgumentsHost,
  type CallHandler,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { request as httpRequest, type ServerResponse } from 'node:http';
import {
  AllowAnonymous,
  CurrentSession,
  FlashMessages,
  Session,
  SessionGuard,
  SessionService,
  UseSession,
  type FlashMessage,
  type SessionId,
} from 'nestjs-sessionx';
import { Subject, catchError, map, of, takeUntil, throwIfEmpty, type Observable } from 'rxjs';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { send } from '../support/raw-client.js';
import { soon } from '../support/soon.js';

interface AnyResponse {
  readonly raw?: ServerResponse;
  hijack?: () => void;
  status: (code: number) => unknown;
  header: (name: string, value: string) => unknown;
}

interface Taken {
  readonly session: Session;
  readonly messages: FlashMessage[];
  readonly response: AnyResponse;
  readonly raw: ServerResponse;
  readonly request: object;
}

/** What the routes do when they have the messages. */
@Injectable()
class Page {
  show: (taken: Taken) => unknown = ({ messages }) => messages;
  readonly givenUp = new Subject<void>();
}

/** Gives up on the handler when the test says so. */
@Injectable()
class ImpatientInterceptor implements NestInterceptor {
  constructor(private readonly page: Page) {}

  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      takeUntil(this.page.givenUp),
      throwIfEmpty(() => new RequestTimeoutException()),
    );
  }
}

/** Replaces what the handler has returned by an error. */
@Injectable()
class DisgustedInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      map(() => {
        throw new HttpException('not to be shown', 502);
      }),
    );
  }
}

/** Responds in place of a handler that fails, or on which it gives up. */
@Injectable()
class FallbackInterceptor implements NestInterceptor {
  constructor(private readonly page: Page) {}

  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      takeUntil(this.page.givenUp),
      throwIfEmpty(() => new RequestTimeoutException()),
      catchError(() => of('another page')),
    );
  }
}

/** Makes a friendly page of an error. */
@Catch()
class FriendlyFilter implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<AnyResponse>();
    response.hijack?.();
    rawOf(response).writeHead(200).end('something went wrong');
  }
}

/** Takes the messages for the page that it makes of an error. */
@Catch()
class ShowingFilter implements ExceptionFilter {
  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
    const http = host.switchToHttp();
    const messages = await this.sessions.takeFlash(await this.sessions.require(http.getRequest<object>()));
    const response = http.getResponse<AnyResponse>();
    response.hijack?.();
    rawOf(response)
      .writeHead(200)
      .end(messages.map(({ message }) => message).join());
  }
}

function rawOf(response: AnyResponse): ServerResponse {
  return response.raw ?? (response as unknown as ServerResponse);
}

@AllowAnonymous()
@UseGuards(SessionGuard)
@Controller()
class FlashController {
  constructor(
    private readonly page: Page,
    private readonly sessions: SessionService,
  ) {}

  @HttpCode(200)
  @All('decorator')
  decorator(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    return this.#show({ session, messages, response, request });
  }

  @HttpCode(200)
  @All('service')
  async service(
    @Req() request: object,
    @CurrentSession() session: Session,
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    const messages = await this.sessions.takeFlash(session);
    return this.#show({ session, messages, response, request });
  }

  @HttpCode(200)
  @All('object')
  object(
    @Req() request: object,
    @CurrentSession() session: Session,
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    const messages = session.getFlashMessages();
    return this.#show({ session, messages, response, request });
  }

  @HttpCode(200)
  @All('object-stored')
  async objectStored(
    @Req() request: object,
    @CurrentSession() session: Session,
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    const messages = session.getFlashMessages();
    await this.sessions.updateSession(session);
    return this.#show({ session, messages, response, request });
  }

  @UseInterceptors(ImpatientInterceptor)
  @All('impatient')
  impatient(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    return this.#show({ session, messages, response, request });
  }

  @UseInterceptors(FallbackInterceptor)
  @All('fallback')
  fallback(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    return this.#show({ session, messages, response, request });
  }

  @UseInterceptors(FallbackInterceptor)
  @All('fallback-piped')
  fallbackPiped(@FlashMessages() messages: FlashMessage[], @Query('n', ParseIntPipe) n: number) {
    return { messages, n };
  }

  @UseInterceptors(DisgustedInterceptor)
  @All('disgusted')
  disgusted(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    return this.#show({ session, messages, response, request });
  }

  @UseFilters(FriendlyFilter)
  @All('friendly')
  friendly(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    return this.#show({ session, messages, response, request });
  }

  @UseFilters(ShowingFilter)
  @UseSession()
  @All('showing')
  showing(@CurrentSession() session: Session) {
    session.data.seen = true;
    throw new NotFoundException();
  }

  @UseSession()
  @UseFilters(FriendlyFilter)
  @All('marked')
  async marked(
    @Req() request: object,
    @CurrentSession() session: Session,
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    const messages = await this.sessions.takeFlash(session);
    return this.#show({ session, messages, response, request });
  }

  @All('piped')
  piped(@FlashMessages() messages: FlashMessage[], @Query('n', ParseIntPipe) n: number) {
    return { messages, n };
  }

  @All('by-hand')
  async byHand(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res() response: AnyResponse,
  ) {
    response.hijack?.();
    await this.#show({ session, messages, response, request });
  }

  #show(taken: Omit<Taken, 'raw'>): unknown {
    return this.page.show({ ...taken, raw: rawOf(taken.response) });
  }
}

@AllowAnonymous()
@UseGuards(SessionGuard)
@UseInterceptors(FallbackInterceptor)
@Controller('class')
class FallbackController {
  constructor(private readonly page: Page) {}

  @All('fallback')
  fallback(
    @Req() request: object,
    @CurrentSession() session: Session,
    @FlashMessages() messages: FlashMessage[],
    @Res({ passthrough: true }) response: AnyResponse,
  ) {
    return this.page.show({ session, messages, response, request, raw: rawOf(response) });
  }
}

const WAYS = ['decorator', 'service', 'object', 'object-stored'] as const;

const setups = everyBackend().flatMap((store) => PLATFORMS.map((platform) => ({ store, platform, name: store.name })));

describe.each(setups)('flash messages and their delivery, on $name and $platform', ({ store, platform }) => {
  let barrier: BarrierBackend;
  let app: AppUnderTest;
  let sessions: SessionService;
  let page: Page;
  let token: string;
  let sessionId: SessionId;

  beforeAll(async () => {
    await store.start();
    barrier = new BarrierBackend(store.another());
    app = await startApp({
      platform,
      controllers: [FlashController, FallbackController],
      providers: [Page, ImpatientInterceptor, DisgustedInterceptor, FallbackInterceptor],
      session: {
        backend: barrier.backend,
        backendTimeout: 10_000,
        tokenSourcePriority: ['cookie', 'bearer'],
        csrf: { allowedOrigins: ['https://spa.example'] },
      },
    });
    sessions = app.app.get(SessionService);
    page = app.app.get(Page);
  });

  afterAll(async () => {
    await app.close();
    await store.stop();
  });

  beforeEach(async () => {
    barrier.heal();
    page.show = ({ messages }) => messages.map(({ message }) => message);
    const { session, token: own } = await sessions.createSession({ user: { userId: 'ann' } });
    ({ sessionId } = session);
    token = own;
    await add('one');
    app.clock.advance(1);
    await add('two');
  });

  async function add(message: string): Promise<void> {
    await sessions.update(sessionId, (session) => session.addFlashMessage(message));
  }

  function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
    const all = { authorization: `Bearer ${token}`, 'cache-control': 'max-age=0', ...headers };
    return app.fetch(`/${path}`, { method, headers: all });
  }

  const browse = (path: string, headers: readonly string[]) => send(`${app.url}/${path}`, { headers });
  const asCookie = () => ['Cookie', `__Host-session=${token}`];
  const asBearer = () => ['Authorization', `Bearer ${token}`];

  /** As they are in the store. */
  async function stored(): Promise<unknown[]> {
    const record = await barrier.backend.read(sessionId);
    return JSON.parse(String(record!.payload).split('\n')[3]!) as unknown[];
  }

  async function storedVersion(): Promise<number> {
    return (await barrier.backend.read(sessionId))!.version;
  }

  async function left(): Promise<string[]> {
    return (await sessions.getSession(token)).getFlashMessages({ clear: false }).map(({ message }) => message);
  }

  /** Until the store has them, or the test's own time is over. */
  async function becomes(expected: string[]): Promise<void> {
    for (;;) {
      if (JSON.stringify(await left()) === JSON.stringify(expected)) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  describe.each(WAYS)('taken by %s', (way) => {
    it('are in the response once, which no cache may keep', async () => {
      const first = await get(way);
      expect(first.headers.get('cache-control')).toBe('no-store');
      expect(await first.json()).toEqual(['one', 'two']);
      const second = await get(way);
      expect(await second.json()).toEqual([]);
      expect(second.headers.get('cache-control')).not.toBe('no-store');
    });

    it('are put back by a 304, under their ids, before what was added meanwhile', async () => {
      const before = await stored();
      page.show = async ({ response }) => {
        // In the same millisecond as the last of them.
        await add('three');
        response.status(304);
      };
      expect((await get(way)).status).toBe(304);
      expect(await stored()).toEqual([...before, expect.objectContaining({ message: 'three' })]);
    });

    it.each([
      ['an error', () => new Error('a bug of the application'), 500],
      ['an HttpException', () => new NotFoundException(), 404],
    ])('are put back when the handler throws %s', async (_what, error, status) => {
      page.show = () => {
        throw error();
      };
      expect((await get(way)).status).toBe(status);
      expect(await left()).toEqual(['one', 'two']);
      page.show = ({ messages }) => messages.map(({ message }) => message);
      expect(await (await get(way)).json()).toEqual(['one', 'two']);
    });

    it('are put back when the response is replaced, as the session cannot be stored', async () => {
      page.show = ({ session }) => {
        session.data.seen = true;
        barrier.fail('replace');
      };
      expect((await get(way)).status).toBe(503);
      barrier.heal();
      await becomes(['one', 'two']);
      expect((await sessions.getSession(token)).data).toEqual({});
    });

    it('are put back when the client goes away before the first byte', async () => {
      let arrived!: () => void;
      const isArrived = new Promise<void>((resolve) => (arrived = resolve));
      page.show = async ({ raw, messages }) => {
        const closed = new Promise((resolve) => raw.once('close', resolve));
        arrived();
        await closed;
        return messages;
      };
      const outgoing = httpRequest(`${app.url}/${way}`, {
        agent: false,
        headers: { authorization: `Bearer ${token}` },
      });
      outgoing.on('error', () => undefined);
      outgoing.end();
      await isArrived;
      outgoing.destroy();
      await becomes(['one', 'two']);
      page.show = ({ messages }) => messages.map(({ message }) => message);
      expect(await (await get(way)).json()).toEqual(['one', 'two']);
    });

    it('are put back when the client goes away while the response waits for the session to be stored', async () => {
      let closed!: Promise<unknown>;
      page.show = ({ raw, session, messages }) => {
        closed = new Promise((resolve) => raw.once('close', resolve));
        session.data.seen = true;
        stopped = barrier.stopNext('replace');
        arrived(stopped.arrived);
        return messages;
      };
      let stopped!: ReturnType<BarrierBackend['stopNext']>;
      let arrived!: (write: Promise<void>) => void;
      const isArrived = new Promise<void>((resolve) => (arrived = resolve));
      const outgoing = httpRequest(`${app.url}/${way}`, {
        agent: false,
        headers: { authorization: `Bearer ${token}` },
      });
      outgoing.on('error', () => undefined);
      outgoing.end();
      await isArrived;
      outgoing.destroy();
      await closed;
      stopped.letGo();
      await becomes(['one', 'two']);
      expect((await sessions.getSession(token)).data).toEqual({ seen: true });
    });

    it('are not put back into a session that has ended, nor bring it back', async () => {
      page.show = async () => {
        await sessions.deleteSession(sessionId);
        throw new NotFoundException();
      };
      expect((await get(way)).status).toBe(404);
      expect(await sessions.deleteSession(sessionId)).toBe(false);
    });

    it('are delivered by a redirect, and by a stream that breaks off', async () => {
      page.show = ({ response }) => {
        response.status(302);
        response.header('Location', '/elsewhere');
      };
      expect((await get(way)).status).toBe(302);
      expect(await left()).toEqual([]);

      await add('three');
      page.show = ({ response, raw }) => {
        response.hijack?.();
        raw.writeHead(200, { 'Content-Type': 'text/plain' });
        raw.write('three', () => raw.destroy());
        return new Promise(() => undefined);
      };
      const response = await get(way);
      await expect(response.text()).rejects.toThrow('terminated');
      expect(await left()).toEqual([]);
    });

    it.each([
      ['HEAD', 'HEAD', {}],
      ['a prefetch', 'GET', { 'sec-purpose': 'prefetch' }],
      ['a prerender', 'GET', { 'sec-purpose': 'prefetch;prerender' }],
      ['a prefetch of an older browser', 'GET', { purpose: 'prefetch' }],
      ['a prefetch of an older Firefox', 'GET', { 'x-moz': 'prefetch' }],
      ['a preview of an older Safari', 'GET', { 'x-purpose': 'preview' }],
    ])('are left alone by %s, without a write', async (_what, method, headers) => {
      const writes = barrier.calls.replace;
      const response = await get(way, headers, method);
      expect(response.status).toBe(200);
      if (method === 'GET') expect(await response.json()).toEqual([]);
      expect(barrier.calls.replace).toBe(writes);
      expect(await left()).toEqual(['one', 'two']);
      expect(response.headers.get('cache-control')).toBe('no-store');
    });

    it('are left alone by a page of another site that uses the cookie in the background', async () => {
      const writes = barrier.calls.replace;
      for (const mode of ['no-cors', 'cors', 'websocket']) {
        const { body } = await browse(way, ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', mode, ...asCookie()]);
        expect(JSON.parse(body)).toEqual([]);
      }
      expect(barrier.calls.replace).toBe(writes);
      expect(await left()).toEqual(['one', 'two']);
    });

    it.each([
      ['a link on another site', ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'navigate'], asCookie],
      ['a page of ours', ['Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Mode', 'cors'], asCookie],
      [
        'a page that csrf.allowedOrigins names',
        ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'cors', 'Origin', 'https://spa.example'],
        asCookie,
      ],
      ['a token in a header', ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'cors'], asBearer],
    ])('are given to %s', async (_what, headers, as) => {
      expect(JSON.parse((await browse(way, [...headers, ...as()])).body)).toEqual(['one', 'two']);
    });
  });

  describe.each(['fallback', 'class/fallback'])('taken by a handler behind an interceptor, at /%s', (path) => {
    it('are given out when it responds', async () => {
      expect(await (await get(path)).json()).toEqual(['one', 'two']);
      expect(await left()).toEqual([]);
    });

    it('are put back when it throws, and the interceptor responds', async () => {
      page.show = () => {
        throw new Error('a bug of the application');
      };
      const response = await get(path);
      expect([response.ok, await response.text()]).toEqual([true, 'another page']);
      expect(await left()).toEqual(['one', 'two']);
    });

    it('are put back when the interceptor gives up on it, and responds', async () => {
      page.show = () => {
        setImmediate(() => {
          page.givenUp.next();
        });
        return new Promise(() => undefined);
      };
      const response = await get(path);
      expect([response.ok, await response.text()]).toEqual([true, 'another page']);
      await becomes(['one', 'two']);
    });

    it('are put back when the interceptor responds while they are being taken', async () => {
      const stopped = barrier.stopNext('replace');
      const response = get(path);
      await stopped.arrived;
      page.givenUp.next();
      expect(await (await response).text()).toBe('another page');
      stopped.letGo();
      await stopped.done;
      await becomes(['one', 'two']);
    });
  });

  it('are put back when the handler of a marked route throws, and a filter makes a page of the error', async () => {
    page.show = () => {
      throw new Error('a bug of the application');
    };
    const response = await get('marked');
    expect([response.status, await response.text()]).toEqual([200, 'something went wrong']);
    expect(await left()).toEqual(['one', 'two']);
  });

  it('are put back when a pipe of another parameter fails, and an interceptor responds', async () => {
    expect(await (await get('fallback-piped?n=x')).text()).toBe('another page');
    await becomes(['one', 'two']);
  });

  if (platform === 'express') {
    it('are put back by a 304 that Express makes of an unchanged page', async () => {
      page.show = () => 'a page that does not change';
      const etag = (await get('decorator')).headers.get('etag');
      expect(etag).toMatch(/^W\/"/);
      await add('three');
      expect((await get('decorator', { 'if-none-match': etag! })).status).toBe(304);
      expect(await left()).toEqual(['three']);
    });
  }

  it('go along with a login, and back into the new session; those of another user are gone with theirs', async () => {
    for (const [userId, expected] of [
      ['ann', ['one', 'two']],
      ['bob', []],
    ] as const) {
      page.show = async ({ request, session }) => {
        const { token: own } = await sessions.login(request, { userId }, { transport: 'bearer' });
        token = own!;
        session.data.seen = true;
        throw new NotFoundException();
      };
      expect((await get('decorator')).status).toBe(404);
      expect(await left()).toEqual(expected);
    }
  });

  describe('taken by the decorator', () => {
    it('are put back when a pipe refuses another parameter', async () => {
      const version = await storedVersion();
      expect((await get('piped?n=x')).status).toBe(400);
      // They may be taken after the response: it does not wait for the other parameters.
      while ((await storedVersion()) < version + 2) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(await left()).toEqual(['one', 'two']);
      expect(await (await get('piped?n=1')).json()).toMatchObject({ messages: [{}, {}], n: 1 });
    });

    it('are put back once, though the response of the store was lost and it is tried again', async () => {
      const { replace = 0 } = barrier.calls;
      page.show = () => {
        barrier.loseNextResponse('replace');
        throw new NotFoundException();
      };
      expect((await get('decorator')).status).toBe(404);
      // Taken, put back, and tried again.
      await soon(() => (barrier.calls.replace ?? 0) >= replace + 3 || undefined);
      page.show = ({ messages }) => messages.map(({ message }) => message);
      expect(await (await get('decorator')).json()).toEqual(['one', 'two']);
    });

    it('are put back when a filter makes a page of the error', async () => {
      page.show = () => {
        throw new Error('a bug of the application');
      };
      const response = await get('friendly');
      expect([response.status, await response.text()]).toEqual([200, 'something went wrong']);
      expect(await left()).toEqual(['one', 'two']);
    });

    it('are delivered where the filter has taken them, and not the handler', async () => {
      const response = await get('showing');
      expect([response.status, await response.text()]).toEqual([200, 'one,two']);
      expect(await left()).toEqual([]);
    });

    it('are put back when an interceptor gives up, or refuses what the handler has returned', async () => {
      page.show = () => {
        setImmediate(() => page.givenUp.next());
        return new Promise(() => undefined);
      };
      expect((await get('impatient')).status).toBe(408);
      expect(await left()).toEqual(['one', 'two']);
      page.show = () => 'fine';
      expect((await get('disgusted')).status).toBe(502);
      expect(await left()).toEqual(['one', 'two']);
    });

    it.each(['decorator', 'by-hand'])(
      'are delivered by an error page that the handler makes itself (%s)',
      async (way) => {
        page.show = ({ response, raw, messages }) => {
          if (way === 'by-hand') {
            raw.writeHead(422).end(JSON.stringify(messages));
            return;
          }
          response.status(422);
          return messages;
        };
        const response = await get(way);
        expect(response.status).toBe(422);
        expect(await response.json()).toHaveLength(2);
        expect(await left()).toEqual([]);
      },
    );

    it('are handed to one of 20 requests at once, also when some of them fail', async () => {
      let calls = 0;
      page.show = ({ messages }) => {
        if (calls++ % 2 === 0) throw new NotFoundException();
        return messages.map(({ message }) => message);
      };
      const seen: string[] = [];
      for (let round = 0; round < 5; round++) {
        const responses = await Promise.all(Array.from({ length: 4 }, () => get('decorator')));
        for (const response of responses) if (response.ok) seen.push(...((await response.json()) as string[]));
      }
      expect([...seen, ...(await left())].sort()).toEqual(['one', 'two']);
    });

    it('come back in their order, when two takers have got nothing', async () => {
      const first = start();
      await first.arrived;
      app.clock.advance(1);
      await add('three');
      const second = start();
      await second.arrived;
      app.clock.advance(1);
      await add('four');
      second.fail();
      await second.response;
      first.fail();
      await first.response;
      expect(await left()).toEqual(['one', 'two', 'three', 'four']);

      function start() {
        let arrived!: () => void;
        let fail!: () => void;
        const isArrived = new Promise<void>((resolve) => (arrived = resolve));
        page.show = () => {
          arrived();
          return new Promise((_resolve, reject) => (fail = () => reject(new NotFoundException())));
        };
        return { arrived: isArrived, response: get('decorator'), fail: () => fail() };
      }
    });
  });
});
