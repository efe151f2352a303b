import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  MemoryBackend,
  SessionUsageError,
  type EndedListener,
  type EndedSubscription,
  type Session,
} from 'nestjs-sessionx';
import { fakeSession } from 'nestjs-sessionx/testing';
import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter } from 'node:events';

import { onceClosed } from '../../src/http/once-closed.js';
import { Session as SessionClass } from '../../src/sessions/session.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import { soon } from '../support/soon.js';

const INTERVAL_S = 0.1;
const MANY = 100_000;

/** Counts who listens, and what is looked at. */
class CountingBackend extends MemoryBackend {
  opened = 0;
  open_ = 0;
  looks = 0;
  looked = 0;

  override async onEnded(listener: EndedListener): Promise<EndedSubscription> {
    const subscription = await super.onEnded(listener);
    this.opened++;
    this.open_++;
    return {
      close: () => {
        this.open_--;
        return subscription.close();
      },
    };
  }

  override readMany(ids: Parameters<MemoryBackend['readMany']>[0]): ReturnType<MemoryBackend['readMany']> {
    this.looks++;
    this.looked += ids.length;
    return super.readMany(ids);
  }
}

let backend: CountingBackend;
let service: ServiceUnderTest;
let timers: jest.SpiedFunction<typeof setTimeout>;

beforeEach(async () => {
  backend = new CountingBackend();
  service = await startService(backend, { liveCheckInterval: INTERVAL_S, maxSessionsPerUser: null });
  timers = jest.spyOn(globalThis, 'setTimeout');
});

afterEach(async () => {
  timers.mockRestore();
  await service.close();
});

/** Some hundred at a time, as what waits for the others would be given up. */
async function newSessions(count: number): Promise<Session[]> {
  const sessions: Session[] = [];
  while (sessions.length < count) {
    const made = Array.from({ length: Math.min(count - sessions.length, 500) }, () =>
      service.sessions.createSession({ user: { userId: 'ann' } }),
    );
    sessions.push(...(await Promise.all(made)).map(({ session }) => session));
  }
  return sessions;
}

/** Nothing is watched any more: nobody listens, no timer is set, and nothing is looked at. */
async function expectRest(): Promise<void> {
  await soon(() => backend.open_ === 0 || undefined);
  await soon(() => {
    const pending = timers.mock.results.filter(({ value }) => (value as { _destroyed?: boolean })._destroyed === false);
    timers.mockClear();
    return pending.length === 0 || undefined;
  });
}

/** The session of a request, whose connection this is. */
function inRequest(session: Session, connection = new EventEmitter()): EventEmitter {
  const listener = {
    whenClosed: (callback: () => void) => onceClosed(connection, callback),
    accessed: () => undefined,
  };
  SessionClass.stateOf(session).listener = listener as never;
  return connection;
}

const openConnections: EventEmitter[] = [];

/** In a function of its own, whose frame keeps nothing. @returns one of them */
async function openSignals(count: number): Promise<AbortSignal> {
  const connection = new EventEmitter();
  openConnections.push(connection);
  const signals = (await newSessions(count)).map((session, index) => {
    // Half of them as messages of one socket.
    if (index % 2 === 1) inRequest(session, connection);
    return service.sessions.whileAlive(session);
  });
  await soon(() => backend.looked >= count || undefined);
  return signals[0]!;
}

describe('100,000 watches that were opened and closed leave nothing:', () => {
  it('observables that were unsubscribed', async () => {
    const sessions = await newSessions(100);
    timers.mockClear();
    for (let i = 0; i < MANY; i++)
      service.sessions
        .untilEnded(sessions[i % 100]!)
        .subscribe()
        .unsubscribe();
    expect(timers.mock.calls.length).toBeLessThan(5);
    await expectRest();
    expect([backend.opened, backend.looked]).toEqual([0, 0]);
  });

  it('signals and observables of requests whose connections are closed', async () => {
    const [session] = await newSessions(1);
    timers.mockClear();
    for (let i = 0; i < MANY; i++) {
      const connection = inRequest(session!);
      service.sessions.untilEnded(session!).subscribe();
      if (connection.listenerCount('close') !== 1) throw new Error('not one listener');
      connection.emit('close');
      if (connection.listenerCount('close') > 0) throw new Error('a listener was left');
    }
    expect(timers.mock.calls.length).toBeLessThan(5);
    await expectRest();
    expect(backend.looked).toBe(0);
  });

  it('signals that nobody holds', async () => {
    const listening = await openSignals(200);
    let aborted = 0;
    // One is held, as it is listened to.
    listening.addEventListener('abort', () => aborted++);
    await soon(async () => {
      collectGarbage();
      await new Promise((resolve) => setImmediate(resolve));
      backend.looked = 0;
      const { looks } = backend;
      await soon(() => backend.looks > looks || undefined);
      return backend.looked === 1 || undefined;
    });
    await service.sessions.deleteUserSessions('ann');
    expect(aborted).toBe(1);
    await expectRest();
  });
});

