/** Where the servers are. */
export interface MemcachedBackendOptions {
  /** `host:port,host:port`; the port may be left out (11211), and `user:password@` put before a host. IPv6 as `[::1]:11211`. */
  readonly servers: string;
  /** For SASL, where `servers` does not name them. */
  readonly username?: string;
  readonly password?: string;
  /** The largest item that the servers take, bytes, as their `-I`. Default 1,048,576, which is Memcached's own. */
  readonly maxItemSize?: number;
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

const DEFAULT_PORT = 11211;
const DEFAULT_ITEM_SIZE = 1024 * 1024;
const SMALLEST_ITEM_SIZE = 1024;
const SERVER =
  /^(?:(?<username>[^:@]+):(?<password>.+)@)?(?:\[(?<ipv6>[0-9a-fA-F:.]+)\]|(?<name>[^:@\s[\]]+))(?::(?<port>\d{1,5}))?$/;

/** @throws TypeError that says what is wrong, without the text that may hold a password */
export function targetOf(given: MemcachedBackendOptions | MemcachedClient): MemcachedTarget {
  assertNamesServers(given);
  const servers = isClient(given) ? given.servers.map(ofClient) : given.servers.split(',').map(parse(given));
  const maxItemSize = isClient(given) ? DEFAULT_ITEM_SIZE : (given.maxItemSize ?? DEFAULT_ITEM_SIZE);
  if (!Number.isInteger(maxItemSize) || maxItemSize < SMALLEST_ITEM_SIZE) {
    throw new TypeError(`maxItemSize is a number of bytes, at least ${SMALLEST_ITEM_SIZE}.`);
  }
  const addresses = new Set(servers.map(addressOf));
  if (addresses.size === 0) throw new TypeError('The memjs client has no servers.');
  if (addresses.size < servers.length) throw new TypeError('servers names one server twice.');
  return { servers, maxItemSize };
}

/** `host:port`: what a server is called in the log, and what decides about its share of the users. */
export function addressOf({ host, port }: MemcachedServerOptions): string {
  return `${host}:${port}`;
}

function assertNamesServers(given: unknown): void {
  const servers: unknown =
    typeof given === 'object' && given !== null && 'servers' in given ? given.servers : undefined;
  if (typeof servers === 'string' || Array.isArray(servers)) return;
  throw new TypeError(
    "MemcachedBackend takes { servers: 'host:port,host:port' } or a memjs client; servers is not set (is the environment variable?).",
  );
}

function isClient(given: MemcachedBackendOptions | MemcachedClient): given is MemcachedClient {
  return typeof given.servers !== 'string';
}

function ofClient({ host, port, username, password }: MemcachedServerOptions): MemcachedServerOptions {
  return { host, port, ...(username !== undefined && password !== undefined ? { username, password } : {}) };
}

function parse(fallback: MemcachedBackendOptions): (text: string, index: number) => MemcachedServerOptions {
  return (text, index) => {
    const found = SERVER.exec(text.trim())?.groups;
    const host = found?.ipv6 ?? found?.name;
    const port = Number(found?.port ?? DEFAULT_PORT);
    if (host === undefined || port < 1 || port > 65_535) {
      throw new TypeError(`servers is a list of host:port, separated by commas; number ${index + 1} is not one.`);
    }
    const username = found?.username ?? fallback.username;
    const password = found?.password ?? fallback.password;
    return { host, port, ...(username !== undefined && password !== undefined ? { username, password } : {}) };
  };
}
