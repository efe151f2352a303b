import { beforeEach, describe, expect, it } from '@jest/globals';
import { FakeClock } from 'nestjs-sessionx/testing';

import { Outage } from '../../src/outage.js';

describe('an outage', () => {
  let clock: FakeClock;
  let outage: Outage;

  beforeEach(() => {
    clock = new FakeClock();
    outage = new Outage(clock);
  });

  /** Begins and ends one. */
  function happens(): void {
    expect(outage.failed()).toBe(true);
    expect(outage.succeeded()).toBe(true);
  }

  it('begins with the first failure, and ends with the first success', () => {
    expect(outage.succeeded()).toBe(false);
    expect([outage.failed(), outage.failed()]).toEqual([true, false]);
    expect([outage.succeeded(), outage.succeeded()]).toEqual([true, false]);
  });

  it('within a minute of the last one ends when nothing has failed for ten seconds', () => {
    happens();
    clock.advanceSeconds(59.999);
    expect([outage.failed(), outage.succeeded()]).toEqual([true, false]);
    clock.advanceSeconds(9);
    expect([outage.failed(), outage.succeeded()]).toEqual([false, false]);
    clock.advanceSeconds(9.999);
    expect(outage.succeeded()).toBe(false);
    clock.advanceSeconds(0.001);
    expect(outage.succeeded()).toBe(true);
  });

  it('a minute after the last one ends with the first success again', () => {
    happens();
    clock.advanceSeconds(60);
    happens();
  });

  it('ends also where the clock was set back', () => {
    happens();
    outage.failed();
    clock.advanceSeconds(-3600);
    expect(outage.succeeded()).toBe(true);
  });
});