async function collected(references: readonly WeakRef<object>[]): Promise<void> {
  await soon(() => {
    collectGarbage();
    return references.every((reference) => reference.deref() === undefined) || undefined;
  });
}

it('signals of requests that are over leave neither the request nor its session', async () => {
  const open = async () =>
    (await newSessions(200)).map((session) => {
      const connection = inRequest(session, Object.assign(new EventEmitter(), { session }));
      service.sessions.whileAlive(session);
      connection.emit('close');
      return new WeakRef(session);
    });
  await collected(await open());
});

it('signals of requests whose sessions have ended leave neither the request nor its session', async () => {
  const open = async () =>
    (await newSessions(200)).map((session) => {
      inRequest(session, Object.assign(new EventEmitter(), { session }));
      service.sessions.whileAlive(session);
      return new WeakRef(session);
    });
  const references = await open();
  await service.sessions.deleteUserSessions('ann');
  await collected(references);
});

it.each<[what: string, end: (session: Session) => unknown]>([
  [
    'a signal whose session has ended',
    async (session) => {
      service.sessions.whileAlive(session);
      await service.sessions.deleteUserSessions('ann');
    },
  ],
  [
    'an observable whose session has ended',
    async (session) => {
      service.sessions.untilEnded(session).subscribe();
      await service.sessions.deleteUserSessions('ann');
    },
  ],
  [
    'an observable that was unsubscribed',
    (session) => {
      service.sessions.untilEnded(session).subscribe().unsubscribe();
    },
  ],
])('%s waits no more for the end of a connection that stays open', async (_what, end) => {
  const [session] = await newSessions(1);
  const waiting = new Set<() => void>();
  const whenClosed = (callback: () => void) => {
    waiting.add(callback);
    return () => waiting.delete(callback);
  };
  SessionClass.stateOf(session!).listener = { whenClosed, accessed: () => undefined } as never;
  await end(session!);
  expect(waiting.size).toBe(0);
});

it('10,000 watches have one subscription, one timer, and one look for each 250 of them', async () => {
  const sessions = await newSessions(10_000);
  timers.mockClear();
  const signals = sessions.map((session) => service.sessions.whileAlive(session));
  expect(timers.mock.calls.length).toBeLessThan(5);
  await soon(() => backend.looked >= 10_000 || undefined);
  expect([backend.opened, backend.looked / backend.looks]).toEqual([1, 250]);
  await service.sessions.deleteUserSessions('ann');
  expect(signals.every(({ aborted }) => aborted)).toBe(true);
  await expectRest();
});

describe('a signal outside of a request', () => {
  it('that only a listener refers to is aborted all the same, until the listener is removed', async () => {
    let aborted = 0;
    const count = (): number => aborted++;
    const listenTo = async (userId: string): Promise<string> => {
      const { session } = await service.sessions.createSession({ user: { userId } });
      service.sessions.whileAlive(session).addEventListener('abort', count);
      return session.sessionId;
    };
    const ids = [await listenTo('ann'), await listenTo('bob')];
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const id of ids) await service.sessions.deleteSession(id);
    expect(aborted).toBe(2);
  });

  it('is aborted where only AbortSignal.any() has got it', async () => {
    const { token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    const combine = async (): Promise<AbortSignal> => {
      const loaded = await service.sessions.getSession(token);
      return AbortSignal.any([service.sessions.whileAlive(loaded), new AbortController().signal]);
    };
    const either = await combine();
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await service.sessions.deleteUserSessions('ann');
    expect(either.aborted).toBe(true);
    await expectRest();
  });

  it.each<[what: string, use: (signal: AbortSignal) => unknown]>([
    [
      'a listener that was removed',
      (signal) => {
        const listener = () => undefined;
        signal.addEventListener('abort', listener);
        signal.removeEventListener('abort', listener);
      },
    ],
    ['a listener, and its session has ended', (signal) => signal.addEventListener('abort', () => undefined)],
    ['AbortSignal.any(), and its session has ended', (signal) => AbortSignal.any([signal])],
  ])('is let go where it has had %s', async (what, use) => {
    const open = async () =>
      (await newSessions(50)).map((session) => {
        const signal = service.sessions.whileAlive(session);
        use(signal);
        return new WeakRef(signal);
      });
    const references = await open();
    if (what.endsWith('ended')) await service.sessions.deleteUserSessions('ann');
    await collected(references);
  });

  it('is the same at each call, is handed to what takes signals, and says why it was aborted', async () => {
    const [session] = await newSessions(1);
    const signal = service.sessions.whileAlive(session!);
    expect(service.sessions.whileAlive(session!)).toBe(signal);
    const either = AbortSignal.any([signal, new AbortController().signal]);
    await service.sessions.deleteSession(session!);
    expect(either.aborted).toBe(true);
    expect(() => {
      signal.throwIfAborted();
    }).toThrow('The session of this connection has ended.');
    expect(service.sessions.whileAlive(session!)).toBe(signal);
  });
});

