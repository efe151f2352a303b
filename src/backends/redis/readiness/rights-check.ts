import type { Cluster, Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';

import { refusedCommand } from '../../driver-failure.js';
import { isRefused } from '../redis-refusal.js';
import { ALLOW_UNDECLARED_KEYS } from '../scripts/script-parts.js';
import { PASSED, UNDETERMINED, type Finding, type ReadinessCheck } from './readiness-check.js';

const TAG_BYTES = 12;
const KEYS_REFUSED = 'keys';

/** Every command that the scripts of the backend need, with arguments that do no harm to two keys of the probe, `text` and `set`. */
export const PROBED_COMMANDS = {
  DEL: 'text',
  EXISTS: 'text',
  GET: 'text',
  GETRANGE: 'text, 0, 0',
  PEXPIRE: 'text, 1000',
  PTTL: 'text',
  RENAME: 'set, set',
  SET: "text, 'probe', 'PX', 1000",
  SETRANGE: "text, 0, ''",
  TIME: '',
  ZADD: "set, 1, 'member'",
  ZCARD: 'set',
  ZRANGEBYSCORE: 'set, 0, 0',
  ZREM: "set, 'member'",
  ZSCAN: 'set, 0',
  ZSCORE: "set, 'member'",
} as const satisfies Record<string, string>;

/**
 * Tries each command, and counts only what can never work: a user without the right, a server without the command. That a server is full or
 * read-only passes.
 *
 * KEYS 1 a key of the probe
 *
 * Returns the names of the refused commands, and 'keys' where the user may not touch the keys.
 */
const PROBE = `${ALLOW_UNDECLARED_KEYS}
local text = KEYS[1]
local set = KEYS[1] .. 's'
local refused = {}
local function try(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) ~= 'table' or not reply.err then return end
  if string.find(reply.err, 'at least one of the keys', 1, true) or string.find(reply.err, 'access one of the keys', 1, true) then
    refused[1] = '${KEYS_REFUSED}'
  elseif string.find(reply.err, 'NOPERM', 1, true) or string.find(reply.err, "can't run this command", 1, true)
    or string.find(reply.err, 'Unknown Redis command', 1, true) then
    refused[#refused + 1] = name
  end
end
${Object.entries(PROBED_COMMANDS)
  .map(([name, args]) => `try('${name}'${args === '' ? '' : `, ${args}`})`)
  .join('\n')}
redis.pcall('DEL', text, set)
return refused
`;

/**
 * Whether the user may run what the backend needs, so that a missing right is in the log by its name at the start, and not found out by the
 * first user who logs in. Calls are not refused: a service that only reads sessions may do with a user who may only read.
 *
 * @param keyPrefix the prefix of the backend; a client adds its own to it
 */
export function rightsCheck(client: Redis | Cluster, keyPrefix: string): ReadinessCheck {
  return {
    runs: 'until-passed',
    gatesEachConnection: false,
    mended: 'The Redis user has all rights that sessions need.',
    run: async () => {
      const key = `${keyPrefix}{${randomBytes(TAG_BYTES).toString('base64url')}}probe`;
      try {
        // In one batch: of its own, as of a service that only reads, GET may be all there is.
        const [reading, probing] = await Promise.all([
          refusalOf(client.get(key)),
          refusalOf(client.eval(PROBE, 1, key)),
        ]);
        const refused = new Set([...reading, ...probing]);
        return refused.size === 0 ? PASSED : lacking([...refused], keyPrefix);
      } catch {
        return UNDETERMINED;
      }
    },
  };
}

/** @throws what the call failed with, if that may pass */
async function refusalOf(call: Promise<unknown>): Promise<string[]> {
  try {
    const reply = await call;
    return Array.isArray(reply) ? reply.map((name) => String(name).toLowerCase()) : [];
  } catch (error) {
    if (!isRefused(error)) throw error;
    return [refusedCommand(error) ?? KEYS_REFUSED];
  }
}

function lacking(refused: readonly string[], keyPrefix: string): Finding {
  const commands = refused.filter((name) => name !== KEYS_REFUSED).sort();
  const keys = refused.includes(KEYS_REFUSED) ? [`touch keys that begin with ${JSON.stringify(keyPrefix)}`] : [];
  const missing = [...(commands.length > 0 ? [`run ${commands.join(', ')}`] : []), ...keys].join(', nor ');
  const grants = [...commands.map((name) => `+${name}`), ...(keys.length > 0 ? [`~${keyPrefix}*`] : [])].join(' ');
  return {
    outcome: 'failed',
    effect: 'reported',
    report:
      `The Redis user may not ${missing}; requests that need it get 503. Grant it (ACL SETUSER <user> ${grants}), and where a command was ` +
      'renamed or does not exist, use a server that has it.',
  };
}
