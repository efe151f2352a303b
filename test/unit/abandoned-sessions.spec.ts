import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { AbandonedSessions } from '../../src/store/abandoned-sessions.js';
import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, newSecret, sessionIdOf, type SessionId } from '../../src/tokens/session-secret.js';

type Outcome = 'deleted' | 'changed' | 'missing';

const PAUSE_MS = 5;
const random = new RandomPool();

function newId(): SessionId {
  return sessionIdOf(newSecret(anonymousTag(random), random));
}

describe('sessions whose creation has failed for the caller', () => {
  let calls: { readonly id: SessionId; readonly version: number; readonly at: number }[];
  let respond: (id: SessionId, version: number) => Promise<Outcome>;
  let abandoned: AbandonedSessions;
  let warnings: string[];
  const rejections: unknown[] = [];
  const note = (reason: unknown) => rejections.push(reason);

  beforeEach(() => {
    process.on('unhandledRejection', note);
    calls = [];
    warnings = [];
    respond = () => Promise.resolve('deleted');
    abandoned = new AbandonedSessions(
      (id, version) => {
        calls.push({ id, version, at: performance.now() });
        return respond(id, version);
      },
      PAUSE_MS,
      { warn: (message: unknown) => void warnings.push(String(message)) },
    );
  });

  afterEach(() => {
    abandoned.close();
    process.off('unhandledRejection', note);
    expect(rejections).toEqual([]);
  });

  /** Waits until `count` calls have been made. */
  async function untilCalls(count: number): Promise<void> {
    while (calls.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  it('are deleted once, in the version of the failed call, when its deadline has passed', async () => {
    const [first, second] = [newId(), newId()];
    const addedAt = performance.now();
    abandoned.add({ id: first, versions: [1] }, 100);
    abandoned.add({ id: second, versions: [1] }, -5);
    await untilCalls(2);
    expect(calls.map(({ id, version }) => [id, version])).toEqual([
      [first, 1],
      [second, 1],
    ]);
    expect(calls[0]!.at - addedAt).toBeGreaterThan(100);
    await new Promise((resolve) => setTimeout(resolve, 20 * PAUSE_MS));
    expect(calls).toHaveLength(2);
  });

  it('are tried in each version in which failed calls may have left them, and in no other', async () => {
    const [pending, activated, changed] = [newId(), newId(), newId()];
    respond = (id, version) => {
      if (id === pending) return Promise.resolve('deleted');
      return Promise.resolve(id === activated && version === 2 ? 'deleted' : 'changed');
    };
    for (const id of [pending, activated, changed]) abandoned.add({ id, versions: [1, 2] }, 0);
    await untilCalls(5);
    expect(calls.map(({ id, version }) => [id, version])).toEqual([
      [pending, 1],
      [activated, 1],
      [activated, 2],
      [changed, 1],
      [changed, 2],
    ]);
  });

  it('are tried again while the store fails, with growing pauses, one after the other', async () => {
    let down = true;
    respond = () => (down ? Promise.reject(new Error('the store is down')) : Promise.resolve('deleted'));
    const ids = Array.from({ length: 20 }, newId);
    for (const id of ids) abandoned.add({ id, versions: [1] }, 0);
    await untilCalls(6);
    const pauses = calls.slice(1).map(({ at }, index) => at - calls[index]!.at);
    // Each is at least half of its longest length, which doubles.
    for (const [index, pause] of pauses.entries()) expect(pause).toBeGreaterThan(PAUSE_MS * 2 ** index - 1);
    down = false;
    await untilCalls(6 + ids.length);
    expect(new Set(calls.slice(-ids.length).map(({ id }) => id))).toEqual(new Set(ids));
    expect(warnings).toEqual([]);
  });

  it('are given up after some minutes of a store that stays down, and one warning says so', async () => {
    jest.useFakeTimers();
    try {
      respond = () => Promise.reject(new Error('the store is down'));
      for (let count = 0; count < 10; count++) abandoned.add({ id: newId(), versions: [1] }, 0);
      await jest.advanceTimersByTimeAsync(3_600_000);
      expect(calls.length).toBeGreaterThan(10);
      expect(calls.length).toBeLessThan(50);
      expect(warnings).toHaveLength(1);
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });

  it('are given up each by its own age: younger ones are ended when the store is back', async () => {
    jest.useFakeTimers();
    try {
      let down = true;
      respond = () => (down ? Promise.reject(new Error('the store is down')) : Promise.resolve('deleted'));
      const [old, young] = [newId(), newId()];
      abandoned.add({ id: old, versions: [1] }, 0);
      await jest.advanceTimersByTimeAsync(200_000);
      abandoned.add({ id: young, versions: [1] }, 0);
      await jest.advanceTimersByTimeAsync(200_000);
      calls = [];
      down = false;
      await jest.advanceTimersByTimeAsync(60_000);
      expect(calls.map(({ id }) => id)).toEqual([young]);
    } finally {
      jest.useRealTimers();
    }
  });

  it('are tried again at once in the next outage, however long the last one was', async () => {
    jest.useFakeTimers();
    try {
      let down = true;
      respond = () => (down ? Promise.reject(new Error('the store is down')) : Promise.resolve('deleted'));
      abandoned.add({ id: newId(), versions: [1] }, 0);
      await jest.advanceTimersByTimeAsync(200_000);
      down = false;
      await jest.advanceTimersByTimeAsync(60_000);
      down = true;
      calls = [];
      abandoned.add({ id: newId(), versions: [1] }, 0);
      await jest.advanceTimersByTimeAsync(1000);
      expect(calls.length).toBeGreaterThan(3);
    } finally {
      jest.useRealTimers();
    }
  });

  it('are forgotten when the module closes, also while a call for one is under way', async () => {
    let fail!: (error: Error) => void;
    respond = () =>
      new Promise((_resolve, reject) => {
        fail = reject;
      });
    abandoned.add({ id: newId(), versions: [1] }, 0);
    abandoned.add({ id: newId(), versions: [1] }, 0);
    await untilCalls(1);
    abandoned.close();
    fail(new Error('the connection was closed'));
    abandoned.add({ id: newId(), versions: [1] }, 0);
    await new Promise((resolve) => setTimeout(resolve, 20 * PAUSE_MS));
    expect(calls).toHaveLength(1);
  });

  it('do not keep the process alive', () => {
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    abandoned.add({ id: newId(), versions: [1] }, 60_000);
    expect(timers()).toBe(before);
  });

  it('are no more than a thousand at once, and one warning for each time says that some stay until they expire', async () => {
    for (let count = 0; count < 1100; count++) abandoned.add({ id: newId(), versions: [1] }, 0);
    await untilCalls(1000);
    await new Promise((resolve) => setTimeout(resolve, 20 * PAUSE_MS));
    expect(calls).toHaveLength(1000);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/until they expire/);
    for (let count = 0; count < 1100; count++) abandoned.add({ id: newId(), versions: [1] }, 0);
    await untilCalls(2000);
    expect(warnings).toHaveLength(2);
  });
});
