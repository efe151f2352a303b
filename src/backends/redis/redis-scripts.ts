import type { Cluster, Redis } from 'ioredis';

import { CREATE } from './scripts/create.js';
import { DELETE_BY_USER } from './scripts/delete-by-user.js';
import { DELETE } from './scripts/delete.js';
import { EVICT } from './scripts/evict.js';
import { LIST_BY_USER } from './scripts/list-by-user.js';
import { REPLACE } from './scripts/replace.js';
import { SCAN_HEADS } from './scripts/scan-heads.js';
import { SERVER_TIME } from './scripts/server-time.js';
import { TOUCH } from './scripts/touch.js';

type Argument = string | number;
/** A later version of this module has stored what would have to be changed: nothing was done. */
type Newer = 'newer';

/** The scripts as commands of the client; each takes its key, then its arguments. */
export interface RedisScripts {
  sessionxCreate(record: string, ...args: Argument[]): Promise<[outcome: string, ...evicted: string[]]>;
  sessionxReplace(record: string, ...args: Argument[]): Promise<'replaced' | 'changed' | 'missing' | 'late' | Newer>;
  sessionxTouch(record: string, ...args: Argument[]): Promise<'touched' | 'missing' | Newer>;
  sessionxDelete(record: string, ...args: Argument[]): Promise<'deleted' | 'changed' | 'missing' | Newer>;
  sessionxListByUser(index: string, now: number): Promise<string[]>;
  sessionxDeleteByUser(index: string, except: string, now: number): Promise<['ended' | Newer, ...members: string[]]>;
  sessionxScanHeads(index: string, cursor: string): Promise<[cursor: string, ...memberAndHead: string[]]>;
  sessionxEvict(index: string, ...memberAndLastAccessed: string[]): Promise<string[]>;
  sessionxServerTime(record: string): Promise<number>;
}

// One key each, also where a script works on more: see RECORD_HEAD.
const SCRIPTS = {
  sessionxCreate: { numberOfKeys: 1, lua: CREATE },
  sessionxReplace: { numberOfKeys: 1, lua: REPLACE },
  sessionxTouch: { numberOfKeys: 1, lua: TOUCH },
  sessionxDelete: { numberOfKeys: 1, lua: DELETE },
  sessionxListByUser: { numberOfKeys: 1, lua: LIST_BY_USER },
  sessionxDeleteByUser: { numberOfKeys: 1, lua: DELETE_BY_USER },
  sessionxScanHeads: { numberOfKeys: 1, lua: SCAN_HEADS },
  sessionxEvict: { numberOfKeys: 1, lua: EVICT },
  sessionxServerTime: { numberOfKeys: 1, lua: SERVER_TIME },
} as const satisfies Record<keyof RedisScripts, { numberOfKeys: number; lua: string }>;

/** Teaches `client` the scripts. ioredis sends a script by its hash, and in full where the server does not know it (any more). */
export function withScripts<Client extends Redis | Cluster>(client: Client): Client & RedisScripts {
  for (const [name, definition] of Object.entries(SCRIPTS)) client.defineCommand(name, definition);
  return client as Client & RedisScripts;
}
