import { describe, expect, it } from '@jest/globals';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { KeyedQueue } from '../../src/store/keyed-queue.js';

/** A task that has begun, or waits for its turn, until `end()`. */
function begin(queue: KeyedQueue, key: string) {
  const task = { state: 'queued', waited: false, end: (): void => undefined, done: Promise.resolve() };
  const wait = (turn: Promise<void>): Promise<void> => {
    task.waited = true;
    return turn;
  };
  task.done = queue.run(key, wait, () => {
    task.state = 'running';
    return new Promise<void>((resolve) => (task.end = resolve));
  });
  return task;
}

describe('tasks with one key', () => {
  it('run one after the other, also those that come while others wait', async () => {
    const queue = new KeyedQueue();
    const first = begin(queue, 'ann');
    const second = begin(queue, 'ann');
    first.end();
    await first.done;
    await eventLoopTurn();
    const third = begin(queue, 'ann');
    await eventLoopTurn();
    expect([second.state, third.state]).toEqual(['running', 'queued']);
    second.end();
    await second.done;
    await eventLoopTurn();
    expect(third.state).toBe('running');
    third.end();
    await third.done;
  });

  it('leave nothing behind, so that the next one has nothing to wait for', async () => {
    const queue = new KeyedQueue();
    for (const key of ['ann', 'bob', 'ann']) {
      const task = begin(queue, key);
      task.end();
      await task.done;
      await eventLoopTurn();
      expect(task.waited).toBe(false);
    }
  });
});
