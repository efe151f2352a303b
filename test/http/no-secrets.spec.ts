import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Post, Req, UseGuards, type LoggerService } from '@nestjs/common';
import { tracingChannel } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import {
  CurrentSession,
  MemoryBackend,
  Session,
  SessionError,
  SessionEvents,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
} from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { SessionOptions } from '../../src/options/session-options.js';
import { SessionStore } from '../../src/store/session-store.js';
import { root } from '../docs/pages.js';
import { PLATFORMS, SECRET_KEY, startApp, TOKEN_FORMATS, type AppUnderTest } from '../support/apps.js';
import { RedisServer } from '../support/redis-server.js';

const PASSWORD = 'the-password-of-redis';
const BUDGET_MS = 400;

@Controller()
class TalkativeController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    const { session, token } = await this.sessions.login(request, { userId: 'ann' });
    session.addFlashMessage('hello');
    return { token };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return session;
  }

  @UseGuards(SessionGuard)
  @Post('write')
  write(@CurrentSession() session: Session): void {
    session.data.written = true;
  }

  @UseGuards(SessionGuard)
  @Post('unstorable')
  unstorable(@CurrentSession() session: Session): void {
    session.data.when = new Date();
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('elevate')
  async elevate(@CurrentSession() session: Session) {
    return { token: (await this.sessions.regenerateSessionId(session)).token };
  }

  @UseSession()
  @Post('logout')
  async logout(@Req() request: object) {
    return this.sessions.logout(request);
  }
}

/** Everything that was said, at every level. */
class LogSink implements LoggerService {
  readonly lines: string[] = [];
  readonly log = (...words: unknown[]) => this.#note(words);
  readonly error = this.log;
  readonly warn = this.log;
  readonly debug = this.log;
  readonly verbose = this.log;
  readonly fatal = this.log;

  #note(words: unknown[]): void {
    this.lines.push(words.map((word) => inspect(word, { depth: null })).join(' '));
  }
}

/** What a diagnostics channel of ioredis tells its subscribers, such as OpenTelemetry. */
function listenTo(name: string): { messages: string[]; stop: () => void } {
  const messages: string[] = [];
  const note = (message: unknown) => messages.push(inspect(message, { depth: null, maxStringLength: null }));
  const listeners = { start: note, end: note, asyncStart: note, asyncEnd: note, error: note };
  const channel = tracingChannel(name);
  channel.subscribe(listeners);
  return { messages, stop: () => channel.unsubscribe(listeners) };
}

/** The parts of a token that open something; the tag in it is part of the public id. */
function secretPartsOf(token: string): string[] {
  const [, payload, mac] = token.split('.');
  if (mac === undefined) return [token, token.slice(16, 48), token.slice(57)];
  const { secret } = JSON.parse(Buffer.from(payload!, 'base64url').toString()) as { secret: string };
  return [token, secret.slice(16), payload!, mac];
}

