import { RedisBackend, sessionClusterOptions } from 'nestjs-sessionx/redis';

import type { BackendUnderTest } from './backends.js';
import { RedisCluster } from './redis-cluster.js';

/** A Redis Cluster to run a suite on. */
export function redisCluster(): BackendUnderTest & { readonly cluster: RedisCluster } {
  let cluster: RedisCluster | undefined;
  const started = () => {
    if (cluster === undefined) throw new Error('start() comes first');
    return cluster;
  };
  return {
    name: 'redis cluster',
    get cluster() {
      return started();
    },
    start: async () => {
      cluster = await RedisCluster.start();
    },
    another: () => new RedisBackend(started().client(sessionClusterOptions(1000))),
    stop: async () => cluster?.stop(),
  };
}
