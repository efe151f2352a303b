import type { Redis } from 'ioredis';

import { userIdOf } from './sessions.js';

const KEYS_PER_SCAN = '1000';

/**
 * Logs a user out without an index: reads every session. Made as fast as possible: the GETs for a page of keys go in one pipeline, and Redis
 * returns only keys with a string value.
 */
export async function logOutByScan(client: Redis, keyPrefix: string, userId: string): Promise<number> {
  let ended = 0;
  let cursor = '0';
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', `${keyPrefix}*`, 'COUNT', KEYS_PER_SCAN, 'TYPE', 'string');
    const pipeline = client.pipeline();
    for (const key of keys) pipeline.get(key);
    const replies = (await pipeline.exec()) ?? [];
    const theirs = keys.filter((_, position) => {
      const text = replies[position]?.[1];
      return typeof text === 'string' && userIdOf(text) === userId;
    });
    if (theirs.length > 0) ended += await client.del(...theirs);
    cursor = next;
  } while (cursor !== '0');
  return ended;
}
