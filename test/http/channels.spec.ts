import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, tracingChannel, unsubscribe, type TracingChannel } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import { MemoryBackend, SessionService, SessionTraceError, type SessionTrace } from 'nestjs-sessionx';

import { sessionChannels, trace } from '../../src/events/session-channels.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { HandlerController, Handlers, type Handler } from '../support/handler-controller.js';
import { runScript } from '../support/run-script.js';
import { startService } from '../support/services.js';

const USER = { userId: 'ann-1', username: 'Ann Smith', email: 'ann@example.com' };
const NAMES = ['load', 'commit', 'login', 'end', 'store'] as const;
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;

type Channel = TracingChannel<SessionTrace, SessionTrace>;
type Seen = readonly [event: string, operation: string, context: SessionTrace];

const channelOf = (name: string): Channel => tracingChannel<SessionTrace, SessionTrace>(`nestjs-sessionx:${name}`);

const nameOf = (name: string, event: string): string => `tracing:nestjs-sessionx:${name}:${event}`;

/** Subscribes to channels by their names, as an application does. */
class Subscriber {
  readonly seen: Seen[] = [];
  readonly #stops: (() => void)[] = [];

  constructor(names: readonly string[] = NAMES) {
    for (const name of names) {
      for (const event of EVENTS) {
        const listener = (context: unknown) => {
          const { operation } = context as SessionTrace;
          this.seen.push([event, `${name} ${operation}`, context as SessionTrace]);
        };
        subscribe(nameOf(name, event), listener);
        this.#stops.push(() => unsubscribe(nameOf(name, event), listener));
      }
    }
  }

  /** What has ended, such as `load request: found`, and forgets it. */
  ended(): string[] {
    const ends = this.seen.splice(0).filter(([event]) => event === 'asyncEnd');
    return ends.map(([, operation, { outcome, count }]) =>
      count === undefined ? `${operation}: ${outcome}` : `${operation}: ${outcome} ${count}`,
    );
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }
}

let subscriber: Subscriber | undefined;

function subscribeTo(names?: readonly string[]): Subscriber {
  return (subscriber = new Subscriber(names));
}

afterEach(() => {
  jest.restoreAllMocks();
  subscriber?.stop();
  subscriber = undefined;
  for (const name of NAMES) expect(channelOf(name).hasSubscribers).toBe(false);
});

