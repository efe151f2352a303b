import { beforeAll, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';

import { Examples } from '../docs/examples.js';
import { PLATFORMS } from '../support/apps.js';
import { compiled, printedBy } from '../support/compiled.js';

/** Statuses by what was sent; see the process. */
type Results = Readonly<Record<string, unknown>>;

const cases = PLATFORMS.flatMap((platform) => (['before', 'after'] as const).map((place) => ({ platform, place })));

let all: Readonly<Record<string, Results>>;

beforeAll(async () => {
  const examples = new Examples();
  const file = compiled(examples.pathOf('docs/recipes.md', 'user-throttler.guard.ts'));
  all = (await printedBy(join(import.meta.dirname, 'throttler.process.ts'), file)) as typeof all;
  examples.remove();
});

describe.each(cases)('a global throttler by user $place SessionGuard, on $platform', ({ platform, place }) => {
  let results: Results | undefined;

  beforeAll(() => {
    results = all[`${place}, ${platform}`];
  });

  it('has one limit for the two devices of a user, and another one for another user', () => {
    expect(results).toMatchObject({ twoDevices: [200, 200, 200, 429], anotherUser: [200] });
  });

  it('counts by address without a user, and a forged token does not help', () => {
    expect(results).toMatchObject({ guests: [200, 200, 200, 429], forged: [429], guestElsewhere: [200] });
  });

  it('does not count a user for the address, whatever the name', () => {
    expect(results).toMatchObject({ userOnTheAddressOfGuests: [200], userNamedLikeTheirAddress: [200] });
  });

  it('reads the session once for itself and for SessionGuard', () => {
    expect(results).toMatchObject({ readsOfOne: 1 });
  });

  it(`${place === 'before' ? 'counts' : 'does not count'} requests that SessionGuard refuses`, () => {
    expect(results).toMatchObject({ withoutSession: [401, 401, 401, place === 'before' ? 429 : 401] });
  });

  it('leaves a request of another site to the check of SessionGuard', () => {
    expect(results).toMatchObject({ ofAnotherSite: [403] });
  });

  it('is a 503 when the store fails', () => {
    expect(results).toMatchObject({ storeFails: [503] });
  });
});
