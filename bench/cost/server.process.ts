// Serves one variant, and counts what its requests make. Arguments: platform, variant, URL of Redis, address of Memcached.
import { createHook } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';

import type { Platform } from '../http/apps/app-definition.js';
import { serve } from '../http/serve.js';
import type { Counts, CostMessage } from './messages.js';

const [platform, variant, redisUrl, memcachedAddress] = process.argv.slice(2) as [Platform, string, string, string];
const port = await serve(platform, variant, { redisUrl, memcachedAddress });

const counts = { promises: 0, timers: 0 };
const hook = createHook({
  init: (_id, type) => {
    if (type === 'PROMISE') counts.promises++;
    else if (type === 'Timeout') counts.timers++;
  },
});

process.on('message', (message: CostMessage) => {
  void handle(message).then((reply) => process.send?.(reply));
});
process.on('disconnect', () => process.exit());
process.send?.({ port });

async function handle(message: CostMessage): Promise<Counts | { readonly heapBytes: number }> {
  switch (message.ask) {
    case 'count':
      counts.promises = 0;
      counts.timers = 0;
      hook.enable();
      return { ...counts };
    case 'counts': {
      const made = { ...counts };
      hook.disable();
      return made;
    }
    case 'collect':
      // What earlier requests have left behind must not be collected while the next ones are measured.
      for (let round = 0; round < 3; round++) {
        globalThis.gc?.();
        await turn();
      }
      return { heapBytes: process.memoryUsage().heapUsed };
    case 'heap':
      return { heapBytes: process.memoryUsage().heapUsed };
  }
}
