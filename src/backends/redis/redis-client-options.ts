import type { Cluster, Redis, RedisOptions } from 'ioredis';

const LONGEST_RECONNECT_PAUSE_MS = 1000;
const SHORTEST_SOCKET_TIMEOUT_MS = 1000;

/**
 * The options of an ioredis client that fit sessions. ioredis's own suit a cache: with them a call to a server that hangs never returns, and
 * a write whose answer is lost is sent again and done twice.
 *
 * @param timeoutMs the longest that a call may take, as `backendTimeout`
 */
export function sessionRedisOptions(timeoutMs: number): RedisOptions {
  return {
    // A command for a connection that is down fails at once. In a queue it would run after its caller was told that it failed.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: timeoutMs,
    connectTimeout: timeoutMs,
    // Cuts a connection whose server has stopped answering, so that the next calls need not wait for it.
    socketTimeout: Math.max(2 * timeoutMs, SHORTEST_SOCKET_TIMEOUT_MS),
    retryStrategy: (attempt) => Math.min(2 ** attempt * 25, LONGEST_RECONNECT_PAUSE_MS) * (0.5 + Math.random() / 2),
    // A master that became a replica: look for the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

/** What is wrong with the options of a client that the application made. */
export interface ClientFaults {
  /** Options with which promises would be broken. */
  readonly refused: readonly string[];
  /** Options with which failures are found out late, or cost more than they must. */
  readonly warned: readonly string[];
}

export function inspectClient(client: Redis | Cluster, timeoutMs: number): ClientFaults {
  const options: RedisOptions = isCluster(client) ? (client.options.redisOptions ?? {}) : client.options;
  const refused: string[] = [];
  const warned: string[] = [];

  const keyPrefix = client.options.keyPrefix ?? options.keyPrefix ?? '';
  if (/[{}]/.test(keyPrefix)) refused.push('keyPrefix must not contain braces: they decide which slot a key lies in');
  if (isCluster(client)) {
    if (client.options.retryDelayOnFailover !== 0) {
      refused.push('retryDelayOnFailover must be 0: a Cluster client sends a write again whose answer was lost');
    }
  } else if (options.autoResendUnfulfilledCommands !== false) {
    refused.push('autoResendUnfulfilledCommands must be false: a write whose answer was lost would be done twice');
  }

  const offlineQueue = isCluster(client) ? client.options.enableOfflineQueue : options.enableOfflineQueue;
  if (offlineQueue !== false) warned.push('enableOfflineQueue should be false: calls wait for a server that is down');
  if (!isCluster(client) && options.maxRetriesPerRequest !== 0) warned.push('maxRetriesPerRequest should be 0');
  if (options.commandTimeout === undefined || options.commandTimeout > timeoutMs) {
    warned.push(`commandTimeout should be set, to at most backendTimeout (${timeoutMs})`);
  }
  if (options.socketTimeout === undefined) {
    warned.push('socketTimeout should be set: the connection to a server that hangs is kept without it');
  }
  return { refused, warned };
}

function isCluster(client: Redis | Cluster): client is Cluster {
  return client.isCluster;
}
