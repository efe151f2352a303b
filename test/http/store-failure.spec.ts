import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Get,
  HttpException,
  UseFilters,
  type ArgumentsHost,
  type ExceptionFilter,
  type ModuleMetadata,
} from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import type { ServerResponse } from 'node:http';
import { MemoryBackend, SessionService } from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest, type Platform } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

interface Reply {
  readonly raw?: ServerResponse;
  readonly status: (code: number) => Reply;
  readonly send: (body: unknown) => unknown;
}

/** An application's own form of errors. */
@Catch()
class EnvelopeFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const status = error instanceof HttpException ? error.getStatus() : 500;
    host.switchToHttp().getResponse<Reply>().status(status).send({ envelope: status });
  }
}

/** Routes that no guard, interceptor or decorator of ours is on. */
@Controller()
class BareController {
  constructor(private readonly sessions: SessionService) {}

  @Get('devices')
  devices(): Promise<unknown> {
    return this.sessions.listUserSessions('ann');
  }

  @Get('create')
  create(): Promise<unknown> {
    return this.sessions.createSession({ user: { userId: 'ann' } });
  }

  @Get('filtered')
  @UseFilters(EnvelopeFilter)
  filtered(): Promise<unknown> {
    return this.sessions.listUserSessions('ann');
  }

  @Get('other')
  other(): never {
    throw new HttpException('busy', 503);
  }
}

describe.each(PLATFORMS)('a store that fails, on a route of %s that no guard of ours is on', (platform) => {
  const barrier = new BarrierBackend(new MemoryBackend());
  const apps: AppUnderTest[] = [];

  async function start(
    options: Pick<ModuleMetadata, 'providers'> & { globalFilter?: boolean } = {},
  ): Promise<AppUnderTest> {
    const { globalFilter = false, ...metadata } = options;
    const app = await startApp({
      platform: platform satisfies Platform,
      controllers: [BareController],
      session: { backend: barrier.backend },
      ...metadata,
      configure: (nest) => {
        if (globalFilter) nest.useGlobalFilters(new EnvelopeFilter());
      },
    });
    apps.push(app);
    return app;
  }

  let app: AppUnderTest;

  beforeAll(async () => {
    app = await start();
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(async () => {
    for (const started of apps) await started.close();
  });

  it.each(['devices', 'create'])('is a 503 that is kept by no cache and says when to try again: %s', async (route) => {
    barrier.fail('create', 'listByUser');
    const response = await app.fetch(`/${route}`);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({ statusCode: 503, message: 'Service Unavailable' });
  });

  it('leaves other errors of the application alone', async () => {
    const response = await app.fetch('/other');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBeNull();
    expect(response.headers.get('cache-control')).toBeNull();
  });

  it('comes after the filters of a route, of the application and of its modules', async () => {
    const byModule = await start({ providers: [{ provide: APP_FILTER, useClass: EnvelopeFilter }] });
    const byApplication = await start({ globalFilter: true });
    barrier.fail('listByUser');
    for (const url of [`${app.url}/filtered`, `${byModule.url}/devices`, `${byApplication.url}/devices`]) {
      const response = await fetch(url);
      expect(response.status).toBe(503);
      expect(await response.json()).toEqual({ envelope: 503 });
    }
  });
});
