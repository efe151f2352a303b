import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { isUnwantedPromise } from '../../src/unwanted-promise.js';

/** As libraries make promises that can be cancelled: `instanceof Promise`, and not one of the engine. */
class WrappedPromise {
  readonly #promise = Promise.reject(new Error('refused'));

  then(...args: Parameters<Promise<never>['then']>): Promise<unknown> {
    return this.#promise.then(...args);
  }
}
Object.setPrototypeOf(WrappedPromise.prototype, Promise.prototype);

describe('what a function that must not be async has returned', () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);

  beforeEach(() => void process.on('unhandledRejection', note));
  afterEach(async () => {
    await eventLoopTurn();
    await eventLoopTurn();
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });

  it.each([
    ['a promise that rejects', () => Promise.reject(new Error('refused'))],
    ['a wrapped promise that rejects', () => new WrappedPromise()],
  ])('is unwanted if it is %s, which then does not end the process', (_name, make) => {
    expect(isUnwantedPromise(make())).toBe(true);
  });

  it('is unwanted if it is a lazy query, which is not begun', () => {
    let begun = false;
    const query = {
      then: () => {
        begun = true;
      },
    };
    expect([isUnwantedPromise(query), begun]).toEqual([true, false]);
  });

  it.each([[undefined], [null], [true], ['then'], [{ then: 'yes' }], [() => undefined]])(
    'is fine if it is %p',
    (value) => {
      expect(isUnwantedPromise(value)).toBe(false);
    },
  );
});
