import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { All, Controller, Param, Res, UseGuards } from '@nestjs/common';
import express from 'express';
import { fastify } from 'fastify';
import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CurrentSession, MemoryBackend, SessionGuard } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { exchange, type Exchange } from '../support/raw-exchange.js';
import { codeOf, RESPONSE_CASES, type ResponseCase } from '../support/response-cases.js';

type Seen = readonly [what: string, value: unknown];

/** What a handler saw and what its client got. */
interface Outcome {
  readonly seen: readonly Seen[];
  readonly got: Exchange;
}

interface Stage {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What the handler of the last request saw; resolves when its response is closed. */
  readonly seen: () => Promise<readonly Seen[]>;
}

/** Headers that are the server's, the framework's or the session's. */
const NOT_THE_HANDLERS =
  /^(connection|keep-alive|x-powered-by|vary|cache-control|set-cookie|x-session-token|access-control-expose-headers)$/;

class Theatre {
  #seen: Promise<readonly Seen[]> = Promise.resolve([]);

  readonly seen = (): Promise<readonly Seen[]> => this.#seen;

  /** Runs a handler, and ends its response as a framework would where it throws. */
  async play({ run }: ResponseCase, res: ServerResponse, release: () => void = () => undefined): Promise<void> {
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
      await run({ res, see, release });
    } catch (error) {
      see('thrown', `${codeOf(error)} ${(error as Error).message}`);
      if (!res.headersSent) res.writeHead(500).end('the error page');
      else if (!res.writableEnded) res.destroy();
    }
    release();
  }
}

function caseOf(index: string): ResponseCase {
  const found = RESPONSE_CASES[Number(index)];
  if (found === undefined) throw new Error(`There is no case ${index}.`);
  return found;
}

interface BareStage extends Stage {
  close(): Promise<unknown>;
}

async function startBare(platform: Platform): Promise<BareStage> {
  const theatre = new Theatre();
  if (platform === 'fastify') {
    const app = fastify();
    app.all<{ Params: { index: string } }>('/:index', (request, reply) => {
      reply.hijack();
      void theatre.play(caseOf(request.params.index), reply.raw);
    });
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    return { url, headers: {}, seen: theatre.seen, close: () => app.close() };
  }
  const app = express();
  app.all('/:index', (request, response) => {
    void theatre.play(caseOf(request.params.index), response);
  });
  const server: Server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    headers: {},
    seen: theatre.seen,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

/** Why a response waits. */
type Reason = 'a change of the session' | 'a cookie that is renewed' | 'nothing';

interface OurStage extends Stage {
  readonly app: AppUnderTest;
}

async function startOurs(platform: Platform, reason: Reason): Promise<OurStage> {
  const theatre = new Theatre();
  const barrier = new BarrierBackend(new MemoryBackend());

  @Controller()
  class CasesController {
    @UseGuards(SessionGuard)
    @All(':index')
    async play(
      @Param('index') index: string,
      @CurrentSession() session: Session,
      @Res() response: ServerResponse | { raw: ServerResponse; hijack: () => void },
    ): Promise<void> {
      if ('hijack' in response) response.hijack();
      const raw = 'raw' in response ? response.raw : response;
      if (reason === 'a change of the session') session.data.seen = `${Math.random()}`;
      const store =
        reason === 'nothing' ? null : barrier.stopNext(reason === 'a change of the session' ? 'replace' : 'read');
      await theatre.play(caseOf(index), raw, store?.letGo);
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
  });
  const { headers } = await logIn(app.app, { userId: 'ann' }, { ttl: 100_000 });
  if (reason === 'a cookie that is renewed') app.clock.advanceSeconds(60_000);
  return { app, url: app.url, headers, seen: theatre.seen };
}

async function outcomeOf({ url, headers, seen }: Stage, testCase: ResponseCase): Promise<Outcome> {
  const path = `/${RESPONSE_CASES.indexOf(testCase)}`;
  const got = await exchange(url, { method: testCase.method ?? 'GET', path, headers });
  return { got: got && { ...got, headers: handlersOwn(got.headers) }, seen: await seen() };
}

function handlersOwn(headers: NonNullable<Exchange>['headers']): NonNullable<Exchange>['headers'] {
  const entries = Object.entries(headers).filter(([name]) => !NOT_THE_HANDLERS.test(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, name === 'date' ? 'some date' : value]));
}

const REASONS: readonly Reason[] = ['a change of the session', 'a cookie that is renewed', 'nothing'];
const stages = PLATFORMS.flatMap((platform) => REASONS.map((reason) => ({ platform, reason })));

describe.each(stages)('a response on $platform that waits for $reason', ({ platform, reason }) => {
  let bare: BareStage;
  let ours: OurStage;

  beforeAll(async () => {
    bare = await startBare(platform);
    ours = await startOurs(platform, reason);
  });

  afterAll(async () => {
    await bare.close();
    await ours.app.close();
  });

  it.each(RESPONSE_CASES)('is, for its handler and its client, like one of Node: $name', async (testCase) => {
    expect(await outcomeOf(ours, testCase)).toEqual(await outcomeOf(bare, testCase));
  });
});