describe.each(PLATFORMS)('the diagnostics channels, on %s', (platform) => {
  let app: AppUnderTest;
  let backend: MemoryBackend;
  let token: string;
  let sessionId: string;

  beforeEach(async () => {
    backend = new MemoryBackend();
    const session = { backend, tokenSourcePriority: ['bearer', 'cookie'] as ['bearer', 'cookie'] };
    app = await startApp({ platform, controllers: [HandlerController], providers: [Handlers], session });
    const issued = await app.app.get(SessionService).createSession({ user: USER });
    ({ token } = issued);
    ({ sessionId } = issued.session);
  });

  afterEach(() => app.close());

  async function run(
    handler: Handler,
    headers: Record<string, string> = { authorization: `Bearer ${token}` },
    method = 'POST',
  ): Promise<Response> {
    app.app.get(Handlers).current = handler;
    const response = await app.fetch('/run', { method, headers });
    await response.arrayBuffer();
    return response;
  }

  it('publish nothing and make nothing without subscribers', async () => {
    const used = NAMES.flatMap((name) => EVENTS.map((event) => sessionChannels[name][event])).flatMap((each) => [
      jest.spyOn(each, 'publish'),
      jest.spyOn(each, 'runStores'),
    ]);
    const flow: Handler = async ({ sessions, request, session }) => {
      session!.data.cart = 1;
      await sessions.updateSession(session!);
      await sessions.login(request, USER);
      await sessions.regenerateSessionId((await sessions.current(request))!);
      await sessions.logout(request);
      await sessions.deleteUserSessions('ann-1');
    };
    expect((await run(flow)).status).toBe(200);
    expect((await run(() => 'ok', {})).status).toBe(200);
    for (const spy of used) expect(spy).not.toHaveBeenCalled();
  });

  it('tell of a read: one load, and one call of the store within it', async () => {
    const { seen } = subscribeTo();
    expect((await run(() => 'ok')).status).toBe(200);
    expect(seen.map(([event, operation]) => `${event} ${operation}`)).toEqual([
      'start load request',
      'start store read',
      'end store read',
      'end load request',
      'asyncStart store read',
      'asyncEnd store read',
      'asyncStart load request',
      'asyncEnd load request',
    ]);
    const contexts = [...new Set(seen.map(([, , context]) => context))];
    expect(contexts.map((context) => ({ ...context }))).toEqual([
      { operation: 'request', sessionId, outcome: 'found' },
      { operation: 'read', sessionId, outcome: 'found' },
    ]);
  });

  it('tell the outcome of each operation', async () => {
    const events = subscribeTo();
    await run(({ session }) => void (session!.data.cart = 1));
    expect(events.ended()).toEqual([
      'store read: found',
      'load request: found',
      'store replace: replaced',
      'commit commit: stored',
    ]);
    await run(({ sessions, session }) => sessions.update(session!, ({ data }) => void (data.n = 1)).then(() => 'ok'));
    expect(events.ended().slice(2)).toEqual(['store replace: replaced', 'commit update: stored']);
    await run(({ session }) => {
      session!.addFlashMessage('hello');
    });
    events.ended();
    await run(({ sessions, session }) => sessions.takeFlash(session!));
    expect(events.ended().slice(2)).toEqual(['store replace: replaced', 'commit take-flash: stored']);
    await run(({ sessions, session }) => sessions.oneTime.put(session!, 'state', 'x', { ttl: 60 }).then(() => 'ok'));
    expect(events.ended().slice(2)).toEqual(['store replace: replaced', 'commit one-time: stored']);
    await run(({ sessions, request }) => sessions.start(request).then(() => 'ok'), { 'sec-fetch-site': 'same-origin' });
    expect(events.ended()).toEqual(['load request: TOKEN_MISSING', 'store create: created', 'login start: created']);
    const forged = token.replace(/.(?=.{9}$)/, (letter) => (letter === 'A' ? 'B' : 'A'));
    await run(() => 'ok', { authorization: `Bearer ${forged}` });
    expect(events.ended()).toEqual(['load request: TOKEN_FORGED']);
    await run(({ sessions }) => sessions.deleteSession('x'.repeat(58) + 'A'));
    expect(events.ended().slice(2)).toEqual(['store read: missing', 'store delete: missing', 'end deleted: missing']);
    await run(({ sessions }) => sessions.clearExpiredSessions());
    expect(events.ended().slice(2)).toEqual(['store clearExpired: done 0']);
    await run(({ sessions }) => sessions.listUserSessions('ann-1').then(() => 'ok'));
    expect(events.ended().slice(2)).toEqual(['store listByUser: done 1']);
    await run(({ sessions }) => sessions.renewSession(token).then(() => 'ok'));
    expect(events.ended().slice(2)).toEqual(['store read: found', 'load token: found', 'store touch: done']);
    await run(({ sessions }) => sessions.deleteUserSessions('ann-1'));
    expect(events.ended().slice(2)).toEqual(['store deleteByUser: done 1', 'end logout-everywhere: ended 1']);
    await run(() => 'ok');
    expect(events.ended()).toEqual(['store read: missing', 'load request: SESSION_NOT_FOUND']);
    // Of two tokens the first.
    const cookie = { cookie: `__Host-session=${token}`, 'sec-fetch-site': 'same-origin' };
    await run(() => 'ok', { ...cookie, authorization: 'Bearer x' });
    expect(events.ended()).toEqual(['store read: missing', 'load request: TOKEN_MALFORMED']);
    await run(({ session }) => session, {}, 'HEAD');
    expect(events.ended()).toEqual(['load request: TOKEN_MISSING']);
  });

  it('name the session before and after where it gets a new id', async () => {
    const { seen } = subscribeTo(['login', 'end']);
    const ids: string[] = [];
    await run(async ({ sessions, request, session }) => {
      await sessions.regenerateSessionId(session!);
      ids.push(session!.sessionId);
      await sessions.login(request, USER);
      ids.push(session!.sessionId);
      await sessions.logout(request);
    });
    const ends = seen.filter(([event]) => event === 'asyncEnd').map(([, , context]) => ({ ...context }));
    expect(ends).toEqual([
      { operation: 'regenerated', previousSessionId: sessionId, sessionId: ids[0], outcome: 'replaced' },
      { operation: 'login', previousSessionId: ids[0], sessionId: ids[1], outcome: 'replaced' },
      { operation: 'logout', sessionId: ids[1], outcome: 'ended' },
    ]);
  });

  it('never show a token, a secret, a user or a value of a session', async () => {
    const { seen } = subscribeTo();
    const tokens: string[] = [token];
    const own = { 'sec-fetch-site': 'same-origin' };
    await run(({ session }) => void Object.assign(session!.data, { cart: 'a private book', 'bob@example.com': 1 }));
    await run(({ session }) => void (session!.data['carol@example.com' as never] = Symbol() as never));
    await run(async ({ sessions, request }) => {
      tokens.push((await sessions.login(request, USER, { transport: 'bearer' })).token!);
    }, own);
    const cookie = await run(
      ({ sessions, request }) => sessions.login(request, USER, { transport: 'cookie' }).then(() => 'ok'),
      own,
    );
    tokens.push(/=([^;]+)/.exec(cookie.headers.getSetCookie()[0]!)![1]!);
    await run(({ sessions }) =>
      sessions.createSession({ user: USER }).then(({ token: each }) => void tokens.push(each)),
    );
    await run(() => {
      throw new Error('a private error');
    });
    await run(({ sessions, session }) =>
      sessions.update(session!, () => {
        throw new Error('a private error');
      }),
    );
    expect(seen.length).toBeGreaterThan(50);
    const shown = inspect(seen, { depth: 20, showHidden: true });
    expect(shown).toContain('UNKNOWN');
    for (const text of tokens) {
      expect(text.length).toBe(100);
      for (const part of [text, text.slice(16, 48), text.slice(-43)]) expect(shown).not.toContain(part);
    }
    for (const text of ['ann-1', 'Ann Smith', '@example.com', 'private']) expect(shown).not.toContain(text);
  });

  it('tell of a failure by its code, and the request is a 503 as ever', async () => {
    jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const { seen } = subscribeTo();
    jest.spyOn(backend, 'read').mockRejectedValueOnce(new Error('hunter2'));
    expect((await run(() => 'never')).status).toBe(503);
    expect(seen.map(([event, operation]) => `${event} ${operation}`).slice(4)).toEqual([
      'error store read',
      'asyncStart store read',
      'asyncEnd store read',
      'error load request',
      'asyncStart load request',
      'asyncEnd load request',
    ]);
    for (const [, , { sessionId: id, outcome, error: reason }] of seen) {
      expect([id, outcome]).toEqual([sessionId, 'failed']);
      expect(reason).toBeInstanceOf(SessionTraceError);
      expect(reason).toMatchObject({ name: 'SessionBackendError', code: 'BACKEND_UNAVAILABLE' });
    }
    seen.length = 0;
    jest.spyOn(backend, 'replace').mockRejectedValueOnce(new Error('hunter2'));
    expect((await run(({ session }) => void (session!.data.cart = 1))).status).toBe(503);
    const failed = seen.filter(([event]) => event === 'error').map(([, operation]) => operation);
    expect(failed).toEqual(['store replace', 'commit commit']);
    expect(inspect(seen, { depth: 20, showHidden: true })).not.toContain('hunter2');
  });

  it('bind stores of AsyncLocalStorage to what happens within an operation, and to nothing after it', async () => {
    const storage = new AsyncLocalStorage<SessionTrace>();
    const inStore: (string | undefined)[] = [];
    const listener = () => void inStore.push(storage.getStore()?.operation);
    channelOf('load').start.bindStore(storage);
    channelOf('commit').start.bindStore(storage);
    subscribe(nameOf('store', 'start'), listener);
    let inHandler: unknown = 'not called';
    await run(({ session }) => {
      inHandler = storage.getStore();
      session!.data.cart = 1;
    });
    channelOf('load').start.unbindStore(storage);
    channelOf('commit').start.unbindStore(storage);
    unsubscribe(nameOf('store', 'start'), listener);
    expect([inStore, inHandler]).toEqual([['request', 'commit'], undefined]);
  });

  it('do not care what a subscriber does with the object', async () => {
    const freeze = (context: unknown) => void Object.freeze(context);
    for (const name of NAMES) subscribe(nameOf(name, 'start'), freeze);
    expect((await run(({ session }) => void (session!.data.cart = 1))).status).toBe(200);
    expect((await run(({ session }) => ({ cart: session!.data.cart }))).status).toBe(200);
    expect((await run(() => 'ok', {})).status).toBe(200);
    for (const name of NAMES) unsubscribe(nameOf(name, 'start'), freeze);
    expect((await app.app.get(SessionService).getSession(token)).data.cart).toBe(1);
  });

  it('tell nothing of a request that uses no session, and once of one that asks for it many times', async () => {
    const events = subscribeTo();
    await app.fetch('/nothing');
    expect(events.seen).toEqual([]);
    await run(async ({ sessions, request }) => {
      for (let count = 0; count < 5; count++) await sessions.current(request);
    });
    expect(events.ended()).toEqual(['store read: found', 'load request: found']);
  });
});

