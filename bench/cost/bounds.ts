import type { FIXED_FIGURES } from './counting.js';

/** The most that a request may make of each. A change that needs more must give a reason. */
export type Bounds = Readonly<Record<(typeof FIXED_FIGURES)[number], number>>;

function bounds(promises: number, commands: number, roundTrips: number, bytesToStore: number): Bounds {
  // The one timer is Node's own, for the date of the response; the module has none for a request.
  return { promises, timers: 1, commands, roundTrips, bytesToStore };
}

const BARE = bounds(14, 0, 0, 0);
const LIMIT = bounds(18, 1, 1, 62);
const READ = bounds(27, 1, 1, 90);

const ANY_PLATFORM: Readonly<Record<string, Bounds>> = {
  bare: BARE,
  unused: BARE,
  limit: LIMIT,
  read: READ,
  'read-cookie': READ,
  'read-memory': bounds(26, 0, 0, 0),
  'read-memcached': bounds(29, 0, 1, 140),
  // The commands that scripts call are counted too.
  write: bounds(59, 7, 2, 1040),
  // A login, and the change of `session.data` behind it.
  login: bounds(102, 13, 2, 1810),
};

export const BOUNDS: Readonly<Record<string, Bounds>> = Object.fromEntries(
  ['fastify', 'express'].flatMap((platform) =>
    Object.entries(ANY_PLATFORM).map(([name, one]) => [`${platform}/${name}`, one]),
  ),
);
