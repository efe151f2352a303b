import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Post, Req, Res, UseGuards } from '@nestjs/common';
import express, { type Request, type Response } from 'express';
import { once } from 'node:events';
import { createServer, IncomingMessage, ServerResponse, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { CurrentSession, Session, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { startApp, type AppUnderTest } from '../support/apps.js';
import { LogLines } from '../support/log-lines.js';
import { exchange } from '../support/raw-exchange.js';

let handOver: (request: Request, response: Response) => void;

@Controller()
class PagesController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post('login')
  async login(@Req() request: object) {
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { token };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { userId: session.user?.userId };
  }

  @UseGuards(SessionGuard)
  @Get('seen')
  seen(@Req() request: Request, @Res() response: Response, @CurrentSession() session: Session) {
    session.data.seen = true;
    response.json({
      keys: Reflect.ownKeys(response.locals).map(String),
      methods: ['writeHead', 'flushHeaders', 'write', 'end'].filter((name) => Object.hasOwn(response, name)),
      text: inspect({ request, response }, { showHidden: true, depth: 2 }),
    });
  }

  @UseGuards(SessionGuard)
  @Get('handed-over')
  handedOver(@Req() request: Request, @Res() response: Response, @CurrentSession() session: Session) {
    session.data.handed = true;
    handOver(request, response);
  }

  @UseGuards(SessionGuard)
  @Post('count')
  countPost(@CurrentSession() session: Session) {
    session.data.count = 1;
  }

  @UseGuards(SessionGuard)
  @Get('parts')
  parts(@CurrentSession() session: Session, @Res() response: Response) {
    session.data.parts = 2;
    response.write('one ');
    response.end('two');
  }

  @UseGuards(SessionGuard)
  @Get('count')
  count(@CurrentSession() session: Session, @Res() response: Response) {
    session.data.count = Number(session.data.count ?? 0) + 1;
    response.redirect('/me');
  }
}

async function dataOf(app: AppUnderTest, token: string): Promise<Record<string, unknown>> {
  return { ...(await app.app.get(SessionService).getSession(token)).data };
}

describe('the responses of an Express application', () => {
  let app: AppUnderTest | undefined;
  const servers: Server[] = [];

  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.close();
      await once(server, 'close');
    }
    await app?.close();
    app = undefined;
  });

  async function listen(server: Server): Promise<string> {
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('have nothing of the session on them, nor has the request', async () => {
    app = await startApp({ controllers: [PagesController] });
    const { headers, token } = await logIn(app.app, { userId: 'ann' });
    const response = await app.fetch('/seen', { headers });
    const { keys, methods, text } = (await response.json()) as { keys: string[]; methods: string[]; text: string };
    expect(methods).toEqual([]);
    expect(keys).toEqual([]);
    expect(text).not.toMatch(/session-?(data|id)|sessionx/i);
    expect(await dataOf(app, token)).toEqual({ seen: true });
  });

  it('wait for the session below a middleware that has put a method of its own over them', async () => {
    const calls: string[] = [];
    app = await startApp({
      controllers: [PagesController],
      configure: (nest) => {
        nest.use((_request: Request, response: Response, next: () => void) => {
          const end = response.end.bind(response) as (...args: unknown[]) => Response;
          response.end = (...args: unknown[]) => {
            calls.push('end');
            return end(...args);
          };
          next();
        });
      },
    });
    const { headers, token } = await logIn(app.app, { userId: 'ann' });
    const response = await app.fetch('/count', { headers });
    expect([response.status, response.headers.get('location')]).toEqual([302, '/me']);
    expect(await dataOf(app, token)).toEqual({ count: 1 });
    expect(calls).toEqual(['end']);
  });

  it.each([
    ['write', '/parts', 'are an error', 500],
    ['end', '/parts', 'break off', null],
    ['end', '/count', 'break off', null],
  ] as const)(
    'whose %s() fails in a middleware below, as of %s, %s, which is in the log',
    async (method, path, _, status) => {
      const log = new LogLines();
      app = await startApp({
        controllers: [PagesController],
        configure: (nest) => {
          nest.use((_request: Request, response: Response, next: () => void) => {
            response[method] = () => {
              throw new Error('a bug of a middleware');
            };
            next();
          });
        },
      });
      app.app.useLogger(log);
      const { headers, token } = await logIn(app.app, { userId: 'ann' });
      const got = await exchange(app.url, { method: 'GET', path, headers });
      expect(got?.status ?? null).toBe(status);
      expect(log.of('error')).toEqual([
        expect.stringContaining(`The response to GET ${path} could not be sent: "a bug of a middleware"`),
      ]);
      expect(await dataOf(app, token)).not.toEqual({});
    },
  );

  it('wait for the session where the application is mounted in another one, and where another one is mounted in it', async () => {
    app = await startApp({
      controllers: [PagesController],
      configure: (nest) => {
        const inner = express();
        inner.get('/page', (request, response, next) => {
          nest
            .get(SessionService)
            .getSession(String(request.headers['x-session-token']))
            .then((session) => response.send(session.user?.userId), next);
        });
        nest.use('/inner', inner);
      },
    });
    const outer = express();
    outer.use('/api', app.app.getHttpAdapter().getInstance() as express.Express);
    const url = await listen(createServer(outer));
    const { token } = await logIn(app.app, { userId: 'ann' });
    const headers = { 'x-session-token': token };
    const redirect = await fetch(`${url}/api/count`, { headers, redirect: 'manual' });
    expect(redirect.status).toBe(302);
    expect(await dataOf(app, token)).toEqual({ count: 1 });
    const inner = await fetch(`${url}/api/inner/page`, { headers });
    expect([inner.status, await inner.text()]).toEqual([200, 'ann']);
  });

  it('are those of their own requests where a middleware gives all requests one array of headers', async () => {
    const shared: string[] = [];
    app = await startApp({
      controllers: [PagesController],
      configure: (nest) => {
        nest.use((request: IncomingMessage, _response: Response, next: () => void) => {
          if (request.headers['x-shared'] !== undefined) request.rawHeaders = shared;
          next();
        });
      },
    });
    const { app: nest } = app;
    const users = await Promise.all(['ann', 'bob', 'cid'].map((userId) => logIn(nest, { userId })));
    for (let round = 0; round < 5; round++) {
      const pages = await Promise.all(
        users.map(async ({ headers }) => {
          const response = await fetch(`${app!.url}/me`, { headers: { ...headers, 'x-shared': '1' } });
          return await response.json();
        }),
      );
      expect(pages).toEqual([{ userId: 'ann' }, { userId: 'bob' }, { userId: 'cid' }]);
      const counts = await Promise.all(
        users.map(({ headers }) => app!.fetch('/count', { headers: { ...headers, 'x-shared': '1' } })),
      );
      expect(counts.map(({ status }) => status)).toEqual([302, 302, 302]);
      const data = await Promise.all(users.map(({ token }) => dataOf(app!, token)));
      expect(data).toEqual(users.map(() => ({ count: round + 1 })));
    }
    const anonymous = await app.fetch('/me', { headers: { 'x-shared': '1' } });
    expect(anonymous.status).toBe(401);
  });

  describe('behind a middleware that uses the session', () => {
    /** What each request meets after the first middleware, which reads the session, changes it, or logs in. */
    async function start(
      next: (request: Request, response: Response, next: () => void) => void,
    ): Promise<AppUnderTest> {
      app = await startApp({
        session: { tokenSourcePriority: ['cookie', 'header'], cookie: { name: 'sid', secure: false } },
        controllers: [PagesController],
        configure: (nest) => {
          const sessions = nest.get(SessionService);
          nest.use(async (request: Request, _response: Response, go: () => void) => {
            if (request.method === 'POST') await sessions.login(request, { userId: 'bob' });
            const session = await sessions.current(request);
            if (session !== null) session.data.first = true;
            go();
          });
          nest.use(next);
        },
      });
      return app;
    }

    async function expectSent(path: string, data: object): Promise<void> {
      const { token } = await logIn(app!.app, { userId: 'ann' });
      const response = await app!.fetch(path, { headers: { 'x-session-token': token } });
      expect([200, 302]).toContain(response.status);
      expect(response.headers.get('vary')).toMatch(/cookie/i);
      expect(await dataOf(app!, token)).toEqual(data);

      const login = await app!.fetch(path, { method: 'POST', headers: { 'sec-fetch-site': 'same-origin' } });
      const [cookie = ''] = login.headers.getSetCookie();
      expect(login.headers.get('cache-control')).toBe('no-store');
      const page = await app!.fetch('/me', { headers: { cookie: cookie.split(';')[0]! } });
      expect(await page.json()).toEqual({ userId: 'bob' });
    }

    it('wait for it in an application of Express that is called as a function, and behind it', async () => {
      const inner = express();
      inner.all('/inner', (_request, response) => {
        response.send('inner');
      });
      await start((request, response, next) => {
        inner(request, response, next);
      });
      await expectSent('/inner', { first: true });
      await expectSent('/count', { first: true, count: 1 });
    });

    it('wait for it there beside other applications with the same routes', async () => {
      const other = await startApp({ controllers: [PagesController] });
      const inner = express();
      await start((request, response, next) => {
        inner(request, response, next);
      });
      await expectSent('/count', { first: true, count: 1 });
      await other.close();
    });

    it('bring the headers of a session that a handler gives to such an application', async () => {
      const inner = express();
      inner.use((_request, response) => {
        response.send('inner');
      });
      handOver = inner;
      await start((_request, _response, next) => {
        next();
      });
      const { token } = await logIn(app!.app, { userId: 'ann' });
      const response = await app!.fetch('/handed-over', { headers: { 'x-session-token': token } });
      expect([response.status, await response.text()]).toEqual([200, 'inner']);
      expect(response.headers.get('vary')).toMatch(/cookie/i);
      expect(await dataOf(app!, token)).toEqual({ first: true, handed: true });
    });

    const copies: [name: string, copy: (request: Request) => Request][] = [
      ['a copy of the request', (request) => Object.create(request) as Request],
      ['a proxy of the request', (request) => new Proxy(request, {})],
    ];

    it.each(copies)('wait for it where what follows gets %s', async (_name, copy) => {
      const inner = express.Router();
      await start((request, response, next) => {
        inner(copy(request), response, next);
      });
      const sessions = app!.app.get(SessionService);
      inner.all('/inner', async (request, response) => {
        const session = await sessions.current(request);
        if (session !== null) session.data.inner = true;
        response.send('inner');
      });
      const { token } = await logIn(app!.app, { userId: 'ann' });
      const response = await app!.fetch('/inner', { headers: { 'x-session-token': token } });
      expect(response.status).toBe(200);
      expect(await dataOf(app!, token)).toEqual({ first: true, inner: true });
      await expectSent('/count', { first: true, count: 1 });
    });

    it.each<[name: string, copy: (response: Response) => Response]>([
      ['a copy of the response', (response) => Object.create(response) as Response],
      ['a proxy of the response', (response) => new Proxy(response, {})],
    ])('wait for it where what follows ends %s', async (_name, copy) => {
      await start((request, response, next) => {
        if (request.path === '/ended') copy(response).end('ended');
        else next();
      });
      await expectSent('/ended', { first: true });
    });

    it.each(['a socket', 'no socket'])(
      'are not those that something else makes for the same request, with %s',
      async (which) => {
        await start((request, response, next) => {
          const recorded = new ServerResponse(request);
          Object.setPrototypeOf(recorded, Object.getPrototypeOf(response) as object);
          if (which === 'a socket') Object.assign(recorded, { socket: response.socket });
          recorded.setHeader('x-recorded', 'yes');
          if (which === 'no socket') recorded.end('recorded');
          else recorded.writeHead(201);
          next();
        });
        const { token } = await logIn(app!.app, { userId: 'ann' });
        const response = await app!.fetch('/me', { headers: { 'x-session-token': token } });
        expect([response.headers.get('x-recorded'), await response.json()]).toEqual([null, { userId: 'ann' }]);
        expect(await dataOf(app!, token)).toEqual({ first: true });
      },
    );

    it.each<[name: string, derive: (request: Request, own: object) => object]>([
      ['Object.create()', (request, own) => Object.assign(Object.create(request) as object, own)],
      ['Object.assign()', (request, own) => Object.assign(new IncomingMessage(request.socket), request, own)],
      [
        'a proxy',
        (request, own) =>
          new Proxy(request, { get: (target, name): unknown => Reflect.get(name in own ? own : target, name) }),
      ],
    ])('are not those of a request with headers of its own, made by %s', async (_name, derive) => {
      const users: unknown[] = [];
      let tokens: string[] = [];
      await start((request, _response, next) => {
        const sessions = app!.app.get(SessionService);
        const look = async () => {
          for (const token of tokens) {
            const headers = { ...request.headers, 'x-session-token': token };
            const session = await sessions.current(
              derive(request, { headers, rawHeaders: Object.entries(headers).flat() }),
            );
            users.push(session?.user?.userId);
          }
        };
        look().then(next, next);
      });
      const { token } = await logIn(app!.app, { userId: 'ann' });
      tokens = [(await logIn(app!.app, { userId: 'bob' })).token, 'none'];
      const response = await app!.fetch('/me', { headers: { 'x-session-token': token } });
      expect([await response.json(), users]).toEqual([{ userId: 'ann' }, ['bob', undefined]]);
    });
  });

  it('have one layer, however many applications there were', async () => {
    const lengths = [];
    for (let count = 0; count < 3; count++) {
      const one = await startApp({ controllers: [PagesController] });
      let length = 0;
      for (let below: unknown = express.response; below !== null; below = Object.getPrototypeOf(below)) length++;
      lengths.push(length);
      await one.close();
    }
    expect(new Set(lengths).size).toBe(1);
  });

  it.each(['end', 'writeHead'] as const)(
    'wait for the session below a %s that all applications share',
    async (name) => {
      const shared = express.response as unknown as Record<string, (...args: unknown[]) => unknown>;
      const original = ServerResponse.prototype[name] as (...args: unknown[]) => unknown;
      const calls: string[] = [];
      shared[name] = function (...args) {
        calls.push(name);
        return original.apply(this, args);
      };
      try {
        app = await startApp({ controllers: [PagesController] });
        const { headers, token } = await logIn(app.app, { userId: 'ann' });
        expect((await app.fetch('/count', { headers })).status).toBe(302);
        expect(await dataOf(app, token)).toEqual({ count: 1 });
        expect(calls).not.toEqual([]);
      } finally {
        Reflect.deleteProperty(shared, name);
      }
    },
  );
});