describe.each(everyBackend().map((store) => [store.name, store] as const))('the channels on %s', (_, store) => {
  it('tell of two instances that race for one session: who loses tries again within one commit', async () => {
    await store.start();
    const barrier = new BarrierBackend(store.another());
    const [one, two] = [await startService(barrier.backend), await startService(store.another())];
    const { session } = await one.sessions.createSession();
    const events = subscribeTo(['commit', 'store']);
    const { arrived, letGo } = barrier.stopNext('replace');
    const slow = one.sessions.update(session.sessionId, ({ data }) => void (data.slow = 1));
    await arrived;
    await two.sessions.update(session.sessionId, ({ data }) => void (data.fast = 1));
    expect(events.ended()).toEqual([
      'store read: found',
      'store read: found',
      'store replace: replaced',
      'commit update: stored',
    ]);
    letGo();
    await slow;
    expect(events.ended()).toEqual([
      'store replace: changed',
      'store read: found',
      'store replace: replaced',
      'commit update: stored',
    ]);
    await one.close();
    await two.close();
    await store.stop();
  });
});

describe('a subscriber that throws', () => {
  it('is an uncaught exception, as Node has it, and the operation goes on', async () => {
    const printed = await runScript(`
      import { AsyncLocalStorage } from 'node:async_hooks';
      import { setImmediate as turn } from 'node:timers/promises';
      import { sessionChannels, trace } from './src/events/session-channels.ts';

      const uncaught = [];
      process.on('uncaughtException', ({ message }) => uncaught.push(message));
      const { load } = sessionChannels;
      const fail = (message) => () => { throw new Error(message); };
      load.start.bindStore(new AsyncLocalStorage(), fail('store'));
      for (const event of ['start', 'end', 'asyncStart', 'asyncEnd', 'error']) load[event].subscribe(fail(event));
      const start = { operation: 'request', sessionId: null };
      const result = await trace(load, start, () => Promise.resolve('stored'), () => ({ outcome: 'found' }));
      const failure = await trace(load, start, () => Promise.reject(new Error('down')), () => ({ outcome: 'found' })).catch(({ message }) => message);
      await turn();
      console.log(JSON.stringify({ result, failure, uncaught: [...new Set(uncaught)].sort() }));`);
    expect(JSON.parse(printed)).toEqual({
      result: 'stored',
      failure: 'down',
      uncaught: ['asyncEnd', 'asyncStart', 'end', 'error', 'start', 'store'],
    });
  });

  it('does not hide an error that is thrown at once', () => {
    const events = subscribeTo(['load']);
    const thrown = () =>
      trace(
        sessionChannels.load,
        { operation: 'request', sessionId: null },
        () => {
          throw new TypeError('at once');
        },
        () => ({ outcome: 'found' }),
      );
    expect(thrown).toThrow('at once');
    expect(events.seen.map(([event]) => event)).toEqual(['start', 'error', 'end']);
    expect(events.seen[0]![2]).toMatchObject({ outcome: 'failed', error: { name: 'TypeError', code: 'UNKNOWN' } });
  });
});
