import type { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';

import { ALLOW_UNDECLARED_KEYS } from '../scripts/script-parts.js';
import { PASSED, UNDETERMINED, type Finding, type ReadinessCheck } from './readiness-check.js';

/** Of two servers, a whole-key hash puts all pairs of so many on one by chance once in 65,536 times. */
const PROBED_TAGS = 16;
const TAG_BYTES = 12;
const SECRET_BYTES = 32;
/** So that probes of a process that dies are gone. */
const PROBE_LIFETIME_MS = 30_000;

/**
 * Writes the key of an index, which is not declared, as the scripts of the backend do. A write that is refused is no error reply: ioredis
 * would make a new connection because of one.
 *
 * KEYS 1 the key of a record
 * ARGV 1 lifetime in ms
 */
const WRITE = `${ALLOW_UNDECLARED_KEYS}
local reply = redis.pcall('SET', string.sub(KEYS[1], 1, -44), 'probe', 'PX', ARGV[1])
if reply.err then return 0 end
return 1
`;

/** Whether the key of the index is there for a script that declares the one of the record: 1 or 0. */
const LOOK = `${ALLOW_UNDECLARED_KEYS}
return redis.call('EXISTS', string.sub(KEYS[1], 1, -44))
`;

const REMOVE = `${ALLOW_UNDECLARED_KEYS}
return redis.call('DEL', string.sub(KEYS[1], 1, -44))
`;

/**
 * Whether all keys of one tag lie on one server. A proxy that spreads them by the whole key runs a script where its declared key lies: the
 * index of a user is then somewhere else than the sessions, and logging out everywhere misses some.
 *
 * @param keyPrefix the prefix of the backend; a client adds its own to it
 */
export function shardingCheck(client: Redis, keyPrefix: string): ReadinessCheck {
  return {
    runs: 'until-passed',
    gatesEachConnection: false,
    mended: 'Redis keeps all keys of a user on one server.',
    run: async () => {
      const probes = Array.from({ length: PROBED_TAGS }, () => newProbe(keyPrefix));
      try {
        const missed = await Promise.all(probes.map((probe) => misses(client, probe)));
        return missed.includes(true) ? spread(missed.filter(Boolean).length) : PASSED;
      } catch {
        return UNDETERMINED;
      } finally {
        await Promise.allSettled(probes.map(({ record }) => client.eval(REMOVE, 1, record)));
      }
    },
  };
}

/**
 * Whether a plain read misses what a script has written, and a script still finds: then it was not evicted or lost in a failover.
 *
 * @throws Error when it could not be found out
 */
async function misses(client: Redis, { record, index }: Probe): Promise<boolean> {
  if ((await client.eval(WRITE, 1, record, PROBE_LIFETIME_MS)) !== 1) throw new Error('The probe was not written.');
  if ((await client.get(index)) !== null) return false;
  if ((await client.eval(LOOK, 1, record)) !== 1) throw new Error('The probe was lost.');
  return true;
}

/** Of the form of the real keys: a proxy may hash keys that are almost the same to one place. Its tag is no user's. */
interface Probe {
  readonly record: string;
  readonly index: string;
}

function newProbe(keyPrefix: string): Probe {
  const index = `${keyPrefix}{${randomText(TAG_BYTES)}}`;
  return { index, record: index + randomText(SECRET_BYTES) };
}

function randomText(bytes: number): string {
  return randomBytes(bytes).toString('base64url');
}

function spread(missed: number): Finding {
  return {
    outcome: 'failed',
    effect: 'boot-refused',
    report:
      `Redis keeps the keys of one user on different servers (${missed} of ${PROBED_TAGS} probe keys were not where a script had written ` +
      'them): a proxy in between spreads keys by the whole key, and logging out everywhere would miss sessions. Let it hash by what stands in ' +
      'braces only (twemproxy: hash_tag: "{}"; Envoy: enable_hashtagging: true), or connect to one Redis, Sentinel or Redis Cluster directly.',
  };
}
