import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Header, Post, Req, Sse, UseGuards, type MessageEvent } from '@nestjs/common';
import {
  AllowAnonymous,
  CurrentSession,
  EndsWithSession,
  MemoryBackend,
  SessionGuard,
  SessionService,
  UseSession,
  type Session,
} from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { logIn, type FakeClock } from 'nestjs-sessionx/testing';
import { endWith, merge, NEVER, Observable, of, takeUntil } from 'rxjs';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { RedisServer } from '../support/redis-server.js';
import { soon } from '../support/soon.js';

const LAST_EVENT = 'event: session-ended\nid: 2\ndata: {}\n\n';

@Controller()
class StreamController {
  /** How many are open. */
  static open = 0;
  static signals: AbortSignal[] = [];

  constructor(private readonly sessions: SessionService) {}

  #stream(): Observable<MessageEvent> {
    return new Observable((subscriber) => {
      StreamController.open++;
      subscriber.next({ data: 'first' });
      return () => StreamController.open--;
    });
  }

  @UseGuards(SessionGuard)
  @EndsWithSession()
  @Sse('guarded')
  guarded() {
    return this.#stream();
  }

  @EndsWithSession()
  @Sse('open')
  open() {
    return this.#stream();
  }

  @EndsWithSession()
  @Sse('short')
  short() {
    return of({ data: 'first' });
  }

  @EndsWithSession()
  @Sse('promised')
  promised() {
    return Promise.resolve(this.#stream());
  }

  @UseGuards(SessionGuard)
  @Sse('by-hand')
  byHand(@CurrentSession() session: Session) {
    StreamController.signals.push(this.sessions.whileAlive(session));
    return merge(this.#stream(), NEVER).pipe(
      takeUntil(this.sessions.untilEnded(session).pipe(endWith(null))),
      endWith({ type: 'bye', data: 'bye' }),
    );
  }

  @EndsWithSession()
  @Get('plain')
  plain() {
    return { plain: true };
  }

  @UseSession()
  @Post('logout')
  logout(@Req() request: object) {
    return this.sessions.logout(request);
  }

  @UseSession()
  @Post('regenerate')
  async regenerate(@Req() request: object) {
    const session = await this.sessions.require(request);
    await this.sessions.regenerateSessionId(session);
  }

  @UseSession()
  @Post('reauthenticate')
  async reauthenticate(@Req() request: object) {
    await this.sessions.reauthenticate(request);
  }

  @UseSession()
  @Post('credentials')
  async credentials(@Req() request: object) {
    await this.sessions.credentialsChanged(request);
  }

  @UseSession()
  @Post('login')
  async login(@Req() request: object) {
    await this.sessions.login(request, { userId: 'bob' });
  }
}

@EndsWithSession()
@UseGuards(SessionGuard)
@Controller('class')
class ClassController {
  @Sse('stream')
  stream() {
    return merge(of({ data: 'first' }), NEVER);
  }

  @AllowAnonymous()
  @Header('x-plain', 'yes')
  @Get('plain')
  plain() {
    return { plain: true };
  }
}

@Controller('sub')
class SubController extends ClassController {}

/** A client that reads a stream, which has begun. */
class Stream {
  text = '';
  isOver = false;
  readonly #abort = new AbortController();

