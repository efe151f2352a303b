import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';

import { isCluster, isDatabase } from './redis-connection.js';

/** What is wrong with the options of a client that the application made. */
interface ClientFaults {
  /** Options with which promises would be broken. */
  readonly refused: string[];
  /** Options with which failures are found out late, or cost more than they must. */
  readonly warned: string[];
}

const REPLICA_IS_BEHIND = 'a replica may still have a session that was ended, or not yet a new one';

/** @param timeoutMs the longest that a call may take, as `backendTimeout` */
export function inspectClient(client: Redis | Cluster, timeoutMs: number): ClientFaults {
  return isCluster(client) ? inspectCluster(client.options, timeoutMs) : inspectServer(client.options, timeoutMs);
}

function inspectServer(options: RedisOptions, timeoutMs: number): ClientFaults {
  const { refused, warned } = inspectConnection(options, timeoutMs);
  if (!isDatabase(options.db)) {
    refused.push('db must be the number of a database: ioredis goes on in database 0 with anything else');
  }
  if (options.role === 'slave') refused.push(`role must be "master": ${REPLICA_IS_BEHIND}`);
  if (options.maxRetriesPerRequest !== 0) warned.push('maxRetriesPerRequest should be 0');
  return { refused, warned };
}

function inspectCluster(options: ClusterOptions, timeoutMs: number): ClientFaults {
  const { clusterNodeRetryStrategy } = options;
  // JavaScript may have put null there, which ioredis accepts.
  const redisOptions: NonNullable<ClusterOptions['redisOptions']> = options.redisOptions ?? {};
  const reconnects = typeof clusterNodeRetryStrategy === 'function';
  const inEffect = {
    ...redisOptions,
    keyPrefix: options.keyPrefix ?? redisOptions.keyPrefix,
    enableOfflineQueue: options.enableOfflineQueue,
    // A connection that is not made again sends nothing again.
    autoResendUnfulfilledCommands: reconnects && redisOptions.autoResendUnfulfilledCommands,
  };
  const { refused, warned } = inspectConnection(inEffect, timeoutMs);
  if (options.retryDelayOnFailover !== 0) {
    refused.push('retryDelayOnFailover must be 0: a Cluster client sends a write again whose reply was lost');
  }
  if ((redisOptions.db ?? 0) !== 0) refused.push('redisOptions.db must be left out: a cluster has database 0 only');
  if (options.scaleReads !== 'master') refused.push(`scaleReads must be "master": ${REPLICA_IS_BEHIND}`);
  return { refused, warned };
}

/** Of a server, or of the nodes of a cluster. */
function inspectConnection(options: RedisOptions, timeoutMs: number): ClientFaults {
  const refused: string[] = [];
  if (/[{}]/.test(options.keyPrefix ?? '')) {
    refused.push('keyPrefix must not contain braces: they decide which slot a key lies in');
  }
  if (options.stringNumbers === true) refused.push('stringNumbers must be false: the scripts return numbers');
  if (options.autoResendUnfulfilledCommands !== false) {
    refused.push('autoResendUnfulfilledCommands must be false: a write whose reply was lost would be done twice');
  }

  const warned: string[] = [];
  if (options.enableOfflineQueue !== false) {
    warned.push('enableOfflineQueue should be false: calls wait for a server that is down');
  }
  if (options.commandTimeout === undefined || options.commandTimeout > timeoutMs) {
    warned.push(`commandTimeout should be set, to at most backendTimeout (${timeoutMs})`);
  }
  if (options.socketTimeout === undefined || options.socketTimeout > timeoutMs) {
    warned.push(
      `socketTimeout should be set, to at most backendTimeout (${timeoutMs}): a connection that has died without a word is used for so long`,
    );
  }
  return { refused, warned };
}
