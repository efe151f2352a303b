import { describe, expect, it } from '@jest/globals';
import { firstValueFrom, NEVER, Observable, of, Subject, toArray } from 'rxjs';

import { endEvents, endIterator, isAsyncIterator } from '../../src/decorators/ended-streams.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { soon } from '../support/soon.js';

const DONE = { done: true, value: undefined };

/** As the event emitter of a subscription: waits for the next value for ever, and notes whether it was told to return. */
class Values implements AsyncIterableIterator<unknown> {
  returned = 0;
  readonly #values: unknown[];

  constructor(...values: unknown[]) {
    this.#values = values;
  }

  next(): Promise<IteratorResult<unknown>> {
    if (this.#values.length === 0) return new Promise(() => undefined);
    const value = this.#values.shift();
    return value instanceof Error ? Promise.reject(value) : Promise.resolve({ done: false, value });
  }

  return(): Promise<IteratorResult<unknown>> {
    this.returned++;
    return Promise.resolve(DONE as IteratorResult<unknown>);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function endable() {
  const ending = new Subject<never>();
  const watched = { count: 0 };
  const ended = new Observable<never>((subscriber) => {
    watched.count++;
    subscriber.add(() => watched.count--);
    ending.subscribe(subscriber);
  });
  return { ended, end: () => ending.complete(), watched };
}

/** In a function of its own, whose frame keeps nothing. */
async function firstOf(iterator: AsyncIterator<unknown>): Promise<WeakRef<object>> {
  const { value } = await iterator.next();
  return new WeakRef(value as object);
}

describe('the values of a subscription', () => {
  it('pass, and end with the session, also for one who waits for the next', async () => {
    const { ended, end, watched } = endable();
    const source = new Values(1, 2);
    const iterator = endIterator(source, ended);
    expect([await iterator.next(), await iterator.next()]).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
    ]);
    const waiting = [iterator.next(), iterator.next()];
    end();
    expect(await Promise.all(waiting)).toEqual([DONE, DONE]);
    expect(await iterator.next()).toEqual(DONE);
    expect([source.returned, watched.count]).toEqual([1, 0]);
  });

  it('end at once when the session has ended before', async () => {
    const source = new Values(1);
    const iterator = endIterator(source, of());
    expect(await iterator.next()).toEqual(DONE);
    expect(source.returned).toBe(1);
  });

  it.each([
    ['the client ends it', new Values(), (iterator: AsyncIterableIterator<unknown>) => iterator.return?.()],
    ['it fails', new Values(new Error('of the source')), (iterator: AsyncIterableIterator<unknown>) => iterator.next()],
    [
      'the client throws',
      new Values(),
      (iterator: AsyncIterableIterator<unknown>) => iterator.throw?.(new Error('thrown')),
    ],
  ])('are not watched any more when %s', async (_when, source, stop) => {
    const { ended, watched } = endable();
    const iterator = endIterator(source, ended);
    expect(watched.count).toBe(1);
    await Promise.resolve(stop(iterator)).catch(() => undefined);
    expect(watched.count).toBe(0);
  });

  it('are not watched any more when the source ends by itself', async () => {
    const { ended, watched } = endable();
    async function* two() {
      yield 1;
      yield await Promise.resolve(2);
    }
    const seen: unknown[] = [];
    for await (const value of endIterator(two(), ended)) seen.push(value);
    expect([seen, watched.count]).toEqual([[1, 2], 0]);
  });

  it('are not kept when they have passed, however long the others take', async () => {
    const { ended } = endable();
    const iterator = endIterator(new Values({}), ended);
    const passed = await firstOf(iterator);
    await soon(() => {
      collectGarbage();
      return passed.deref() === undefined || undefined;
    });
    expect(await iterator.return?.()).toEqual(DONE);
  });

  it('end where their source cannot be told, which fails nobody', async () => {
    const failing = () => {
      throw new Error('of the source');
    };
    for (const returns of [failing, () => Promise.reject(new Error('later')), () => undefined]) {
      const { ended, end } = endable();
      const iterator = endIterator(Object.assign(new Values(), { return: returns as never }), ended);
      const next = iterator.next();
      end();
      expect(await next).toEqual(DONE);
      // A rejection that nobody handles would come by now, and end the process.
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it('are told from other results', () => {
    expect(isAsyncIterator(new Values())).toBe(true);
    for (const other of [null, undefined, {}, [1], 'text', new Map().values()])
      expect(isAsyncIterator(other)).toBe(false);
  });
});

describe('server-sent events', () => {
  it('that fail pass their error on, and are not watched any more', async () => {
    const { ended, watched } = endable();
    const failing = new Observable((subscriber) => subscriber.error(new Error('of the source')));
    await expect(firstValueFrom(endEvents(failing, ended))).rejects.toThrow('of the source');
    expect(watched.count).toBe(0);
  });

  it('of a session that has ended before are the last event alone, and their source is not opened', async () => {
    let opened = 0;
    const source = new Observable(() => {
      opened++;
    });
    const all = await firstValueFrom(endEvents(source, of()).pipe(toArray()));
    expect([all, opened]).toEqual([[{ type: 'session-ended', data: {} }], 0]);
  });

  it('are unsubscribed when the client goes', () => {
    const { ended, watched } = endable();
    endEvents(NEVER, ended).subscribe().unsubscribe();
    expect(watched.count).toBe(0);
  });
});
