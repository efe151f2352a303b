import cluster from 'node:cluster';

/** What the log says of sessions in memory where they may be missed; null: nothing. */
export function warningFor({ NODE_ENV, NODE_APP_INSTANCE }: NodeJS.ProcessEnv): string | null {
  // PM2 numbers its processes by that variable, also those that are no workers of a cluster.
  if (cluster.isWorker || (NODE_APP_INSTANCE ?? '') !== '') {
    return 'Sessions are in the memory of this process, which seems to be one of several: a request that another one gets finds no session, and is a 401. Pass a backend that they share, such as RedisBackend or MemcachedBackend.';
  }
  if (NODE_ENV === 'production') {
    return 'Sessions are in the memory of this process: a restart ends them, and other processes do not see them.';
  }
  return null;
}
