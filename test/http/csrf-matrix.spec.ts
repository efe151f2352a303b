import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import {
  AllowAnonymous,
  MemoryBackend,
  OptionalSession,
  Session,
  SessionGuard,
  SessionService,
  UseSession,
} from 'nestjs-sessionx';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { send } from '../support/raw-client.js';

const NAME = '__Host-session';
const ALLOWED = 'https://app.example.com';

@Controller()
class MatrixController {
  constructor(private readonly sessions: SessionService) {}

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('guarded')
  guarded() {
    return { ok: true };
  }

  @HttpCode(200)
  @Post('optional')
  optional(@OptionalSession() session: Session | null) {
    return { ok: session !== null };
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'next' });
    return { ok: true };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ok: await this.sessions.logout(request) };
  }
}

const SITES = [null, 'same-origin', 'same-site', 'cross-site', 'none', 'of tomorrow'] as const;
const ORIGINS = [null, 'own', 'allowed', 'foreign', 'null', ''] as const;
const TOKENS = ['none', 'good', "another session's", 'stale'] as const;
const SESSIONS = ['none', 'ended', 'anonymous', 'user'] as const;
const ROUTES = ['guarded', 'optional', 'login', 'logout'] as const;

type Site = (typeof SITES)[number];
type Origin = (typeof ORIGINS)[number];
type Token = (typeof TOKENS)[number];
type SessionKind = (typeof SESSIONS)[number];
type Route = (typeof ROUTES)[number];

/** What a browser holds of a session. */
interface Issued {
  readonly token: string;
  readonly csrfToken: string;
}

interface Case {
  readonly site: Site;
  readonly origin: Origin;
  readonly token: Token;
  readonly session: SessionKind;
  readonly route: Route;
  readonly requireToken: boolean;
}

/** What the headers of the browser say, in words of the documentation. */
function saidByHeaders({ site, origin }: Case): 'own' | 'foreign' | 'nothing' {
  if (origin === 'allowed' || site === 'same-origin') return 'own';
  if (site === 'same-site' || site === 'cross-site') return 'foreign';
  if (origin === null || origin === 'null') return 'nothing';
  return origin === 'own' ? 'own' : 'foreign';
}

/** The status and code that the documentation promises. */
function expected(request: Case): string {
  const { token, session, route, requireToken } = request;
  const said = saidByHeaders(request);
  const lives = session === 'anonymous' || session === 'user';
  const setsCookie = route === 'login';
  // No cookie has anything to say, and none is set.
  if (session === 'none' && !setsCookie) return route === 'guarded' ? '401' : '200';

  if (said === 'foreign') return '403 CSRF_CROSS_SITE';
  const fits = token === 'good' && session !== 'none';
  if (said === 'nothing' && token === 'none') return '403 CSRF_TOKEN_MISSING';
  if (said === 'nothing' && !fits) return '403 CSRF_TOKEN_INVALID';
  if (setsCookie) return '200';

  if (lives && requireToken && token === 'none') return '403 CSRF_TOKEN_MISSING';
  const mustFit = token !== 'none' && (session === 'user' || (requireToken && lives));
  if (mustFit && !fits) return '403 CSRF_TOKEN_INVALID';
  return !lives && route === 'guarded' ? '401' : '200';
}

/** Whether the refusal is known before the session is. A token may be of an id that the session had a moment ago. */
function costsNothing(request: Case): boolean {
  const outcome = expected(request);
  if (saidByHeaders(request) === 'own' || !outcome.startsWith('403')) return false;
  return request.session === 'none' || outcome !== '403 CSRF_TOKEN_INVALID';
}

describe.each(PLATFORMS)('which unsafe requests a cookie may speak for, on %s', (platform) => {
  describe.each([false, true])('with requireToken: %s', (requireToken) => {
    let backend: BarrierBackend;
    let app: AppUnderTest;
    let host: string;
    let sessions: SessionService;
    let another: string;
    let stale: string;

    beforeAll(async () => {
      backend = new BarrierBackend(new MemoryBackend());
      app = await startApp({
        platform,
        controllers: [MatrixController],
        session: {
          tokenSourcePriority: ['cookie'],
          backend: backend.backend,
          csrf: { allowedOrigins: [ALLOWED], requireToken },
        },
      });
      host = new URL(app.url).host;
      sessions = app.app.get(SessionService);
      another = (await newSession('user')).csrfToken;
      stale = (await newSession('ended')).csrfToken;
    });

    afterAll(() => app.close());

    async function newSession(kind: SessionKind): Promise<Issued> {
      const { session, token } = await sessions.createSession(kind === 'anonymous' ? {} : { user: { userId: 'ann' } });
      if (kind === 'ended') await sessions.deleteSession(session.sessionId);
      return { token, csrfToken: sessions.csrfToken(session) };
    }

    async function outcome(
      { site, origin, token, session, route }: Case,
      issued: Issued,
    ): Promise<[outcome: string, calls: number]> {
      const origins = {
        own: `http://${host}`,
        allowed: ALLOWED,
        foreign: 'https://attacker.example',
        null: 'null',
        '': '',
      };
      const tokens = {
        good: issued.csrfToken,
        "another session's": another,
        stale,
      };
      const before = backend.total;
      const response = await send(`${app.url}/${route}`, {
        method: 'POST',
        headers: [
          ...(session === 'none' ? [] : ['Cookie', `${NAME}=${issued.token}`]),
          ...(site === null ? [] : ['Sec-Fetch-Site', site]),
          ...(origin === null ? [] : ['Origin', origins[origin]]),
          ...(token === 'none' ? [] : ['X-CSRF-Token', tokens[token]]),
        ],
      });
      const calls = backend.total - before;
      const { code } = JSON.parse(response.body) as { code?: string };
      return [`${response.status}${code === undefined ? '' : ` ${code}`}`, calls];
    }

    it.each(ROUTES.flatMap((route) => SESSIONS.map((session) => [route, session] as const)))(
      '%s, with a session: %s',
      async (route, session) => {
        const seen: string[] = [];
        const wanted: string[] = [];
        let issued = await newSession(session);
        for (const site of SITES)
          for (const origin of ORIGINS)
            for (const token of TOKENS) {
              const request: Case = { site, origin, token, session, route, requireToken };
              const name = `Sec-Fetch-Site: ${site}, Origin: ${origin}, token: ${token} -> `;
              const [status, calls] = await outcome(request, issued);
              // A login gives it a new ID, and a logout ends it.
              if (status === '200' && (route === 'login' || route === 'logout')) issued = await newSession(session);
              seen.push(name + status + (status.startsWith('403') && calls > 0 ? `, ${calls} calls` : ''));
              const mayRead = expected(request).startsWith('403') && !costsNothing(request);
              wanted.push(name + expected(request) + (mayRead ? ', 1 calls' : ''));
            }
        expect(seen).toEqual(wanted);
        expect(seen).toHaveLength(SITES.length * ORIGINS.length * TOKENS.length);
      },
    );
  });
});
