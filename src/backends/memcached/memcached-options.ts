import { faultOfAddress, isCredential, parseServers, type Credentials } from './server-list.js';

/** Where the servers are. */
export interface MemcachedBackendOptions {
  /**
   * `host:port,host:port`; the port may be left out (11211), and `user:password@` put before a host, as it is, without percent-encoding.
   * IPv6 as `[::1]:11211`.
   */
  readonly servers: string;
  /** For SASL, where `servers` does not name them. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** The largest item that the servers take, bytes, as their `-I`. Default 1,048,576, which is Memcached's own. */
  readonly maxItemSize?: number | undefined;
}

export interface MemcachedServerOptions {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** As much of a memjs `Client` as is taken from it; memjs's own types are a package apart, which users need not have. */
export interface MemcachedClient {
  readonly servers: readonly MemcachedServerOptions[];
}

export interface MemcachedTarget {
  readonly servers: readonly MemcachedServerOptions[];
  readonly maxItemSize: number;
}

const DEFAULT_ITEM_SIZE = 1024 * 1024;
const SMALLEST_ITEM_SIZE = 1024;

/** @throws TypeError that says what is wrong, without the text that may hold a password */
export function targetOf(given: MemcachedBackendOptions | MemcachedClient): MemcachedTarget {
  const servers = serversOf(given);
  const maxItemSize = isClient(given) ? DEFAULT_ITEM_SIZE : (given.maxItemSize ?? DEFAULT_ITEM_SIZE);
  if (!Number.isInteger(maxItemSize) || maxItemSize < SMALLEST_ITEM_SIZE) {
    throw new TypeError(`maxItemSize is a number of bytes, at least ${SMALLEST_ITEM_SIZE}.`);
  }
  const addresses = new Set(servers.map(addressOf));
  if (addresses.size < servers.length) throw new TypeError('servers names one server twice.');
  return { servers, maxItemSize };
}

/** `host:port`: what a server is called in the log, and what decides about its share of the users. */
export function addressOf({ host, port }: MemcachedServerOptions): string {
  return `${host}:${port}`;
}

function serversOf(given: MemcachedBackendOptions | MemcachedClient): MemcachedServerOptions[] {
  assertNamesServers(given);
  if (!isClient(given)) return parseServers(given.servers, credentialsOf(given));
  if (given.servers.length === 0) throw new TypeError('The memjs client has no servers.');
  return given.servers.map(serverOfClient);
}

function assertNamesServers(given: unknown): void {
  const servers: unknown =
    typeof given === 'object' && given !== null && 'servers' in given ? given.servers : undefined;
  if (typeof servers === 'string') return;
  if (Array.isArray(servers) && servers.every((server) => typeof server === 'object' && server !== null)) return;
  const what = servers === undefined ? 'servers is not set (is the environment variable?)' : 'servers is neither';
  throw new TypeError(`MemcachedBackend takes { servers: 'host:port,host:port' } or a memjs client; ${what}.`);
}

function isClient(given: MemcachedBackendOptions | MemcachedClient): given is MemcachedClient {
  return typeof given.servers !== 'string';
}

function serverOfClient({ host, port, username, password }: MemcachedServerOptions, index: number) {
  const fault = faultOfAddress(host, port);
  if (fault !== null) throw new TypeError(`Server ${index + 1} of the memjs client cannot work: ${fault}.`);
  return { host, port, ...(username && password ? { username, password } : {}) };
}

function credentialsOf({ username, password }: MemcachedBackendOptions): Credentials | null {
  if (username === undefined && password === undefined) return null;
  if (isCredential(username) && isCredential(password)) return { username, password };
  throw new TypeError('username and password of MemcachedBackend go together, and neither is empty.');
}