it('a watch is told outside of the context of who ends the session', async () => {
  const [session] = await newSessions(1);
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  storage.run('the request that watches', () => {
    service.sessions.untilEnded(session!).subscribe({ complete: () => seen.push(storage.getStore()) });
    service.sessions.whileAlive(session!).addEventListener('abort', () => seen.push(storage.getStore()));
  });
  await storage.run('the request that ends', () => service.sessions.deleteSession(session!));
  expect(seen).toEqual([undefined, undefined]);
});

it('what a watcher throws does not keep the others from being told, nor fail who ends the session', async () => {
  const [session] = await newSessions(1);
  const signals: AbortSignal[] = [];
  const watches = service.context.get((await import('../../src/sessions/session-watches.js')).SessionWatches);
  watches.watch(session!, () => {
    throw new Error('of the application');
  });
  signals.push(service.sessions.whileAlive(session!));
  expect(await service.sessions.deleteSession(session!)).toBe(true);
  expect(signals[0]!.aborted).toBe(true);
});

it.each([undefined, null, 'a token', {}, 7])('%p is no session, which is a usage error', (value) => {
  expect(() => service.sessions.whileAlive(value as never)).toThrow(SessionUsageError);
  expect(() => service.sessions.untilEnded(value as never)).toThrow(SessionUsageError);
});

it('a session that is in no store ends at the first look', async () => {
  const signal = service.sessions.whileAlive(fakeSession({ clock: service.clock }));
  await soon(() => signal.aborted || undefined);
});

it('after the application has closed nothing is watched, and nothing fails', async () => {
  const [session, other] = await newSessions(2);
  const signal = service.sessions.whileAlive(session!);
  await service.close();
  expect(service.sessions.whileAlive(other!).aborted).toBe(false);
  expect(signal.aborted).toBe(false);
  await expectRest();
});

it('what is watched after a rest is listened to again', async () => {
  const [first, second] = await newSessions(2);
  const watch = service.sessions.untilEnded(first!).subscribe();
  await soon(() => backend.opened === 1 || undefined);
  watch.unsubscribe();
  await expectRest();
  service.sessions.untilEnded(second!).subscribe();
  await soon(() => backend.opened === 2 || undefined);
});

it('what does not tell later that it was closed, such as a response of HTTP/2, is remembered', () => {
  const response = new EventEmitter();
  const calls: string[] = [];
  onceClosed(response, () => calls.push('before'));
  response.emit('close');
  onceClosed(response, () => calls.push('after'));
  expect([calls, response.listenerCount('close')]).toEqual([['before', 'after'], 0]);
});

it('who no longer waits for the end of a connection is not called at it', () => {
  const connection = new EventEmitter();
  const calls: string[] = [];
  const stop = onceClosed(connection, () => calls.push('one'));
  onceClosed(connection, () => calls.push('other'));
  stop();
  connection.emit('close');
  expect(calls).toEqual(['other']);
});

it.each([{ closed: true }, { destroyed: true }, { disconnected: true }, { readyState: 3 }])(
  'what is closed already, as %j tells, is not waited for',
  (state) => {
    const connection = Object.assign(new EventEmitter(), state);
    const calls: string[] = [];
    onceClosed(connection, () => calls.push('at once'));
    expect(calls).toEqual(['at once']);
    expect(connection.eventNames()).toEqual([]);
  },
);
