import type { Redis } from 'ioredis';

import { isRefused } from '../redis-refusal.js';
import { PASSED, type Finding, type ReadinessCheck } from './readiness-check.js';

/**
 * Whether the connection is in the database that was requested. ioredis takes a SELECT that the server refuses for one warning, and goes on
 * in database 0, with the sessions of another application perhaps.
 *
 * `CLIENT INFO` changes nothing on a client of the application's. A user who may not run it may at least run the SELECT that the
 * connection began with: a second one tells the same.
 */
export function databaseCheck(client: Redis, database: number): ReadinessCheck {
  return {
    runs: 'each-connection',
    gatesEachConnection: true,
    mended: `Redis: the connection is in database ${database}.`,
    run: async () => {
      try {
        const info = await client.client('INFO');
        const [, found] = /\bdb=(\d+)/.exec(info) ?? [];
        if (found !== undefined) return Number(found) === database ? PASSED : elsewhere(database);
      } catch (error) {
        if (!isRefused(error)) return unchecked(database);
      }
      return selectAgain(client, database);
    },
  };
}

async function selectAgain(client: Redis, database: number): Promise<Finding> {
  try {
    await client.select(database);
    return PASSED;
  } catch (error) {
    // Any error reply: the server is there and says no.
    return error instanceof Error && error.name === 'ReplyError' ? elsewhere(database) : unchecked(database);
  }
}

function elsewhere(database: number): Finding {
  return {
    outcome: 'failed',
    effect: 'refused',
    report:
      `Redis did not give database ${database}, so its sessions are not used and requests for them get 503. Name a database that the ` +
      'server has (its setting `databases`, 16 by default; a cluster and most proxies have only 0), and let the user run SELECT.',
  };
}

function unchecked(database: number): Finding {
  return { outcome: 'undetermined', refusal: `It is not known yet whether Redis is in database ${database}.` };
}
