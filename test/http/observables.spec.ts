import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, Req, Sse, type MessageEvent } from '@nestjs/common';
import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { CurrentSession, MemoryBackend, SessionService, UseSession, type Session } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import {
  concat,
  concatMap,
  defer,
  fromEvent,
  ignoreElements,
  map,
  NEVER,
  Observable,
  of,
  range,
  take,
  tap,
} from 'rxjs';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { LogLines } from '../support/log-lines.js';
import { soon } from '../support/soon.js';

const BUDGET_MS = 10_000;
const EVENTS = 10;

const handlers = new EventEmitter();
const whenTold = fromEvent(handlers, 'go on').pipe(take(1));

function changed(session: Session): void {
  session.data.cart = ['book'];
  handlers.emit('changed');
}

@UseSession()
@Controller()
class StreamController {
  constructor(private readonly sessions: SessionService) {}

  @Get('anew')
  anew(@Req() request: object) {
    return defer(async () => {
      handlers.emit('changed');
      await once(handlers, 'go on');
      const session = await this.sessions.current(request);
      session!.data.cart = ['book'];
      handlers.emit('has gone on');
    });
  }

  @Get('never')
  never(@CurrentSession() session: Session) {
    return defer(() => {
      changed(session);
      return NEVER;
    });
  }

  @Get('before')
  before(@CurrentSession() session: Session) {
    changed(session);
    return NEVER;
  }

  @Get('promised')
  async promised(@CurrentSession() session: Session) {
    await Promise.resolve();
    changed(session);
    return NEVER;
  }

  @Get('teardown')
  teardown(@CurrentSession() session: Session) {
    return new Observable(() => {
      handlers.emit('changed');
      return () => (session.data.cart = ['book']);
    });
  }

  @Sse('events')
  events(@CurrentSession() session: Session): Observable<MessageEvent> {
    const more = whenTold.pipe(
      tap(() => {
        changed(session);
      }),
      ignoreElements(),
    );
    return concat(of({ data: 'first' }), more, NEVER);
  }

  @Sse('slow-events')
  async slowEvents(@CurrentSession() session: Session): Promise<Observable<MessageEvent>> {
    handlers.emit('changed');
    await once(handlers, 'go on');
    session.data.cart = ['book'];
    handlers.emit('has gone on');
    return NEVER;
  }

  @Sse('many')
  many(@CurrentSession() session: Session): Observable<MessageEvent> {
    return range(1, EVENTS).pipe(
      concatMap((count) => turn(count)),
      tap((count) => (session.data.count = count)),
      map((count) => ({ data: String(count) })),
    );
  }

  @Sse('short')
  short(@CurrentSession() session: Session): Observable<MessageEvent> {
    const more = whenTold.pipe(
      tap(() => (session.data.cart = ['book'])),
      ignoreElements(),
    );
    return concat(of({ data: 'first' }), more);
  }

  @Sse('flash')
  flash(@CurrentSession() session: Session): Observable<MessageEvent> {
    const take = async () => {
      await this.sessions.update(session.sessionId, (stored) => {
        stored.addFlashMessage('left meanwhile');
      });
      const [taken] = await this.sessions.takeFlash(session);
      return { data: taken?.message ?? 'none' };
    };
    return concat(of({ data: 'first' }), whenTold.pipe(concatMap(take)));
  }

  @Sse('broken')
  broken(@CurrentSession() session: Session): Observable<MessageEvent> {
    const more = whenTold.pipe(
      tap(() => (session.data.secretField = new Date())),
      map(() => ({ data: 'second' })),
    );
    return concat(of({ data: 'first' }), more);
  }

  @Get('read')
  read(@CurrentSession() session: Session) {
    handlers.emit('changed', session.data.cart);
    return NEVER;
  }
}

/** By whose clock each write takes more than half of a budget. */
class SlowBackend extends MemoryBackend {
  static passedMs = 0;

  override replace(...args: Parameters<MemoryBackend['replace']>): ReturnType<MemoryBackend['replace']> {
    SlowBackend.passedMs += 0.6 * BUDGET_MS;
    return super.replace(...args);
  }
}

