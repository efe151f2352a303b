import { once } from 'node:events';

import { pipeline, sessionx } from './contestants.js';
import type { BurstMessage, BurstRate, BurstReply } from './burst.js';

const [name, redisUrl = '', limit] = process.argv.slice(2);
const contestant = name === 'sessionx' ? await sessionx(redisUrl, Number(limit)) : await pipeline(redisUrl);

process.on('message', ({ clients, logins, prefix }: BurstMessage) => {
  void burst(clients, logins, prefix).then(reply);
});
reply('ready');
await once(process, 'disconnect');
await contestant.close();

async function burst(clients: number, logins: number, prefix: string): Promise<BurstRate> {
  let made = 0;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const client = async (): Promise<void> => {
    while (made < logins) await contestant.logIn(`${prefix}-${made++}`);
  };
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { perSecond: logins / seconds, cpuUs: (user + system) / logins };
}

function reply(message: BurstReply): void {
  process.send?.(message);
}
