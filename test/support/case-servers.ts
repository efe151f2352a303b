import { All, Controller, Param, Res, UseGuards, type INestApplication } from '@nestjs/common';
import express, { type Express, type RequestHandler } from 'express';
import { fastify } from 'fastify';
import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CurrentSession, MemoryBackend, SessionGuard } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { logIn } from 'nestjs-sessionx/testing';

import { startApp, type Platform } from './apps.js';
import { BarrierBackend } from './barrier-backend.js';
import { exchange, type Exchange } from './raw-exchange.js';
import { codeOf, type ResponseCase } from './response-cases.js';

type Seen = readonly [what: string, value: unknown];

/** What a handler saw and what its client got. */
export interface Outcome {
  readonly seen: readonly Seen[];
  readonly got: Exchange;
}

/** A server with a route for each case, by its index. */
export interface CaseServer {
  outcomeOf(testCase: ResponseCase, headers?: Readonly<Record<string, string>>): Promise<Outcome>;
  close(): Promise<unknown>;
}

export interface CaseServerOptions {
  readonly platform: Platform;
  readonly cases: readonly ResponseCase[];
  /** Of Express. */
  readonly middleware?: readonly RequestHandler[];
}

/** Why a response waits. */
export type Reason = 'a change of the session' | 'a cookie that is renewed' | 'nothing';

export const REASONS: readonly Reason[] = ['a change of the session', 'a cookie that is renewed', 'nothing'];

type PlatformResponse = ServerResponse | { readonly raw: ServerResponse; readonly hijack: () => void };

/** Runs the handlers of a server and notes what they see. */
class CaseRunner {
  #seen: Promise<readonly Seen[]> = Promise.resolve([]);

  constructor(private readonly cases: readonly ResponseCase[]) {}

  /** What the handler of the last request saw, once its response is closed. */
  seen(): Promise<readonly Seen[]> {
    return this.#seen;
  }

  /** Runs a handler, and ends its response where it throws, as Nest does. */
  async run(index: string, reply: PlatformResponse, release: () => void = () => undefined): Promise<void> {
    const testCase = this.cases[Number(index)];
    if (testCase === undefined) throw new Error(`There is no case ${index}.`);
    if (testCase.hijacks !== false && 'hijack' in reply) reply.hijack();
    const res = 'raw' in reply ? reply.raw : reply;
    const seen: Seen[] = [];
    const see = (what: string, value?: unknown): void => {
      seen.push([what, value]);
    };
    const closed = new Promise((resolve) => res.once('close', resolve));
    this.#seen = closed
      .then(() => nextTurn())
      .then(() => nextTurn())
      .then(() => seen);
    try {
      await testCase.run({ res, reply, see, release });
    } catch (error) {
      see('thrown', `${codeOf(error)} ${(error as Error).message}`);
      if (!res.headersSent) res.writeHead(500).end('the error page');
      else res.end();
    }
    release();
  }
}

/** The framework alone. */
export async function startBareServer({ platform, cases, middleware = [] }: CaseServerOptions): Promise<CaseServer> {
  const runner = new CaseRunner(cases);
  if (platform === 'fastify') {
    const app = fastify();
    app.all<{ Params: { index: string } }>('/:index', (request, reply) => {
      void runner.run(request.params.index, reply);
    });
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    return caseServer({ url, cases, runner, close: () => app.close() });
  }
  const app: Express = express();
  for (const handler of middleware) app.use(handler);
  app.all('/:index', (request, response) => {
    void runner.run(request.params.index, response);
  });
  const server: Server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return caseServer({ url, cases, runner, close: () => new Promise((resolve) => server.close(resolve)) });
}

export interface OurServerOptions extends CaseServerOptions {
  readonly reason: Reason;
  /** Whether the request is known to us before the middleware. Default: its route makes it known. */
  readonly comesFirst?: boolean;
}

/** Ours: each handler runs with a session, and the store is held back until it is through. */
export async function startOurServer({
  platform,
  cases,
  middleware = [],
  reason,
  comesFirst = false,
}: OurServerOptions): Promise<CaseServer> {
  const runner = new CaseRunner(cases);
  const barrier = new BarrierBackend(new MemoryBackend());

  @Controller()
  class CasesController {
    @UseGuards(SessionGuard)
    @All(':index')
    async run(@Param('index') index: string, @CurrentSession() session: Session, @Res() reply: PlatformResponse) {
      if (reason === 'a change of the session') session.data.seen = `${Math.random()}`;
      const call =
        reason === 'nothing' ? null : barrier.stopNext(reason === 'a change of the session' ? 'replace' : 'read');
      await runner.run(index, reply, call?.letGo);
    }
  }

  const app = await startApp({
    platform,
    controllers: [CasesController],
    session: {
      backend: barrier.backend,
      backendTimeout: 10_000,
      tokenSourcePriority: ['cookie'],
      cookie: { name: 'session', secure: false },
    },
    configure: (nest: INestApplication) => {
      const requests = nest.get(RequestSessions);
      const first: RequestHandler = (request, response, next) => {
        requests.ofRequest(request, response);
        next();
      };
      if (comesFirst) nest.use(first);
      for (const handler of middleware) nest.use(handler);
    },
  });
  const { headers } = await logIn(app.app, { userId: 'ann' }, { ttl: 100_000 });
  if (reason === 'a cookie that is renewed') app.clock.advanceSeconds(60_000);
  return caseServer({ url: app.url, cases, runner, headers, close: () => app.close() });
}

/** Headers that are the server's, the framework's or the session's. */
const NOT_THE_HANDLERS =
  /^(connection|keep-alive|x-powered-by|vary|cache-control|set-cookie|x-session-token|access-control-expose-headers)$/;

function caseServer({
  url,
  cases,
  runner,
  headers: own = {},
  close,
}: {
  readonly url: string;
  readonly cases: readonly ResponseCase[];
  readonly runner: CaseRunner;
  readonly headers?: Readonly<Record<string, string>>;
  readonly close: () => Promise<unknown>;
}): CaseServer {
  return {
    outcomeOf: async (testCase, headers) => {
      const path = `/${cases.indexOf(testCase)}`;
      const got = await exchange(url, { method: testCase.method ?? 'GET', path, headers: { ...own, ...headers } });
      return { got: got && { ...got, headers: handlersOwn(got.headers) }, seen: await runner.seen() };
    },
    close,
  };
}

function handlersOwn(headers: NonNullable<Exchange>['headers']): NonNullable<Exchange>['headers'] {
  const entries = Object.entries(headers).filter(([name]) => !NOT_THE_HANDLERS.test(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, name === 'date' ? 'some date' : value]));
}
