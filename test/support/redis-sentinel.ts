import type { Redis } from 'ioredis';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ServerProcess } from './processes.js';
import { adminOf, freePorts, until } from './redis-cluster.js';
import { RedisServer } from './redis-server.js';

const MASTER_NAME = 'sessions';
const DOWN_AFTER_MS = 1000;
const FAILOVER_TIMEOUT_MS = 5000;

/** A Redis under Sentinel, and a client for the test to steer it with. */
export interface WatchedRedis {
  readonly server: RedisServer;
  readonly admin: Redis;
}

/** A Redis master, two replicas, and three Sentinels that watch over them. */
export class RedisSentinels {
  readonly redis: WatchedRedis[] = [];
  readonly sentinels: ServerProcess[] = [];
  readonly #admins: Redis[] = [];

  static async start(): Promise<RedisSentinels> {
    const group = new RedisSentinels();
    try {
      await group.#start();
    } catch (error) {
      await group.stop();
      throw error;
    }
    return group;
  }

  /** For a client: `{ sentinels, name }`. */
  get addresses(): { sentinels: { host: string; port: number }[]; name: string } {
    return { sentinels: this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port })), name: MASTER_NAME };
  }

  /** The server that the Sentinels take for the master. */
  async master(): Promise<WatchedRedis> {
    for (const admin of this.#admins) {
      const address = await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME).catch(() => null);
      const found = this.redis.find(({ server }) => server.port === Number((address as string[] | null)?.[1]));
      if (found !== undefined) return found;
    }
    throw new Error('no Sentinel knows a master');
  }

  /** Resolves when a living server has what `master` has been told up to now. */
  async replicated({ admin }: WatchedRedis): Promise<void> {
    // WAIT counts what was written before on its own connection.
    await admin.set('written', 'x');
    await until('a replica has it all', async () => (await admin.wait(1, 1000)) > 0);
  }

  async stop(): Promise<void> {
    for (const admin of [...this.#admins, ...this.redis.map((redis) => redis.admin)]) admin.disconnect();
    for (const server of [...this.sentinels, ...this.redis.map((redis) => redis.server)]) {
      server.resume();
      await server.stop();
    }
  }

  async #start(): Promise<void> {
    const [port, ...others] = (await freePorts(6)) as [number, ...number[]];
    await this.#startRedis(port);
    for (const replica of others.slice(0, 2)) await this.#startRedis(replica, '--replicaof', '127.0.0.1', String(port));
    await until('the replicas have caught up', async () => {
      const info = await this.redis[0]!.admin.info('replication');
      return info.match(/state=online/g)?.length === 2;
    });
    for (const sentinel of others.slice(2)) await this.#startSentinel(sentinel, port);
    await until('the Sentinels know each other and the replicas', async () => {
      const infos = await Promise.all(this.#admins.map((admin) => admin.info('sentinel')));
      return infos.every((info) => /status=ok,address=[^,]+,slaves=2,sentinels=3/.test(info));
    });
  }

  async #startRedis(port: number, ...role: string[]): Promise<void> {
    const server = await RedisServer.startOn(port, '--repl-diskless-sync-delay', '0', ...role);
    this.redis.push({ server, admin: await adminOf(port) });
  }

  async #startSentinel(port: number, master: number): Promise<void> {
    const sentinel = new ServerProcess(port, 'redis-server', (folder) => {
      const file = join(folder, 'sentinel.conf');
      writeFileSync(file, sentinelConfig(port, folder, master));
      return [file, '--sentinel'];
    });
    this.sentinels.push(sentinel);
    await sentinel.start();
    this.#admins.push(await adminOf(port));
  }
}

function sentinelConfig(port: number, folder: string, master: number): string {
  return [
    ...[`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`],
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${master} 2`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER_NAME} ${FAILOVER_TIMEOUT_MS}`,
    '',
  ].join('\n');
}
