import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { Examples } from '../docs/examples.js';
import { root } from '../docs/pages.js';
import { PLATFORMS } from '../support/apps.js';

/** Statuses by what was sent; see the process. */
type Results = Readonly<Record<string, unknown>>;

const cases = PLATFORMS.flatMap((platform) => (['before', 'after'] as const).map((place) => ({ platform, place })));

describe.each(cases)('a global throttler by user $place SessionGuard, on $platform', ({ platform, place }) => {
  let examples: Examples;
  let results: Results;

  beforeAll(() => {
    examples = new Examples();
    const file = examples.pathOf('docs/recipes.md', 'user-throttler.guard.ts');
    const loader = join(root, 'sample', 'support', 'typescript.mjs');
    const script = join(import.meta.dirname, 'throttler.process.ts');
    const { stdout, status, error, stderr } = spawnSync(
      process.execPath,
      ['--import', loader, script, file, platform, place],
      { cwd: root, encoding: 'utf8', timeout: 60_000 },
    );
    expect({ status, error, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, error: undefined, stderr: '' });
    results = JSON.parse(stdout) as Results;
  }, 70_000);

  afterAll(() => {
    examples.remove();
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
