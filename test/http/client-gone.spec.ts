import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ConflictException, Controller, Get, Redirect, Res, UseGuards } from '@nestjs/common';
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CurrentSession, SessionGuard, SessionService, UseSession, type Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { soon } from '../support/soon.js';

/** The platform's response; on Fastify Node's is in `raw`. */
type AnyResponse = ServerResponse & { readonly raw?: ServerResponse; send(body: unknown): unknown };

const arrivals = new EventEmitter();

/** Changes the session, and goes on when the client has gone. */
async function changeAndOutlast(session: Session, response: AnyResponse): Promise<void> {
  session.data.cart = ['book'];
  const closed = once(response.raw ?? response, 'close');
  arrivals.emit('arrived');
  await closed;
}

@UseGuards(SessionGuard)
@Controller()
class CartController {
  @Get('json')
  async json(@CurrentSession() session: Session, @Res({ passthrough: true }) response: AnyResponse) {
    await changeAndOutlast(session, response);
    return { ok: true };
  }

  @Get('text')
  async text(@CurrentSession() session: Session, @Res({ passthrough: true }) response: AnyResponse) {
    await changeAndOutlast(session, response);
    return 'ok';
  }

  @Redirect('/elsewhere')
  @Get('redirect')
  async redirect(@CurrentSession() session: Session, @Res({ passthrough: true }) response: AnyResponse) {
    await changeAndOutlast(session, response);
  }

  @Get('throws')
  async throws(@CurrentSession() session: Session, @Res({ passthrough: true }) response: AnyResponse) {
    await changeAndOutlast(session, response);
    throw new ConflictException();
  }

  @Get('sends')
  async sends(@CurrentSession() session: Session, @Res() response: AnyResponse) {
    await changeAndOutlast(session, response);
    response.send('ok');
  }

  @Get('raw')
  async raw(@CurrentSession() session: Session, @Res() response: AnyResponse) {
    await changeAndOutlast(session, response);
    const raw = response.raw ?? response;
    raw.write('o');
    raw.end('k');
  }

  // Nothing goes by the methods of the response that could wait for the change.

  @UseSession()
  @Get('pipes')
  async pipes(@CurrentSession() session: Session, @Res() response: AnyResponse) {
    await changeAndOutlast(session, response);
    await pipeline(Readable.from(['ok']), response.raw ?? response).catch(() => undefined);
  }

  @UseSession()
  @Get('nothing')
  async nothing(@CurrentSession() session: Session, @Res() response: AnyResponse) {
    await changeAndOutlast(session, response);
  }

  @UseSession()
  @Get('destroys')
  destroys(@CurrentSession() session: Session, @Res() response: AnyResponse) {
    session.data.cart = ['book'];
    arrivals.emit('arrived');
    (response.raw ?? response).destroy();
  }
}

const CASES = everyBackend().flatMap((store) => PLATFORMS.map((platform) => ({ store, platform, name: store.name })));

describe.each(CASES)('a client that has gone before its response, $name on $platform', ({ store, platform }) => {
  let app: AppUnderTest;

  beforeEach(async () => {
    await store.start();
    app = await startApp({ platform, controllers: [CartController], session: { backend: store.another() } });
  });

  afterEach(async () => {
    await app.close();
    await store.stop();
  });

  const paths = ['json', 'text', 'redirect', 'throws', 'sends', 'raw', 'pipes', 'nothing', 'destroys'];

  it.each(paths)('finds its change stored, by /%s', async (path) => {
    const { token, headers } = await logIn(app.app, { userId: 'ann' });
    const sessions = app.app.get(SessionService);
    const { hostname, port } = new URL(app.url);
    const socket = connect(Number(port), hostname);
    const arrived = once(arrivals, 'arrived');
    const lines = [`GET /${path} HTTP/1.1`, 'Host: cart', ...Object.entries(headers).map((pair) => pair.join(': '))];
    socket.on('error', () => undefined);
    socket.write([...lines, '', ''].join('\r\n'));
    await arrived;
    if (path !== 'destroys') socket.destroy();
    const cart = await soon(async () => (await sessions.getSession(token)).data.cart);
    expect(cart).toEqual(['book']);
  });
});
