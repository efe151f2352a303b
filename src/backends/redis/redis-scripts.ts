import type { Cluster, Redis } from 'ioredis';
import { hash } from 'node:crypto';

import type { DeleteResult } from '../session-backend.interface.js';
import { CREATE } from './scripts/create.js';
import { DELETE_BY_USER } from './scripts/delete-by-user.js';
import { DELETE } from './scripts/delete.js';
import { EVICT } from './scripts/evict.js';
import { LIST_BY_USER } from './scripts/list-by-user.js';
import { READ } from './scripts/read.js';
import { REPLACE } from './scripts/replace.js';
import { ALLOW_UNDECLARED_KEYS } from './scripts/script-parts.js';
import { SERVER_TIME } from './scripts/server-time.js';
import { SWEEP } from './scripts/sweep.js';
import { TOUCH } from './scripts/touch.js';

/** The short arguments of a script: numbers, versions, members of an index. None has a comma, as they are sent joined by it. */
export type Words = readonly (string | number)[];
/** A later version of this module has stored what would have to be changed: nothing was done. */
type Newer = 'newer';

/** The scripts; each takes its key, then its short arguments (ARGV), then the records and payloads (TEXT). */
export interface RedisScripts {
  sessionxCreate(record: string, words: Words, ...texts: string[]): Promise<[outcome: string, ...evicted: string[]]>;
  sessionxReplace(
    record: string,
    words: Words,
    payload: string,
  ): Promise<'replaced' | 'changed' | 'missing' | 'late' | Newer>;
  sessionxTouch(record: string, words: Words): Promise<'touched' | 'missing' | Newer>;
  sessionxDelete(record: string, words: readonly [version: string]): Promise<DeleteResult | Newer>;
  sessionxListByUser(
    index: string,
    words: readonly [set: string, cursor: string, now: number],
  ): Promise<[cursor: string, isEnding: '0' | '1', ...memberAndRecord: string[]]>;
  sessionxDeleteByUser(
    index: string,
    words: readonly [except: string, now: number],
  ): Promise<['ended' | 'moved' | 'unfinished' | Newer, ...members: string[]]>;
  sessionxSweep(index: string, words: readonly [now: number]): Promise<['more' | 'done' | Newer, ...members: string[]]>;
  sessionxEvict(
    index: string,
    words: readonly [most: number, rejects: '1' | '0', keep: string, now: number],
  ): Promise<['room' | 'more' | 'full' | Newer, ...members: string[]]>;
  sessionxServerTime(record: string): Promise<'ok'>;
  sessionxRead(record: string): Promise<['string', text: string] | ['missing' | 'foreign']>;
}

// One key each, also where a script works on more: see RECORD_HEAD.
const SCRIPTS = {
  sessionxCreate: CREATE,
  sessionxReplace: REPLACE,
  sessionxTouch: TOUCH,
  sessionxDelete: DELETE,
  sessionxListByUser: LIST_BY_USER,
  sessionxDeleteByUser: DELETE_BY_USER,
  sessionxEvict: EVICT,
  sessionxSweep: SWEEP,
  sessionxServerTime: SERVER_TIME,
  sessionxRead: READ,
} as const satisfies Record<keyof RedisScripts, string>;

/** What the replies bring beside their results. */
interface ScriptEvents {
  /** The reply to a script with `key` has just come. @param serverTime of the server that ran it, ms since the epoch */
  onServerTime(key: string, serverTime: number): void;
  /** A reply to another call came. Returns what the call fails with: whether it was carried out is unknown. */
  outOfStep(): Error;
  /** A key holds a value of a type that no script stores there. Returns what the call fails with. */
  foreignValue(key: string): Error;
}

/**
 * The scripts as functions. Each is sent in full at first, then by its hash, and again in full where the server does not know it (any more).
 * `defineCommand()` does so too; but it leaves its commands on a client of the application's, and makes more promises for each call.
 *
 * Redis replies in order and names no call: one reply too many, and each call gets that of the call before it. A write would so be taken for
 * done that was refused, and a session for gone that lives. So each call carries a number of its own, which its reply begins with.
 */
export function scriptsOn(client: Redis | Cluster, events: ScriptEvents): RedisScripts {
  const inCluster = client.isCluster ? '1' : '0';
  let calls = 0;
  const functions = Object.entries(SCRIPTS).map(([name, body]) => {
    const lua = repliesToItsCall(body);
    const sha = hash('sha1', lua);
    let isKnown = false;
    const script = (key: string, words: Words = [], ...texts: string[]): Promise<unknown> => {
      const call = String(++calls);
      // Joined, as each argument of a command costs as much as all of these.
      const argv = [...words, inCluster, call, ''].join(',');
      const result = (reply: unknown): unknown => {
        if (!Array.isArray(reply) || reply[0] !== call) throw events.outOfStep();
        const [, outcome, serverTime] = reply as unknown[];
        if (typeof serverTime === 'number') events.onServerTime(key, serverTime);
        return outcome;
      };
      const failed = (error: unknown): never => {
        throw isWrongType(error) ? events.foreignValue(key) : error;
      };
      const inFull = (): Promise<unknown> => client.eval(lua, 1, key, argv, ...texts);
      const sent = isKnown ? client.evalsha(sha, 1, key, argv, ...texts) : inFull();
      isKnown = true;
      return sent.then(result, (error: unknown) =>
        isUnknownScript(error) ? inFull().then(result, failed) : failed(error),
      );
    };
    return [name, script];
  });
  return Object.fromEntries(functions) as RedisScripts;
}

/** An error stays one, for the client of a cluster to read (TRYAGAIN). */
function repliesToItsCall(lua: string): string {
  return `${ALLOW_UNDECLARED_KEYS}
local words = table.remove(ARGV, 1)
local TEXT = ARGV
local ARGV = {}
for word in string.gmatch(words, '([^,]*),') do ARGV[#ARGV + 1] = word end
local call = table.remove(ARGV)
local inCluster = table.remove(ARGV) == '1'
local serverTime
local function run()
${lua}
end
local reply = run()
if type(reply) == 'table' and reply.err then return reply end
return {call, reply, serverTime}
`;
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.includes('NOSCRIPT');
}

/** Redis before 7 wraps the error of a script. */
export function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}
