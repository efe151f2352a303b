import type { ClusterOptions, RedisOptions } from 'ioredis';

import { backoffMs } from '../backend-rules.js';

const FIRST_RECONNECT_PAUSE_MS = 50;
const LONGEST_RECONNECT_PAUSE_MS = 1000;
/** Between two tries of a command that a node refused because its slot moves, or because the cluster is electing a master. */
const REFUSED_PAUSE_MS = 50;
const FIRST_SEARCH_PAUSE_MS = 500;
const LONGEST_SEARCH_PAUSE_MS = 30_000;
/** A refused command is tried on a random node, which sends it to the old one, which may send it to the new one. */
const HOPS_OF_A_TRY = 3;
/** Those that ioredis grants a command by default. */
const USUAL_REDIRECTIONS = 16;

/** Those of each connection, of a Cluster client's too. */
type ConnectionOptions = Required<
  Pick<
    RedisOptions,
    | 'maxRetriesPerRequest'
    | 'stringNumbers'
    | 'autoResendUnfulfilledCommands'
    | 'commandTimeout'
    | 'connectTimeout'
    | 'sentinelCommandTimeout'
    | 'socketTimeout'
    | 'reconnectOnError'
  >
>;

/** What `sessionRedisOptions()` sets: narrower than `RedisOptions`, which ioredis does not take under `exactOptionalPropertyTypes`. */
export type SessionRedisOptions = ConnectionOptions &
  Required<Pick<RedisOptions, 'enableOfflineQueue' | 'retryStrategy'>>;

/** What `sessionClusterOptions()` sets. */
export type SessionClusterOptions<NodeOptions> = Required<
  Pick<
    ClusterOptions,
    | 'enableOfflineQueue'
    | 'retryDelayOnFailover'
    | 'retryDelayOnTryAgain'
    | 'retryDelayOnClusterDown'
    | 'maxRedirections'
    | 'slotsRefreshTimeout'
    | 'clusterRetryStrategy'
  >
> & { redisOptions: NodeOptions & ConnectionOptions & { lazyConnect: boolean } };

/**
 * The options of an ioredis client that fit sessions. ioredis's own suit a cache: with them a call to a server that hangs never returns, and
 * a write whose response is lost is sent again and done twice.
 *
 * @param timeoutMs the longest that a call may take, as `backendTimeout`
 */
export function sessionRedisOptions(timeoutMs: number): SessionRedisOptions {
  return {
    ...connectionOptions(timeoutMs),
    // A command for a connection that is down fails at once. In a queue it would run after it has failed for its caller.
    enableOfflineQueue: false,
    retryStrategy: reconnectPause,
  };
}

function connectionOptions(timeoutMs: number): ConnectionOptions {
  return {
    maxRetriesPerRequest: 0,
    // The scripts return numbers that are calculated with.
    stringNumbers: false,
    autoResendUnfulfilledCommands: false,
    commandTimeout: timeoutMs,
    connectTimeout: timeoutMs,
    // Without it the search for the master ends at a Sentinel that hangs, for ever.
    sentinelCommandTimeout: timeoutMs,
    // Gives up a connection on which nothing at all came for as long as a call may take: a firewall may have forgotten it. Of a server that is
    // slow but alive, replies to other calls keep it.
    socketTimeout: timeoutMs,
    reconnectOnError: afterFailover(),
  };
}

/**
 * The options of an ioredis Cluster client that fit sessions, for the reasons of {@link sessionRedisOptions}. A command that a node refuses
 * without carrying it out (`MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`) is sent again until `timeoutMs` is over; one whose response is lost is not.
 *
 * @param timeoutMs the longest that a call may take, as `backendTimeout`
 */
export function sessionClusterOptions(timeoutMs: number): SessionClusterOptions<object>;
/**
 * The same, with options for the connections to the nodes.
 *
 * @param timeoutMs the longest that a call may take, as `backendTimeout`
 * @param redisOptions what the connections to the nodes need besides, such as `password` and `tls`
 *
 * @example new RedisBackend(new Cluster([{ host: 'redis-1' }, { host: 'redis-2' }], sessionClusterOptions(1000, { password })))
 */
export function sessionClusterOptions<NodeOptions extends NonNullable<ClusterOptions['redisOptions']>>(
  timeoutMs: number,
  redisOptions: NodeOptions,
): SessionClusterOptions<NodeOptions>;
export function sessionClusterOptions(
  timeoutMs: number,
  redisOptions: NonNullable<ClusterOptions['redisOptions']> = {},
): SessionClusterOptions<object> {
  return {
    // Connected at once, replicas too: while a connection is being made, commands for it fail. The client has a way of its own to find a
    // node again that it lost, so the nodes' connections get none.
    redisOptions: { ...redisOptions, ...connectionOptions(timeoutMs), lazyConnect: false },
    enableOfflineQueue: false,
    // The Cluster client sends again by itself what was under way when a connection broke; the nodes' options do not stop it.
    retryDelayOnFailover: 0,
    retryDelayOnTryAgain: REFUSED_PAUSE_MS,
    retryDelayOnClusterDown: REFUSED_PAUSE_MS,
    maxRedirections: USUAL_REDIRECTIONS + HOPS_OF_A_TRY * Math.ceil(timeoutMs / REFUSED_PAUSE_MS),
    slotsRefreshTimeout: timeoutMs,
    clusterRetryStrategy: reconnectPause,
  };
}

/**
 * A master that became a replica: look for the new one. Less and less often while the server stays one, because each time the reads have to wait
 * for the new connection; and once for all writes that it has refused, as ioredis makes a timer and a listener for each.
 */
function afterFailover(): (error: Error) => boolean {
  let searches = 0;
  let nextAt = -Infinity;
  return ({ message }) => {
    const now = performance.now();
    if (!isOfReplica(message) || now < nextAt) return false;
    // The last failover is over.
    if (now - nextAt > LONGEST_SEARCH_PAUSE_MS) searches = 0;
    nextAt = now + backoffMs(++searches, FIRST_SEARCH_PAUSE_MS, LONGEST_SEARCH_PAUSE_MS);
    return true;
  };
}

/** Redis before 7 wraps the error of a script. */
function isOfReplica(message: string): boolean {
  return message.startsWith('READONLY') || message.includes('-READONLY');
}

/** Milliseconds before the next attempt to connect. */
export function reconnectPause(attempt: number): number {
  return backoffMs(attempt, FIRST_RECONNECT_PAUSE_MS, LONGEST_RECONNECT_PAUSE_MS);
}
