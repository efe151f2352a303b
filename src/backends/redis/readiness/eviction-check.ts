import type { Cluster, Redis } from 'ioredis';

import { isRefused } from '../redis-refusal.js';
import { PASSED, UNDETERMINED, type Finding, type ReadinessCheck } from './readiness-check.js';

const NEVER_EVICTS = 'noeviction';

/** How a server treats its keys when its memory is full. */
interface MemoryPolicy {
  /** Bytes; 0: as much as there is. */
  readonly maxMemory: number;
  readonly policy: string;
}

/**
 * Whether Redis may evict keys. It would evict the index of a user's sessions, which reads never use, long before the sessions, and from then
 * on "log out everywhere" and the limit of sessions miss those that live.
 *
 * @param onEviction `refuse`: calls fail until it is mended
 * @param mayUseInfo false: the client is set up for a server or proxy that has no INFO, and some close the connection at it
 */
export function evictionCheck(
  client: Redis | Cluster,
  { onEviction, mayUseInfo }: { readonly onEviction: 'report' | 'refuse'; readonly mayUseInfo: boolean },
): ReadinessCheck {
  return {
    runs: 'each-connection',
    gatesEachConnection: onEviction === 'refuse',
    mended: 'Redis no longer evicts keys.',
    run: async () => {
      if (!mayUseInfo) return unavailable('the client has enableReadyCheck: false, which says that there is no INFO');
      try {
        const policies = await Promise.all(mastersOf(client).map(async (node) => policyOf(await node.info('memory'))));
        if (policies.includes(null)) return unavailable('its INFO does not tell maxmemory and maxmemory_policy');
        const evicting = policies.find((policy) => policy !== null && evicts(policy));
        return evicting ? failed(evicting, onEviction) : PASSED;
      } catch (error) {
        return isRefused(error) ? unavailable('it refuses INFO') : UNDETERMINED;
      }
    },
  };
}

function mastersOf(client: Redis | Cluster): Redis[] {
  return client.isCluster ? (client as Cluster).nodes('master') : [client as Redis];
}

function policyOf(info: string): MemoryPolicy | null {
  const [, maxMemory] = /^maxmemory:(\d+)/m.exec(info) ?? [];
  const [, policy] = /^maxmemory_policy:([\w-]+)/m.exec(info) ?? [];
  return maxMemory === undefined || policy === undefined ? null : { maxMemory: Number(maxMemory), policy };
}

/** All our keys have a lifetime, so the `volatile-` policies take them too. */
function evicts({ maxMemory, policy }: MemoryPolicy): boolean {
  return maxMemory > 0 && policy !== NEVER_EVICTS;
}

function failed({ maxMemory, policy }: MemoryPolicy, onEviction: 'report' | 'refuse'): Finding {
  const consequence =
    onEviction === 'refuse'
      ? 'Requests that need a session get 503 until it is mended (onEviction: "refuse"). '
      : 'It is used all the same (onEviction: "report"). ';
  return {
    outcome: 'failed',
    effect: onEviction === 'refuse' ? 'refused' : 'reported',
    report:
      `Redis evicts keys when it is full (maxmemory ${maxMemory}, maxmemory-policy ${policy}). It then drops the list of a user's sessions ` +
      `and keeps the sessions: logging out everywhere, maxSessionsPerUser and the list of devices miss living sessions. ${consequence}` +
      `Set maxmemory-policy ${NEVER_EVICTS} (CONFIG SET, redis.conf, or the parameters of your provider), or give sessions a Redis of their own.`,
  };
}

function unavailable(reason: string): Finding {
  return {
    outcome: 'unavailable',
    report:
      `It could not be checked whether Redis evicts keys: ${reason}. Make sure that its maxmemory-policy is ${NEVER_EVICTS}; ` +
      'with another one, logging out everywhere misses sessions.',
  };
}
