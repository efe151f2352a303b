import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Param, Res, UseGuards } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { CurrentSession, MemoryBackend, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';
import type { Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { LogLines } from '../support/log-lines.js';

interface Reply {
  readonly raw?: ServerResponse;
  readonly hijack?: () => void;
  readonly send: (body: unknown) => unknown;
}

function rawOf(reply: Reply): ServerResponse {
  reply.hijack?.();
  return reply.raw ?? (reply as unknown as ServerResponse);
}

@UseGuards(SessionGuard)
@Controller('late')
class LateController {
  constructor(private readonly sessions: SessionService) {}

  @Get('sync/:id')
  sync(@CurrentSession() session: Session, @Res() reply: Reply): void {
    reply.send('body');
    session.data.late = Math.random();
  }

  @Get('awaited/:id')
  async awaited(@CurrentSession() session: Session, @Res() reply: Reply): Promise<void> {
    reply.send('body');
    await nextTurn();
    session.data.late = Math.random();
  }

  @Get('deep/:id')
  async deep(@CurrentSession() session: Session, @Res() reply: Reply): Promise<void> {
    reply.send('body');
    session.data.late = await nextTurn(Math.random());
  }

  @Get('user/:id')
  user(@CurrentSession() session: Session, @Res() reply: Reply): void {
    reply.send('body');
    if (session.user !== null) session.user.username = String(Math.random());
  }

  @Get('flash/:id')
  flash(@CurrentSession() session: Session, @Res() reply: Reply): void {
    reply.send('body');
    session.addFlashMessage('late');
  }

  @Get('invalid/:id')
  invalid(@CurrentSession() session: Session, @Res() reply: Reply): void {
    reply.send('body');
    session.data.late = new Date();
  }

  @Get('reference/:id')
  reference(@CurrentSession() session: Session, @Res() reply: Reply): void {
    const { data } = session;
    const raw = rawOf(reply);
    raw.write('bo');
    data.late = Math.random();
    raw.end('dy');
  }

  @Get('waiting/:id')
  async waiting(@CurrentSession() session: Session, @Res() reply: Reply): Promise<void> {
    session.data.early = Math.random();
    reply.send('body');
    await nextTurn();
    session.data.late = Math.random();
  }

  @Get('saved/:id')
  async saved(@CurrentSession() session: Session, @Res() reply: Reply): Promise<void> {
    reply.send('body');
    session.data.late = Math.random();
    await nextTurn();
    await this.sessions.updateSession(session);
  }

  @Get('read/:id')
  read(@CurrentSession() session: Session, @Res() reply: Reply): void {
    reply.send('body');
    if (session.data.late === 'never' || session.user === null) throw new Error('impossible');
  }

  @UseSession()
  @Get('intercepted/:id')
  async intercepted(@CurrentSession() session: Session, @Res() reply: Reply): Promise<void> {
    reply.send('body');
    await nextTurn();
    session.data.late = Math.random();
  }

  @Get('early/:id')
  early(@CurrentSession() session: Session, @Param('id') id: string): object {
    session.data.early = id;
    return { id };
  }

  @Get('last/:id')
  last(@CurrentSession() session: Session, @Res() reply: Reply): void {
    reply.send('body');
    session.data.late = Math.random();
  }
}

describe.each(PLATFORMS)('a change of the session on %s after the response has begun', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  const log = new LogLines();
  let app: AppUnderTest;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [LateController],
      session: { backend: barrier.backend, backendTimeout: 10_000 },
    });
    app.app.useLogger(log);
  });

  beforeEach(async () => {
    headers = (await logIn(app.app, { userId: 'ann' })).headers;
  });

  afterAll(() => app.close());

  function linesOf(route: string): readonly string[] {
    return log.of('warn', 'error').filter((line) => line.includes(`GET /late/${route}/:id`));
  }

  async function lineOf(route: string): Promise<string> {
    for (let tries = 0; tries < 200; tries++) {
      const [line] = linesOf(route);
      if (line !== undefined) return line;
      await sleep(100);
    }
    throw new Error(`Nothing was said of ${route}.`);
  }

  async function get(route: string, id = '1'): Promise<void> {
    const response = await app.fetch(`/late/${route}/${id}`, { headers });
    expect(response.status).toBe(200);
    await response.text();
  }

  it.each(['sync', 'awaited', 'deep', 'user', 'flash', 'invalid', 'reference'])(
    'is reported once for its route, and never with a URL: %s',
    async (route) => {
      for (const id of ['first-secret', 'second-secret', 'third-secret']) await get(route, id);
      expect(await lineOf(route)).toMatch(/^warn: .*is not stored.*updateSession\(session\)/);
      // Its warning comes after all of those before.
      await get('last');
      await lineOf('last');
      expect(linesOf(route)).toHaveLength(1);
      expect(log.all.join('\n')).not.toContain('secret');
    },
  );

  it('is reported where the response waits meanwhile', async () => {
    const write = barrier.stopNext('replace');
    const pending = get('waiting');
    await write.arrived;
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    write.letGo();
    await pending;
    expect(await lineOf('waiting')).toContain('is not stored');
  });

  it('is not reported where it is stored, or nothing has changed', async () => {
    for (const route of ['saved', 'read', 'intercepted', 'early']) await get(route);
    log.clear();
    for (const route of ['saved', 'read', 'intercepted', 'early']) await get(route, '2');
    // A route that has said nothing yet.
    const fresh = await startApp({ platform, controllers: [LateController] });
    fresh.app.useLogger(log);
    const { headers: own } = await logIn(fresh.app, { userId: 'bob' });
    await (await fresh.fetch('/late/last/1', { headers: own })).text();
    await lineOf('last');
    for (const route of ['saved', 'read', 'intercepted', 'early']) expect(linesOf(route)).toEqual([]);
    await fresh.close();
  });
});
