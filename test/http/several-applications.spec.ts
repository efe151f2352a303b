import { afterEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  Injectable,
  Scope,
  UseGuards,
  UsePipes,
  type ArgumentMetadata,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { APP_PIPE } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  CurrentSession,
  CurrentUser,
  SessionGuard,
  SessionModule,
  type Session,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

import { PLATFORMS, SECRET_KEY, startApp, type AppOptions, type AppUnderTest } from '../support/apps.js';

/** Replaces objects by copies, as pipes do that clean up what clients send. */
@Injectable()
class CopyingPipe implements PipeTransform {
  static readonly seen: unknown[] = [];

  transform(value: unknown, { type }: ArgumentMetadata): unknown {
    if (type === 'custom') CopyingPipe.seen.push(value);
    return typeof value === 'object' && value !== null ? { ...value } : value;
  }
}

@Injectable({ scope: Scope.REQUEST })
class ScopedPipe extends CopyingPipe {}

class Handlers {
  @Get('session')
  session(@CurrentSession() session: Session, @CurrentUser() user: SessionUser) {
    return { id: session.sessionId, userId: user.userId };
  }
}

@Controller('open')
class OpenController extends Handlers {}

@UseGuards(SessionGuard)
@Controller('guarded')
class GuardedController extends Handlers {}

@UsePipes(CopyingPipe)
@Controller('piped')
class PipedController extends Handlers {}

@Controller('overridden')
class OverriddenController extends Handlers {
  @UsePipes(CopyingPipe)
  @Get('session')
  override session(@CurrentSession() session: Session, @CurrentUser() user: SessionUser) {
    return super.session(session, user);
  }
}

const CONTROLLERS: Type[] = [OpenController, GuardedController];

describe.each(PLATFORMS)(
  'handlers with session decorators in several applications of one process, on %s',
  (platform) => {
    const apps: AppUnderTest[] = [];

    async function start(options: Partial<AppOptions> = {}): Promise<AppUnderTest> {
      const app = await startApp({ platform, controllers: CONTROLLERS, ...options });
      apps.push(app);
      return app;
    }

    async function expectOwnSessions(app: AppUnderTest, paths = ['/open', '/guarded']): Promise<void> {
      const { session, headers } = await logIn(app.app, { userId: 'ann' });
      for (const path of paths) {
        const response = await app.fetch(`${path}/session`, { headers });
        expect([path, response.status, await response.json()]).toEqual([
          path,
          200,
          { id: session.sessionId, userId: 'ann' },
        ]);
      }
    }

    afterEach(async () => {
      await Promise.all(apps.splice(0).map((app) => app.close()));
      for (const value of CopyingPipe.seen.splice(0)) expect(Object.keys(value as object)).toEqual(['sealed']);
    });

    it('get the sessions of their own application, one after the other and at once', async () => {
      const one = await start();
      await expectOwnSessions(one);
      const two = await start();
      await Promise.all([expectOwnSessions(one), expectOwnSessions(two)]);
      await one.close();
      await expectOwnSessions(two);
    });

    it.each([
      ['first', true],
      ['last', false],
    ])(
      'get them behind the pipes of the application that started %s, and without pipes in the other',
      async (_when, first) => {
        const piped = { configure: (app: AppUnderTest['app']): void => void app.useGlobalPipes(new CopyingPipe()) };
        const one = await start(first ? piped : {});
        const two = await start(first ? {} : piped);
        await Promise.all([expectOwnSessions(one), expectOwnSessions(two)]);
        expect(CopyingPipe.seen.length).toBeGreaterThan(0);
      },
    );

    it('get them where applications start at the same time', async () => {
      const piped = { configure: (app: AppUnderTest['app']): void => void app.useGlobalPipes(new CopyingPipe()) };
      const started = await Promise.all([start(), start(piped), start()]);
      await Promise.all(started.map((app) => expectOwnSessions(app)));
    });

    it.each([CopyingPipe, ScopedPipe])(
      'get them behind a pipe that is provided for the application: %p',
      async (useClass) => {
        const app = await start({ providers: [{ provide: APP_PIPE, useClass }] });
        await expectOwnSessions(app);
        expect(CopyingPipe.seen.length).toBeGreaterThan(0);
      },
    );

    it('get them behind the pipes of a class that inherits the handler, and of one that overrides it', async () => {
      const app = await start({ controllers: [...CONTROLLERS, PipedController, OverriddenController] });
      await expectOwnSessions(app, ['/open', '/guarded', '/piped', '/overridden']);
      expect(CopyingPipe.seen.length).toBeGreaterThan(0);
    });
  },
);

describe('a handler with session decorators', () => {
  const piped = { configure: (app: AppUnderTest['app']): void => void app.useGlobalPipes(new CopyingPipe()) };

  @Controller({ path: 'scoped', scope: Scope.REQUEST })
  class ScopedController extends Handlers {}

  async function statusOf({ app, fetch }: AppUnderTest, path: string): Promise<number> {
    const { headers } = await logIn(app, { userId: 'ann' });
    return (await fetch(`${path}/session`, { headers })).status;
  }

  it('hides its values from pipes that its application gets while another one has its routes made', async () => {
    const module = { imports: [SessionModule.forRoot({ secretKey: SECRET_KEY })], controllers: [OpenController] };
    const create = async () =>
      (await Test.createTestingModule(module).compile()).createNestApplication({ logger: false });
    const one = await create();
    const two = await create();
    await one.init();
    two.useGlobalPipes(new CopyingPipe());
    await two.listen(0, '127.0.0.1');
    const { headers } = await logIn(two, { userId: 'ann' });
    expect((await fetch(`${await two.getUrl()}/open/session`, { headers })).status).toBe(200);
    const seen = CopyingPipe.seen.splice(0);
    expect(seen.map((value) => Object.keys(value as object))).toEqual([['sealed'], ['sealed']]);
    await Promise.all([one.close(), two.close()]);
  });

  it('works in request-scoped controllers of an application without pipes, beside one that has some', async () => {
    const one = await startApp({ controllers: [ScopedController] });
    expect(await statusOf(one, '/scoped')).toBe(200);
    const two = await startApp({ controllers: [ScopedController], ...piped });
    expect([await statusOf(one, '/scoped'), await statusOf(two, '/scoped')]).toEqual([200, 200]);
    await Promise.all([one.close(), two.close()]);
    for (const value of CopyingPipe.seen.splice(0)) expect(Object.keys(value as object)).toEqual(['sealed']);
  });

  it('is left alone by another application that is closed twice', async () => {
    const one = await startApp({ controllers: [OpenController] });
    const two = await startApp({ controllers: [OpenController] });
    await one.close();
    await one.close();
    expect([(await two.fetch('/open/session')).status, await statusOf(two, '/open')]).toEqual([401, 200]);
    await two.close();
  });

  it('is not called when its application has shut down, though its server goes on, and sees no session of another one', async () => {
    const one = await startApp({ controllers: [OpenController] });
    const two = await startApp({ controllers: [OpenController] });
    const { headers } = await logIn(two.app, { userId: 'ann' });
    const handle = one.app.getHttpAdapter().getInstance() as RequestListener;
    await one.close();
    const server = createServer(handle).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/open/session`;
    const statuses = [(await fetch(url)).status, (await fetch(url, { headers })).status];
    await two.close();
    statuses.push((await fetch(url)).status);
    server.close();
    expect(statuses).toEqual([503, 503, 503]);
  });
});
