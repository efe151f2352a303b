import { Redis } from 'ioredis';
import { encodeRecord, type SessionRecord } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { setTimeout } from 'node:timers/promises';

import { RedisServer } from '../support/redis-server.js';
import { sessionsOf, TTL_MS } from './sessions.js';

export const KEY_PREFIX = 'app:';
const SESSIONS_PER_USER = 5;
const SESSIONS_PER_PIPELINE = 2_000;
const TIMEOUT_MS = 5_000;
/** So often Redis looks after its tables in a second: the most that it allows, and its default. */
const [BUSY_HZ, DEFAULT_HZ] = [500, 10];

/** A Redis that holds the sessions of other users, and the backend on it. */
export class PopulatedRedis {
  static async start(others: number): Promise<PopulatedRedis> {
    const server = await RedisServer.start('--enable-debug-command', 'local');
    const client = new Redis(server.url);
    const backend = new RedisBackend(server.url);
    const populated = new PopulatedRedis(others, server, client, backend);
    try {
      const logger = { log: () => undefined, warn: console.warn, error: console.error };
      await backend.open({ keyPrefix: KEY_PREFIX, timeoutMs: TIMEOUT_MS, clock: { now: () => Date.now() }, logger });
      await populated.#fill();
      await populated.#settle();
      return populated;
    } catch (error) {
      await populated.stop();
      throw error;
    }
  }

  private constructor(
    readonly others: number,
    private readonly server: RedisServer,
    readonly client: Redis,
    readonly backend: RedisBackend,
  ) {}

  async logIn(sessions: readonly SessionRecord[]): Promise<void> {
    for (const record of sessions) await this.backend.create(record, { timeoutMs: TIMEOUT_MS });
  }

  /** How many commands Redis ran while `work` did, those within scripts included. */
  async commandsOf(work: () => Promise<void>): Promise<number> {
    const before = await this.server.totalCalls();
    await work();
    return (await this.server.totalCalls()) - before;
  }

  async stop(): Promise<void> {
    this.client.disconnect();
    await this.backend.close();
    await this.server.stop();
  }

  /** Writes what the backend would, many sessions at a time, and lets the backend confirm it. */
  async #fill(): Promise<void> {
    let last: SessionRecord[] = [];
    for (let filled = 0; filled < this.others;) {
      const pipeline = this.client.pipeline();
      const until = Math.min(this.others, filled + SESSIONS_PER_PIPELINE);
      while (filled < until) {
        last = sessionsOf(`other-${filled}`, Math.min(SESSIONS_PER_USER, until - filled));
        const index = `${KEY_PREFIX}{${last[0]!.userTag}}`;
        for (const record of last) pipeline.set(index + record.id.slice(16), encodeRecord(record), 'PX', TTL_MS);
        pipeline.zadd(index, ...last.flatMap(indexEntries));
        pipeline.pexpire(index, TTL_MS);
        filled += last.length;
      }
      await pipeline.exec();
    }
    const listed = await this.backend.listByUser(last[0]!.userTag!);
    if (listed.length !== last.length) throw new Error('The backend does not know the sessions that were filled in.');
  }

  /**
   * Waits until the tables of the keys have their size. While Redis moves them to larger ones, which takes half a minute for a million
   * keys when nobody hurries, each command moves a part of them too: that is the cost of the filling, and not of so many sessions.
   */
  async #settle(): Promise<void> {
    await this.client.config('SET', 'hz', BUSY_HZ);
    while (String(await this.client.call('DEBUG', 'HTSTATS', '0')).includes('rehashing target')) await setTimeout(50);
    await this.client.config('SET', 'hz', DEFAULT_HZ);
  }
}

/** As the backend enters a session into the index of its user. */
function indexEntries({ id, expiresAt, lastAccessed }: SessionRecord): (string | number)[] {
  const member = id.slice(16);
  return [expiresAt, member, 1e14 + lastAccessed, `~${member}`];
}
