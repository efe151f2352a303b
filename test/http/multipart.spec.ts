import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Post, Req, UploadedFile, UseGuards, UseInterceptors } from '@nestjs/common';
import { FileInterceptor } from '@nestjs/platform-express';
import { createRequire } from 'node:module';
import { CurrentUser, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { startApp, type AppUnderTest } from '../support/apps.js';

type Multer = () => { single(field: string): (...args: unknown[]) => void };

// A dependency of @nestjs/platform-express.
const multer = createRequire(import.meta.resolve('@nestjs/platform-express'))('multer') as Multer;

interface File {
  readonly size: number;
}

@Controller()
class UploadController {
  constructor(private readonly sessions: SessionService) {}

  @UseGuards(SessionGuard)
  @Post('behind-middleware')
  behindMiddleware(@CurrentUser() user: { userId: string }) {
    return { userId: user.userId };
  }

  @UseSession()
  @UseInterceptors(FileInterceptor('file'))
  @Post('intercepted')
  async intercepted(@Req() request: object, @UploadedFile() { size }: File) {
    return { userId: (await this.sessions.requireUser(request)).user?.userId, size };
  }

  @UseGuards(SessionGuard)
  @UseInterceptors(FileInterceptor('file'))
  @Post('guarded')
  guarded(@UploadedFile() { size }: File) {
    return { size };
  }
}

describe.each([false, true])('the CSRF token of a multipart form, with requireToken: %s', (requireToken) => {
  let app: AppUnderTest;
  let cookie: string;
  let csrfToken: string;

  beforeAll(async () => {
    app = await startApp({
      controllers: [UploadController],
      session: { tokenSourcePriority: ['cookie'], csrf: { requireToken } },
      configure: (nest) => {
        nest.use('/behind-middleware', multer().single('file'));
      },
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    cookie = headers.Cookie ?? headers.cookie ?? '';
    csrfToken = headers['X-CSRF-Token'] ?? headers['x-csrf-token'] ?? '';
  });

  afterAll(() => app.close());

  const upload = (path: string, token: string | null, headers: Record<string, string> = {}): Promise<Response> => {
    const body = new FormData();
    if (token !== null) body.append('_csrf', token);
    body.append('file', new Blob(['text']), 'file.txt');
    return app.fetch(path, { method: 'POST', headers: { cookie, ...headers }, body });
  };

  it.each(['/behind-middleware', '/intercepted'])('is read from its field: %s', async (path) => {
    const response = await upload(path, csrfToken);
    expect(await response.json()).toMatchObject({ userId: 'ann' });
    for (const token of [null, 'wrong']) expect((await upload(path, token)).status).toBe(403);
  });

  it('is read only from the header behind a guard, which runs before the body is parsed', async () => {
    expect(await (await upload('/guarded', csrfToken)).json()).toMatchObject({ code: 'CSRF_TOKEN_MISSING' });
    expect((await upload('/guarded', null, { 'x-csrf-token': csrfToken })).status).toBe(201);
  });
});