describe.each(PLATFORMS.flatMap((platform) => TOKEN_FORMATS.map((tokenFormat) => [platform, tokenFormat] as const)))(
  'what is secret is nowhere but in the response, on %s, with %s tokens',
  (platform, tokenFormat) => {
    let redis: RedisServer | undefined;

    afterEach(async () => {
      await redis?.stop();
      redis = undefined;
    });

    it('not in the log, the events, the errors, the keys and values of Redis, nor in what its client traces', async () => {
      const channels = ['ioredis:command', 'ioredis:batch', 'ioredis:connect'].map(listenTo);
      const own = ['load', 'commit', 'login', 'end', 'store'].map((name) => listenTo(`nestjs-sessionx:${name}`));
      redis = await RedisServer.start();
      const observer = redis.client();
      await observer.config('SET', 'requirepass', PASSWORD);
      const sink = new LogSink();
      const app = await startApp({
        platform,
        controllers: [TalkativeController],
        session: {
          backend: new RedisBackend({ host: '127.0.0.1', port: redis.port, password: PASSWORD }),
          backendTimeout: BUDGET_MS,
          tokenFormat,
        },
        configure: (nest) => nest.useLogger(sink),
      });
      const events: unknown[] = [];
      app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
      const sessions = app.app.get(SessionService);
      const errors: unknown[] = [];
      const failing = async (call: Promise<unknown>) => {
        errors.push(
          await call.then(
            () => new Error('it did not fail'),
            (error: unknown) => error,
          ),
        );
      };
      const post = (path: string, token?: string) =>
        app.fetch(path, { method: 'POST', headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });

      const first = await tokenFrom(await post('/login'));
      const second = await tokenFrom(await post('/elevate', first));
      const forged = `${second.slice(0, -1)}${second.endsWith('A') ? 'E' : 'A'}`;
      const bodies = [await (await app.fetch('/me', { headers: { authorization: `Bearer ${second}` } })).text()];
      for (const token of [first, forged, 'malformed', second]) {
        for (const path of ['/write', '/unstorable']) bodies.push(await (await post(path, token)).text());
        await failing(sessions.getSession(`${token}x`));
      }
      await failing(sessions.getSession(first));
      await failing(sessions.renewSession(first));
      await failing(sessions.update(first, () => undefined));
      app.clock.advanceSeconds(2000);
      const renewed = (await app.fetch('/me', { headers: { authorization: `Bearer ${second}` } })).headers;
      const third = renewed.get('x-session-token')!;

      const keys = await observer.keys('*');
      const values = await Promise.all(keys.map((key) => observer.get(key).catch(() => '')));
      await observer.config('SET', 'requirepass', 'changed meanwhile');
      await observer.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      // Refused at the door: the driver's error carries the password that it sent.
      await failing(untilRefused(() => sessions.getSession(second)));
      for (const path of ['/login', '/write', '/logout']) bodies.push(await (await post(path, second)).text());
      await failing(sessions.getSession(second));
      await failing(sessions.createSession({ user: { userId: 'ann' } }));
      await redis.kill();
      bodies.push(await (await post('/logout', second)).text());
      await failing(sessions.deleteUserSessions('ann'));
      observer.disconnect();
      await app.close();
      for (const { stop } of [...channels, ...own]) stop();

      const places: Record<string, string> = {
        log: sink.lines.join('\n'),
        events: JSON.stringify(events),
        errors: errors.map((error) => inspect(error, { depth: null, showHidden: true })).join('\n'),
        bodies: bodies.join('\n'),
        redis: [...keys, ...values].join('\n'),
        channels: own.flatMap(({ messages }) => messages).join('\n'),
      };
      for (const error of errors) expect(error).toBeInstanceOf(SessionError);
      expect(places.log).toContain('The session store fails');
      expect(keys).toHaveLength(2);
      const secrets = [first, second, third, forged].flatMap(secretPartsOf);
      for (const [place, text] of Object.entries(places)) {
        for (const secret of [...secrets, PASSWORD, SECRET_KEY]) {
          if (text.includes(secret)) throw new Error(`a secret is in the ${place}: …${around(text, secret)}…`);
        }
        // Of a driver's error: what it was sent, and its own stack.
        if (['log', 'errors', 'bodies', 'channels'].includes(place))
          expect(text.replaceAll(root, '')).not.toMatch(/ReplyError:|evalsha|\bAUTH\b|127\.0\.0\.1/i);
      }
      // Traces name keys and the values of scripts, which are the session's content: no part of them opens it.
      const traces = channels.flatMap(({ messages }) => messages).join('\n');
      expect(traces).toContain('evalsha');
      for (const secret of secrets) expect(traces.includes(secret)).toBe(false);
      expect(traces.includes(SECRET_KEY)).toBe(false);
    });

    it('not when a backend of the application throws everything that it knows', async () => {
      const sink = new LogSink();
      const knowing = new MemoryBackend();
      const error = Object.assign(new Error('SET session:x "all of the payload"'), {
        command: { name: 'AUTH', args: ['lim', PASSWORD] },
        code: 'E CONN {payload}',
      });
      error.name = 'payload of the session';
      error.cause = new Error(PASSWORD);
      knowing.read = () => Promise.reject(error);
      knowing.create = () => Promise.reject(error);
      const app: AppUnderTest = await startApp({
        platform,
        controllers: [TalkativeController],
        session: { backend: knowing },
        configure: (nest) => nest.useLogger(sink),
      });
      const thrown: unknown = await app.app
        .get(SessionService)
        .createSession()
        .catch((failure: unknown) => failure);
      const login = await app.fetch('/login', { method: 'POST' });
      expect(login.status).toBe(503);
      const said = [...sink.lines, inspect(thrown, { depth: null, showHidden: true }), await login.text()].join('\n');
      expect(said).toContain('The session store failed');
      expect(said).not.toMatch(/payload|the-password-of-redis|session:x/);
      await app.close();
    });

    it('nor does a session, an error or the store show more than its own when it is inspected', async () => {
      const app = await startApp({ platform, controllers: [TalkativeController] });
      const { session, token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' } });
      const shown = inspect([session, app.app.get(SessionStore, { strict: false })], { depth: 4, showHidden: true });
      for (const secret of secretPartsOf(token)) expect(shown).not.toContain(secret);
      await app.close();
    });

    it('nor do services and what has them show the keys when they are logged', async () => {
      const indexKey = 'an-index-key-of-at-least-32-characters';
      const app = await startApp({ platform, controllers: [TalkativeController], session: { indexKey } });
      const holders = [app.app.get(SessionService), app.app.get(TalkativeController), app.app.get(SessionModule)];
      const options = app.app.get(SessionOptions, { strict: false });
      const shown = [
        ...[...holders, options].map((holder) => inspect(holder, { depth: 10 })),
        JSON.stringify({ ...options }),
      ].join('\n');
      expect(shown).toContain('backendKeyPrefix');
      for (const key of [SECRET_KEY, indexKey]) expect(shown).not.toContain(key);
      await app.close();
    });
  },
);

/** Rejects as soon as `call` does. */
async function untilRefused(call: () => Promise<unknown>): Promise<never> {
  for (;;) await call();
}

async function tokenFrom(response: Response): Promise<string> {
  return ((await response.json()) as { token: string }).token;
}

function around(text: string, secret: string): string {
  const at = text.indexOf(secret);
  return text.slice(Math.max(0, at - 100), at);
}
