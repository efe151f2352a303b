// Serves one variant on a free port. Arguments: platform, variant, URL of Redis, address of Memcached.
import type { Platform } from './apps/app-definition.js';
import type { CpuUsed, Listening } from './messages.js';
import { serve } from './serve.js';

const [platform, name, redisUrl, memcachedAddress] = process.argv.slice(2) as [Platform, string, string, string];

process.on('message', () => {
  send(process.cpuUsage());
});
// The benchmark is through, or gone.
process.on('disconnect', () => process.exit());
send({ port: await serve(platform, name, { redisUrl, memcachedAddress }) });

function send(message: Listening | CpuUsed): void {
  process.send?.(message);
}
