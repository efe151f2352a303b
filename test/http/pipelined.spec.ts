import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Param, Req, Res, UseGuards } from '@nestjs/common';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { CurrentSession, MemoryBackend, SessionGuard, SessionService } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

interface Reply {
  readonly raw?: ServerResponse;
  readonly hijack?: () => void;
}

@UseGuards(SessionGuard)
@Controller()
class NumberedController {
  @Get('read/:number')
  read(@Param('number') number: string): string {
    return `response ${number}`;
  }

  /** Responds, and then spoils its response in every way. */
  @Get('change/:number')
  change(@CurrentSession() session: Session, @Param('number') number: string, @Res() reply: Reply): void {
    session.data.seen = Math.random();
    reply.hijack?.();
    const raw = reply.raw ?? (reply as ServerResponse);
    raw.on('error', () => undefined);
    raw.end(`response ${number}`);
    for (const name of ['Content-Length', 'Transfer-Encoding']) {
      try {
        raw.setHeader(name, name === 'Content-Length' ? 1 : 'chunked');
      } catch {
        // Node refuses it.
      }
    }
    raw.statusCode = 204;
    raw.write('a second response');
    raw.end('a third response');
  }
}

@Controller('kept')
class KeptController {
  #first: object | null = null;

  constructor(private readonly sessions: SessionService) {}

  @Get('first')
  first(@Req() request: object): string {
    this.#first = request;
    return 'first';
  }

  @Get('second')
  second(): Promise<string> {
    return this.sessions.login(this.#first!, { userId: 'ann' }).then(
      () => 'second',
      () => 'second',
    );
  }
}

describe.each(PLATFORMS)('requests on %s that come one behind the other on a connection', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  let app: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [NumberedController, KeptController],
      session: { backend: barrier.backend, backendTimeout: 10_000 },
    });
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterAll(() => app.close());

  it.each([
    ['change', 'change', 'change'],
    ['change', 'read', 'change'],
    ['read', 'change', 'read'],
  ])('get their own responses, whole and in order: %s, %s, %s', async (...routes) => {
    const { hostname, port } = new URL(app.url);
    const client = connect(Number(port), hostname);
    const write = barrier.stopNext('replace');
    const own = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const text = routes.map((route, index) => {
      const close = index === routes.length - 1 ? 'Connection: close\r\n' : '';
      return `GET /${route}/${index} HTTP/1.1\r\nHost: a\r\n${close}${own.join('')}\r\n`;
    });
    client.write(text.join(''));
    await write.arrived;
    // Another connection is served meanwhile.
    expect(await (await app.fetch('/read/9', { headers })).text()).toBe('response 9');
    write.letGo();
    let received = '';
    for await (const chunk of client) received += String(chunk);

    const responses = received.split(/(?=HTTP\/1\.1 )/);
    expect(responses.map((response) => response.split('\r\n')[0])).toEqual(routes.map(() => 'HTTP/1.1 200 OK'));
    expect(responses.map((response) => response.split('\r\n\r\n').slice(1).join(''))).toEqual(
      routes.map((_, index) => `response ${index}`),
    );
    for (const response of responses) expect(response).toMatch(/^Content-Length: 10\r$/im);
  });

  it('do not get the token of one that is over and signs in late', async () => {
    const { hostname, port } = new URL(app.url);
    const client = connect(Number(port), hostname);
    client.write('GET /kept/first HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(client, 'data');
    client.write('GET /kept/second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    let received = '';
    for await (const chunk of client) received += String(chunk);
    expect(received).toMatch(/\r\n\r\nsecond$/);
    expect(received).not.toMatch(/X-Session-Token:/i);
  });
});
