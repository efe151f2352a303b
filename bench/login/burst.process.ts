import { once } from 'node:events';

import { pipeline, sessionx } from './contestants.js';
import type { BurstMessage, BurstReply } from './burst.js';

const [name, redisUrl = '', limit] = process.argv.slice(2);
const contestant = name === 'sessionx' ? await sessionx(redisUrl, Number(limit)) : await pipeline(redisUrl);

process.on('message', ({ clients, logins, prefix }: BurstMessage) => {
  void burst(clients, logins, prefix).then((perSecond) => reply({ perSecond }));
});
reply({ perSecond: 0 });
await once(process, 'disconnect');
await contestant.close();

/** Sessions made per second by so many clients. */
async function burst(clients: number, logins: number, prefix: string): Promise<number> {
  let made = 0;
  const startedAt = performance.now();
  const client = async (): Promise<void> => {
    while (made < logins) await contestant.logIn(`${prefix}-${made++}`);
  };
  await Promise.all(Array.from({ length: clients }, client));
  return logins / ((performance.now() - startedAt) / 1000);
}

function reply(message: BurstReply): void {
  process.send?.(message);
}