describe.each(PLATFORMS)('a handler on %s that returns an Observable', (platform) => {
  const log = new LogLines();
  let barrier: BarrierBackend;
  let app: AppUnderTest;
  let token: string;
  let headers: Readonly<Record<string, string>>;

  async function start(backend = new MemoryBackend()): Promise<void> {
    barrier = new BarrierBackend(backend);
    app = await startApp({
      platform,
      controllers: [StreamController],
      session: { backend: barrier.backend, backendTimeout: BUDGET_MS },
    });
    log.clear();
    app.app.useLogger(log);
    ({ token, headers } = await logIn(app.app, { userId: 'ann' }));
  }

  afterEach(async () => {
    jest.restoreAllMocks();
    await app.close();
  });

  function linesOf(route: string): readonly string[] {
    return log.of('warn', 'error').filter((line) => line.includes(`GET /${route}`));
  }

  async function cart(): Promise<unknown> {
    return (await app.app.get(SessionService).getSession(token)).data.cart;
  }

  /** Lets the handler go on when the client has the first event. */
  async function afterFirst(path: string): Promise<{ readonly text: Promise<string> }> {
    const { body } = await app.fetch(path, { headers });
    const chunks = body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await chunks.read()).value ?? '';
    handlers.emit('go on');
    const rest = async (): Promise<string> => {
      for (let next = await chunks.read(); !next.done; next = await chunks.read()) text += next.value;
      return text;
    };
    return { text: rest() };
  }

  async function requested(path: string): Promise<Socket> {
    const { hostname, port } = new URL(app.url);
    const socket = connect(Number(port), hostname);
    const arrived = once(handlers, 'changed');
    const lines = [`GET /${path} HTTP/1.1`, 'Host: cart', ...Object.entries(headers).map((pair) => pair.join(': '))];
    socket.write([...lines, '', ''].join('\r\n'));
    await arrived;
    return socket;
  }

  describe('whose client has gone', () => {
    beforeEach(() => start());

    it.each(['never', 'before', 'promised', 'teardown'])('has its change stored, by /%s', async (path) => {
      const socket = await requested(path);
      socket.destroy();
      expect(await soon(cart)).toEqual(['book']);
      expect(barrier.calls.replace).toBe(1);
    });

    it('has its change stored that came after the first event', async () => {
      const { hostname, port } = new URL(app.url);
      const socket = connect(Number(port), hostname);
      const lines = Object.entries(headers).map((pair) => pair.join(': '));
      socket.write(['GET /events HTTP/1.1', 'Host: cart', ...lines, '', ''].join('\r\n'));
      await once(socket, 'data');
      handlers.emit('go on');
      socket.destroy();
      expect(await soon(cart)).toEqual(['book']);
    });

    it.each(['slow-events', 'anew'])('has stored what it changes afterwards, by /%s', async (path) => {
      const socket = await requested(path);
      const closed = once(handlers, 'has gone on');
      socket.destroy();
      await soon(async () => (await connections(app)) === 0 || undefined);
      handlers.emit('go on');
      await closed;
      expect(await soon(cart)).toEqual(['book']);
      expect(linesOf(path)).toEqual([]);
    });

    it('that changed nothing writes nothing', async () => {
      const socket = await requested('read');
      socket.destroy();
      await soon(async () => (await connections(app)) === 0 || undefined);
      expect(barrier.calls.replace).toBeUndefined();
    });

    it('whose change cannot be stored is in the log, once', async () => {
      barrier.fail('replace');
      const socket = await requested('before');
      socket.destroy();
      expect(await soon(() => linesOf('before')[0])).toContain(
        ': its changes of the session could not be stored (no response waits for them): ',
      );
      expect(linesOf('before')).toHaveLength(1);
    });
  });

  it('has stored what it changes when its events are over', async () => {
    await start();
    const { text } = await afterFirst('/short');
    expect(await text).toContain('data: first');
    expect(await soon(cart)).toEqual(['book']);
    expect(linesOf('short')).toEqual([]);
  });

  it('takes a flash message that was left after its session was read', async () => {
    await start();
    expect(await (await afterFirst('/flash')).text).toContain('data: left meanwhile');
  });

  it('stores the change of each event within a budget of its own', async () => {
    await start(new SlowBackend());
    const now = performance.now.bind(performance);
    jest.spyOn(performance, 'now').mockImplementation(() => now() + SlowBackend.passedMs);
    const text = await (await app.fetch('/many', { headers })).text();
    expect(text.match(/data: \d/g)).toHaveLength(EVENTS);
    expect(barrier.calls.replace).toBeGreaterThan(2);
    expect(text).not.toContain('event: error');
  });

  it('shows the client of its events no reason of an error, which is in the log', async () => {
    await start();
    const text = await (await afterFirst('/broken')).text;
    expect(text).toMatch(/event: error\n.*data: Internal Server Error\n/s);
    expect(text).not.toContain('secretField');
    expect(linesOf('broken')).toContainEqual(expect.stringContaining('data.secretField'));
  });
});

function connections({ app }: AppUnderTest): Promise<number> {
  const server = app.getHttpServer() as {
    getConnections: (done: (error: Error | null, count: number) => void) => void;
  };
  return new Promise((resolve) => {
    server.getConnections((_error, count) => {
      resolve(count);
    });
  });
}
