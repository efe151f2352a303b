import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { SessionError } from '../../src/errors/session-error.js';
import { StoreBudget } from '../../src/store/store-budget.js';
import { Wait, Waits } from '../../src/backends/waits.js';

const TIMEOUT_MS = 1000;

/** Ends others with it. */
class ChainedWait extends Wait {
  givenUp = 0;
  others: ChainedWait[] = [];

  constructor(
    private readonly waits: Waits,
    endsInMs: number,
  ) {
    super(performance.now() + endsInMs);
    waits.add(this);
  }

  giveUp(): void {
    this.givenUp++;
    for (const other of this.others) this.waits.remove(other);
  }
}

function never(): Promise<string> {
  return new Promise(() => undefined);
}

describe('the time budget of a request', () => {
  let waits: Waits;

  beforeEach(() => {
    jest.useFakeTimers();
    waits = new Waits();
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  function outcomeOf(call: () => Promise<string>, budget = new StoreBudget(TIMEOUT_MS, waits)): { current: string } {
    const outcome = { current: 'waits' };
    void budget.run(call).then(
      (value) => {
        outcome.current = value;
      },
      (error: unknown) => {
        outcome.current = error instanceof SessionError ? error.code : 'another error';
      },
    );
    return outcome;
  }

  it('takes one timer for many calls at once, and none once they have returned and its time is over', async () => {
    const outcomes = Array.from({ length: 100 }, () => outcomeOf(() => Promise.resolve('value')));
    expect(jest.getTimerCount()).toBe(1);
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS);
    expect(new Set(outcomes.map(({ current }) => current))).toEqual(new Set(['value']));
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is whole again for a call that makes progress, whatever calls before it have spent', async () => {
    const budget = new StoreBudget(TIMEOUT_MS, waits);
    outcomeOf(() => new Promise((resolve) => setTimeout(() => resolve('value'), 0.9 * TIMEOUT_MS)), budget);
    await jest.advanceTimersByTimeAsync(0.9 * TIMEOUT_MS);
    const second = outcomeOf(never, budget);
    await jest.advanceTimersByTimeAsync(0.05 * TIMEOUT_MS);
    budget.renew();
    await jest.advanceTimersByTimeAsync(0.9 * TIMEOUT_MS);
    expect(second.current).toBe('waits');
    await jest.advanceTimersByTimeAsync(0.11 * TIMEOUT_MS);
    expect(second.current).toBe('BACKEND_TIMEOUT');
  });

  it('keeps no process alive that has closed its store', async () => {
    const made = jest.spyOn(globalThis, 'setTimeout');
    const holding = () => made.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef());
    const before = outcomeOf(never);
    expect(holding()).toEqual([true]);
    waits.rest();
    const after = outcomeOf(never);
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS + 1);
    expect([before.current, after.current]).toEqual(['BACKEND_TIMEOUT', 'BACKEND_TIMEOUT']);
    outcomeOf(never);
    expect(holding()).toEqual(holding().map(() => false));
  });

  it('gives up no wait that one before it has ended, and forgets none behind it', async () => {
    const [first, second, third, last] = [100, 100, 100, 200].map((endsInMs) => new ChainedWait(waits, endsInMs));
    first!.others = [second!];
    await jest.advanceTimersByTimeAsync(101);
    expect([first, second, third, last].map((wait) => wait!.givenUp)).toEqual([1, 0, 1, 0]);
    await jest.advanceTimersByTimeAsync(100);
    expect([first, second, third, last].map((wait) => wait!.givenUp)).toEqual([1, 0, 1, 1]);
  });

  it('gives each call up in its own time', async () => {
    const first = outcomeOf(never);
    await jest.advanceTimersByTimeAsync(400);
    const second = outcomeOf(never);
    await jest.advanceTimersByTimeAsync(599);
    expect([first.current, second.current]).toEqual(['waits', 'waits']);
    await jest.advanceTimersByTimeAsync(2);
    expect([first.current, second.current]).toEqual(['BACKEND_TIMEOUT', 'waits']);
    await jest.advanceTimersByTimeAsync(400);
    expect(second.current).toBe('BACKEND_TIMEOUT');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('gives a call up first that has less time left than those before it', async () => {
    const spent = new StoreBudget(TIMEOUT_MS, waits);
    const early = outcomeOf(() => new Promise((resolve) => setTimeout(resolve, 900, 'value')), spent);
    await jest.advanceTimersByTimeAsync(900);
    expect(early.current).toBe('value');
    const whole = outcomeOf(never);
    const rest = outcomeOf(never, spent);
    await jest.advanceTimersByTimeAsync(101);
    expect([whole.current, rest.current]).toEqual(['waits', 'BACKEND_TIMEOUT']);
  });

  it('takes no result of a call that it has given up', async () => {
    const late = outcomeOf(() => new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS + 100, 'value')));
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS + 200);
    expect(late.current).toBe('BACKEND_TIMEOUT');
  });
});
