import type { Cluster, Redis, RedisOptions } from 'ioredis';

/** Whose connection it is: who opens it closes it. */
export type RedisConnection =
  | { readonly ownedBy: 'module'; readonly target: string | RedisOptions }
  | { readonly ownedBy: 'application'; readonly client: Redis | Cluster };

const URL_SCHEME = /^rediss?:\/\//;
const WANTED =
  'a URL such as redis://127.0.0.1:6379, the options of ioredis such as { host, port }, or an ioredis client';

/** @throws TypeError when ioredis would take it for something else, mostly for a Redis on this machine, and say nothing */
export function redisConnection(given: unknown): RedisConnection {
  if (typeof given === 'string') {
    if (URL_SCHEME.test(given)) return { ownedBy: 'module', target: given };
    throw refused(given === '' ? 'an empty string' : 'a string that does not begin with redis:// or rediss://');
  }
  if (typeof given !== 'object' || given === null) {
    throw refused(`${String(given)}${given === undefined ? '; is the environment variable set?' : ''}`);
  }
  if ('defineCommand' in given) return { ownedBy: 'application', client: given as Redis | Cluster };
  for (const foreign of ['url', 'socket', 'sendCommand']) {
    if (foreign in given) throw refused(`an object with ${foreign}, which is another client's or its options`);
  }
  return { ownedBy: 'module', target: given };
}

/** What was given may hold a password, so its text is not shown. */
function refused(what: string): TypeError {
  return new TypeError(`RedisBackend takes ${WANTED}; it was given ${what}.`);
}
