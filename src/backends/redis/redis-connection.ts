import type { Cluster, Redis, RedisOptions } from 'ioredis';

import { optionsOfRedisUrl } from './redis-url.js';

/** Whose connection it is: who opens it closes it. */
export type RedisConnection =
  | { readonly ownedBy: 'module'; readonly options: RedisOptions }
  | { readonly ownedBy: 'application'; readonly client: Redis | Cluster };

const URL_SCHEME = /^rediss?:\/\//;
const WANTED =
  'a URL such as redis://127.0.0.1:6379, the options of ioredis such as { host, port }, or an ioredis client';
/** A name or an address: neither a URL nor `host:port`, which ioredis would look up as a name. IPv6 has colons and perhaps a zone. */
const HOST = /^(?:[^\s/@:[\]?#]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?)$/;
const HIGHEST_PORT = 65_535;
const HIGHEST_DATABASE = 2 ** 31 - 1;

/** @throws TypeError when ioredis would take it for something else, mostly for a Redis on this machine, and say nothing */
export function redisConnection(given: unknown): RedisConnection {
  if (typeof given === 'string') {
    if (URL_SCHEME.test(given.trim())) return { ownedBy: 'module', options: checked(optionsOfRedisUrl(given)) };
    throw refusedError(given === '' ? 'an empty string' : 'a string that does not begin with redis:// or rediss://');
  }
  if (typeof given !== 'object' || given === null) {
    throw refusedError(named(given));
  }
  if ('defineCommand' in given) return { ownedBy: 'application', client: given as Redis | Cluster };
  for (const foreign of ['url', 'socket', 'sendCommand']) {
    if (foreign in given) throw refusedError(`an object with ${foreign}, which is another client's or its options`);
  }
  return { ownedBy: 'module', options: checked({ ...given }) };
}

export function isCluster(client: Redis | Cluster): client is Cluster {
  return client.isCluster;
}

/** Whether Redis may have a database of this number: ioredis takes what is none for database 0, or lets the server refuse it and goes on. */
export function isDatabase(db: unknown): db is number {
  return typeof db === 'number' && Number.isInteger(db) && db >= 0 && db <= HIGHEST_DATABASE;
}

function named(given: unknown): string {
  if (given === undefined) return 'undefined (is the environment variable set?)';
  return given === null || typeof given === 'number' ? String(given) : `a ${typeof given}`;
}

/** @throws TypeError for options with which no connection, or another one than was meant, would come about */
function checked(options: RedisOptions): RedisOptions {
  const db: unknown = options.db;
  const faults = [
    isUnset(db) || isDatabase(databaseOf(db)) ? [] : ['db must be the number of a database: 0 or more, no fraction'],
    addressFaults('', options),
    sentinelFaults(options),
  ].flat();
  if (faults.length === 0) return isUnset(db) ? options : { ...options, db: Number(db) };
  throw new TypeError(
    `RedisBackend cannot use these options:\n${faults.map((fault) => `- ${fault}`).join('\n')}\n` +
      'Their values are not shown here, as they may hold a password.',
  );
}

function sentinelFaults({ sentinels, name }: RedisOptions): string[] {
  if (isUnset(sentinels)) return [];
  if (!Array.isArray(sentinels) || sentinels.length === 0) {
    return ['sentinels must be a list of { host, port } that is not empty'];
  }
  const faults = sentinels.flatMap((address: unknown, index) => addressFaults(`sentinels[${index}].`, address));
  if (typeof name !== 'string' || name === '') faults.push('name must be what the Sentinels call the master');
  return faults;
}

function addressFaults(path: string, address: unknown): string[] {
  if (typeof address !== 'object' || address === null) return [`${path.slice(0, -1)} must be { host, port }`];
  const { host, port }: { host?: unknown; port?: unknown } = address;
  return [
    isUnset(host) || (typeof host === 'string' && HOST.test(host))
      ? []
      : [`${path}host must be a host name or an IP address, without scheme, port or password`],
    isUnset(port) || isPort(port) ? [] : [`${path}port must be a whole number from 1 to ${HIGHEST_PORT}`],
  ].flat();
}

/** ioredis takes digits too, as an environment variable has them. */
function isPort(port: unknown): boolean {
  if (typeof port === 'string' && !/^\d+$/.test(port)) return false;
  const number = Number(port);
  return Number.isInteger(number) && number >= 1 && number <= HIGHEST_PORT;
}

/** As for the port. */
function databaseOf(db: unknown): unknown {
  return typeof db === 'string' && /^\d+$/.test(db) ? Number(db) : db;
}

function isUnset(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** What was given may hold a password, so its text is not shown. */
function refusedError(what: string): TypeError {
  return new TypeError(`RedisBackend takes ${WANTED}; it was given ${what}.`);
}
