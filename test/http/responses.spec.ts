import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, Res, UnauthorizedException, UseGuards } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { CurrentSession, MemoryBackend, Session, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import { catchError, of, type Observable } from 'rxjs';

import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';

@Controller()
class AnswerController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post('wrong-password')
  wrongPassword(): never {
    throw new UnauthorizedException();
  }

  @UseSession()
  @Post('start-and-refuse')
  async startAndRefuse(@Req() request: object): Promise<never> {
    await this.sessions.start(request);
    throw new UnauthorizedException();
  }

  @UseSession()
  @Post('start-log-out-and-refuse')
  async startLogOutAndRefuse(@Req() request: object): Promise<never> {
    await this.sessions.start(request);
    await this.sessions.logout(request);
    throw new UnauthorizedException();
  }

  @UseSession()
  @HttpCode(200)
  @Post('change-password')
  async changePassword(@Req() request: object) {
    const ended = await this.sessions.deleteUserSessions('ann');
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { ended, token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('start-twice')
  async startTwice(@Req() request: object) {
    const started = await Promise.all([
      this.sessions.start(request, { data: { a: 1 } }),
      this.sessions.start(request, { data: { b: 2 } }),
    ]);
    return { tokens: [...new Set(started.map(({ token }) => token))], data: started[0].session.data };
  }

  @UseSession()
  @Get('write')
  async write(@Req() request: object) {
    const session = await this.sessions.current(request);
    if (session) session.data.x = 1;
    return 'ok';
  }

  @UseGuards(SessionGuard)
  @Get('raw')
  raw(@Res() response: { raw?: ServerResponse; hijack?: () => void }): void {
    response.hijack?.();
    const raw = response.raw ?? (response as unknown as ServerResponse);
    raw.writeHead(200, ['Set-Cookie', ['one=1', 'two=2'], 'X-Own', 'kept', 'set-cookie', 'three=3'] as never);
    raw.end();
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return session.user?.userId;
  }
}

describe.each(PLATFORMS)('responses, on %s', (platform) => {
  let barrier: BarrierBackend;
  let app: AppUnderTest;
  let signing = true;

  beforeAll(async () => {
    barrier = new BarrierBackend(new MemoryBackend());
    const simple = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' });
    app = await startApp({
      platform,
      controllers: [AnswerController],
      session: {
        backend: barrier.backend,
        tokenFormat: {
          verify: (token) => simple.verify(token),
          serialize: (claims) => {
            if (!signing) throw new Error('the key service is down');
            return simple.serialize(claims);
          },
        },
      },
      configure: (nest) => {
        nest.useGlobalInterceptors({
          intercept: (_context: unknown, next: { handle(): Observable<unknown> }) =>
            next.handle().pipe(
              catchError((error: unknown) => {
                if (error instanceof UnauthorizedException) throw error;
                return of('fallback');
              }),
            ),
        });
      },
    });
  });

  afterAll(() => app.close());

  it('a 401 of the application does not call a living token invalid', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const response = await app.fetch('/wrong-password', { method: 'POST', headers });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });

  describe('a 401 calls the token invalid if and only if the request has no session by it:', () => {
    const FORGED = { 'x-session-token': 'forged' };
    const tokenOf = async (user: string | null): Promise<string> => {
      const made = await app.app.get(SessionService).createSession(user === null ? {} : { user: { userId: user } });
      return made.token;
    };
    const challenge = async (path: string, headers: Record<string, string>): Promise<string | null> => {
      const response = await app.fetch(path, { method: path === '/me' ? 'GET' : 'POST', headers });
      expect(response.status).toBe(401);
      return response.headers.get('www-authenticate');
    };

    it('a living one beside a forged one', async () => {
      const bearer = { ...FORGED, authorization: `Bearer ${await tokenOf('ann')}` };
      expect(await challenge('/wrong-password', bearer)).toBe('Bearer');
    });

    it('one of a session without a user, beside a forged one, where a user is wanted', async () => {
      const bearer = { ...FORGED, authorization: `Bearer ${await tokenOf(null)}` };
      expect(await challenge('/me', bearer)).toBe('Bearer');
    });

    it('a forged one beside credentials of another kind', async () => {
      const headers = { ...FORGED, authorization: 'Basic eDp5' };
      for (const path of ['/me', '/wrong-password']) {
        expect(await challenge(path, headers)).toBe('Bearer error="invalid_token"');
      }
    });

    it('one of a session that has ended, beside a forged one', async () => {
      const token = await tokenOf('dead');
      await app.app.get(SessionService).deleteUserSessions('dead');
      const headers = { ...FORGED, authorization: `Bearer ${token}` };
      for (const path of ['/me', '/wrong-password']) {
        expect(await challenge(path, headers)).toBe('Bearer error="invalid_token"');
      }
    });

    it('a forged one, behind which the route has begun a session', async () => {
      expect(await challenge('/start-and-refuse', FORGED)).toBe('Bearer');
      expect(await challenge('/start-log-out-and-refuse', FORGED)).toBe('Bearer error="invalid_token"');
    });
  });

  it('a handler may log the user out everywhere and sign in anew', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const response = await app.fetch('/change-password', { method: 'POST', headers });
    const { token } = (await response.json()) as { token: string };
    expect((await app.fetch('/me', { headers })).status).toBe(401);
    expect((await app.fetch('/me', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it('to start twice in one request makes one session, with the data of both', async () => {
    const response = await app.fetch('/start-twice', { method: 'POST' });
    const body = (await response.json()) as { tokens: string[]; data: object };
    expect(body.tokens).toHaveLength(1);
    expect(body.data).toEqual({ a: 1, b: 2 });
  });

  it('a failed commit is no success, whatever an interceptor of the application makes of it', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    barrier.fail('replace');
    const response = await app.fetch('/write', { headers });
    barrier.heal();
    expect(response.status).toBe(503);
  });

  it('writeHead with lists of values sends them as Node does', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const response = await app.fetch('/raw', { headers });
    expect(response.headers.getSetCookie()).toEqual(['one=1', 'two=2', 'three=3']);
    expect(response.headers.get('x-own')).toBe('kept');
  });

  it('a key service that fails ends no session: renewal goes on without, login and regeneration change nothing', async () => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    app.clock.advanceSeconds(2000);
    signing = false;
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    const sessions = app.app.get(SessionService);
    await expect(sessions.regenerateSessionId(session)).rejects.toThrow('the key service is down');
    await expect(sessions.createSession({ user: { userId: 'none' } })).rejects.toThrow('the key service is down');
    signing = true;
    expect((await app.fetch('/me', { headers })).status).toBe(200);
    expect(await sessions.listUserSessions('none')).toEqual([]);
  });
});