  static async open(app: AppUnderTest, path: string, headers: Record<string, string> = {}): Promise<Stream> {
    const stream = new Stream();
    const response = await app.fetch(path, { headers, signal: stream.#abort.signal });
    expect([path, response.status]).toEqual([path, 200]);
    void stream.#read(response);
    await soon(() => stream.text.includes('first') || undefined);
    return stream;
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(response: Response): Promise<void> {
    try {
      for await (const chunk of response.body!) this.text += Buffer.from(chunk as Uint8Array).toString();
    } catch {
      // It was closed here.
    }
    this.isOver = true;
  }

  async over(): Promise<string> {
    await soon(() => this.isOver || undefined);
    return this.text;
  }
}

describe.each(PLATFORMS)('server-sent events, on %s', (platform) => {
  let app: AppUnderTest;
  let sessions: SessionService;

  beforeAll(async () => {
    app = await startApp({
      platform,
      controllers: [StreamController, ClassController, SubController],
      session: { backend: new MemoryBackend(), liveCheckInterval: 0.1 },
    });
    sessions = app.app.get(SessionService);
  });

  afterAll(() => app.close());

  it.each(['guarded', 'open', 'promised', 'class/stream', 'sub/stream'])(
    'of /%s end with the session, by a last event',
    async (path) => {
      const { headers, session } = await logIn(app.app, { userId: 'ann' });
      const stream = await Stream.open(app, `/${path}`, headers);
      await sessions.deleteSession(session.sessionId);
      expect(await stream.over()).toContain(LAST_EVENT);
      await soon(() => StreamController.open === 0 || undefined);
    },
  );

  it('end when the application says so by untilEnded(), and the signal is aborted', async () => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const stream = await Stream.open(app, '/by-hand', headers);
    await sessions.deleteUserSessions('ann');
    expect(await stream.over()).toContain('event: bye');
    expect(StreamController.signals.at(-1)).toMatchObject({ aborted: true, reason: { code: 'SESSION_ENDED' } });
    expect(session).toBeDefined();
  });

  it.each(['logout', 'reauthenticate', 'credentials', 'login'])('end after %s by another request', async (path) => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const stream = await Stream.open(app, '/guarded', headers);
    const response = await app.fetch(`/${path}`, { method: 'POST', headers });
    expect(response.status).toBe(201);
    expect(await stream.over()).toContain(LAST_EVENT);
  });

  it('stay after a new id, and end with it', async () => {
    const { headers } = await logIn(app.app, { userId: 'carl' });
    const stream = await Stream.open(app, '/guarded', headers);
    const response = await app.fetch('/regenerate', { method: 'POST', headers });
    expect(response.status).toBe(201);
    const token = response.headers.get('x-session-token')!;
    await app.fetch('/plain', { headers: { 'x-session-token': token } });
    expect(stream.isOver).toBe(false);
    await app.fetch('/logout', { method: 'POST', headers: { 'x-session-token': token } });
    expect(await stream.over()).toContain(LAST_EVENT);
  });

  it('end by themselves without such an event, and without a session not at all', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    const short = await Stream.open(app, '/short', headers);
    expect(await short.over()).not.toContain('session-ended');
    const stream = await Stream.open(app, '/open');
    await sessions.deleteUserSessions('ann');
    expect([stream.isOver, StreamController.open]).toEqual([false, 1]);
    stream.close();
    await soon(() => StreamController.open === 0 || undefined);
    const refused = await app.fetch('/guarded');
    expect(refused.status).toBe(401);
    await refused.body?.cancel();
  });

  it('of a client that has gone are not watched any more', async () => {
    const { headers, session } = await logIn(app.app, { userId: 'ann' });
    const stream = await Stream.open(app, '/by-hand', headers);
    const signal = StreamController.signals.at(-1)!;
    stream.close();
    await soon(() => StreamController.open === 0 || undefined);
    await sessions.deleteSession(session.sessionId);
    expect(signal.aborted).toBe(false);
  });

  it('are the only responses that @EndsWithSession() touches', async () => {
    const { headers } = await logIn(app.app, { userId: 'ann' });
    for (const path of ['/plain', '/class/plain', '/sub/plain']) {
      expect(await (await app.fetch(path, { headers })).json()).toEqual({ plain: true });
    }
  });
});

describe.each(PLATFORMS)('server-sent events of one process, on %s', (platform) => {
  it('end within a second when another one ends the session, whatever it does', async () => {
    const redis = await RedisServer.start();
    const session = { liveCheckInterval: 3600 };
    const start = (clock?: FakeClock) =>
      startApp({
        platform,
        controllers: [StreamController],
        session: { ...session, maxSessionsPerUser: 2, backend: new RedisBackend(redis.url) },
        ...(clock === undefined ? {} : { clock }),
      });
    const one = await start();
    const two = await start(one.clock);
    const sessions = one.app.get(SessionService);
    const ends: ((id: string, headers: Readonly<Record<string, string>>) => Promise<unknown>)[] = [
      (id) => sessions.deleteSession(id),
      () => sessions.deleteUserSessions('ann'),
      (_id, headers) => one.fetch('/logout', { method: 'POST', headers }),
      (_id, headers) => one.fetch('/login', { method: 'POST', headers }),
      async () => {
        one.clock.advance(1);
        for (let i = 0; i < 2; i++) await logIn(one.app, { userId: 'ann' });
      },
    ];
    for (const end of ends) {
      const { headers, session: known } = await logIn(one.app, { userId: 'ann' });
      const stream = await Stream.open(two, '/guarded', { ...headers });
      const startedAt = performance.now();
      await end(known.sessionId, headers);
      expect(await stream.over()).toContain(LAST_EVENT);
      expect(performance.now() - startedAt).toBeLessThan(1000);
    }
    await Promise.all([one.close(), two.close()]);
    await redis.stop();
  });
});
