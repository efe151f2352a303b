import { jest } from '@jest/globals';

/** From now on `setInterval` waits for `jest.advanceTimersByTime()`, and all else goes on in real time, as servers do. */
export function fakeIntervals(): void {
  jest.useFakeTimers({
    doNotFake: [
      ...(['Date', 'hrtime', 'performance', 'nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
      ...(['setTimeout', 'clearTimeout'] as const),
    ],
  });
}
