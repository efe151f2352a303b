import { describe, expect, it } from '@jest/globals';
import { Controller, Post, Res, UseGuards } from '@nestjs/common';
import { CurrentSession, MemoryBackend, SessionGuard, type Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import type { Server, ServerResponse } from 'node:http';

import { PLATFORMS, startApp } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

@UseGuards(SessionGuard)
@Controller()
class Writes {
  @Post('returned')
  returned(@CurrentSession() session: Session): string {
    session.data.written = true;
    return 'stored';
  }

  @Post('streamed')
  streamed(@CurrentSession() session: Session, @Res() response: ServerResponse | { raw: ServerResponse }): void {
    session.data.written = true;
    const raw = 'raw' in response ? response.raw : response;
    raw.statusCode = 201;
    raw.write('sto');
    raw.end('red');
  }
}

describe.each(PLATFORMS)('an application that shuts down, on %s', (platform) => {
  it.each(['returned', 'streamed'])('sends a %s response that waits until its session is stored', async (path) => {
    const store = new BarrierBackend(new MemoryBackend());
    const app = await startApp({ platform, controllers: [Writes], session: { backend: store.backend } });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const write = store.stopNext('replace');
    const pending = app.fetch(`/${path}`, { method: 'POST', headers });
    await write.arrived;
    // As at the shutdown of the application: Node closes at once what it takes for idle connections.
    (app.app.getHttpServer() as Server).close();
    write.letGo();
    const response = await pending;
    expect([response.status, await response.text()]).toEqual([201, 'stored']);
    await app.close();
  });
});
