import { Cluster, Redis, type ClusterOptions } from 'ioredis';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from './processes.js';
import { RedisServer } from './redis-server.js';

const MASTERS = 3;
const SLOTS = 16_384;
const NODE_TIMEOUT_MS = 1000;
const PATIENCE_MS = 20_000;
const SETTLING_MS = 100;

/** Polls until `holds` says so. @param what for the error when it never does */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const started = Date.now();
  while (!(await holds())) {
    if (Date.now() - started > PATIENCE_MS) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}

/** Different ports of the loopback interface on which no process listens. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

/** A client to steer a server with, which fails at once when the server does not respond. */
export async function adminOf(port: number): Promise<Redis> {
  const admin = new Redis(port, '127.0.0.1', {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: 2000,
    socketTimeout: 2000,
    retryStrategy: () => 50,
  });
  // A server that the test has killed is looked for until it is back.
  admin.on('error', () => undefined);
  await once(admin, 'ready');
  return admin;
}

/** A server of the cluster, and a client for the test to steer it with. */
export interface ClusterNode {
  readonly server: RedisServer;
  readonly admin: Redis;
  readonly id: string;
}

/** A Redis Cluster of three masters with a replica each, on ports of its own. */
export class RedisCluster {
  readonly nodes: ClusterNode[] = [];
  readonly #clients: Cluster[] = [];

  static async start(): Promise<RedisCluster> {
    const cluster = new RedisCluster();
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** A client as an application makes it; closed with the cluster. */
  client(options: ClusterOptions): Cluster {
    const client = new Cluster(
      this.nodes.map(({ server }) => ({ host: '127.0.0.1', port: server.port })),
      options,
    );
    this.#clients.push(client);
    return client;
  }

  /** The nodes that are alive and masters with slots, by what they say themselves. */
  async masters(): Promise<ClusterNode[]> {
    const roles = await Promise.all(
      this.nodes.map(async ({ admin }) => {
        const flags = await myself(admin).catch(() => '');
        return /\bmaster\b.* connected .*\d/.test(flags);
      }),
    );
    return this.nodes.filter((_, index) => roles[index]);
  }

  async masterOf(key: string): Promise<ClusterNode> {
    const slot = await this.slotOf(key);
    for (const node of await this.masters()) {
      const slots = (await myself(node.admin)).split(' ').slice(8);
      if (slots.some((range) => within(range, slot))) return node;
    }
    throw new Error(`no living master has slot ${slot}`);
  }

  async slotOf(key: string): Promise<number> {
    const [{ admin }] = this.nodes as [ClusterNode];
    return admin.cluster('KEYSLOT', key);
  }

  /** All keys of all masters. */
  async keys(pattern = '*'): Promise<string[]> {
    const found = await Promise.all((await this.masters()).map(({ admin }) => admin.keys(pattern)));
    return found.flat();
  }

  /** Resolves when every living node says that the cluster works. */
  async healthy(): Promise<void> {
    await until('the cluster is healthy', async () => {
      const states = await Promise.all(this.nodes.map(({ admin }) => admin.cluster('INFO').catch(() => 'dead')));
      return states.every((state) => state === 'dead' || state.includes('cluster_state:ok'));
    });
  }

  /** Resolves when every living master has a replica with all its data. */
  async replicated(): Promise<void> {
    await until('every master has a replica', async () => {
      const masters = await this.masters();
      const info = await Promise.all(masters.map(({ admin }) => admin.info('replication')));
      return masters.length === MASTERS && info.every((text) => text.includes('state=online'));
    });
  }

  /** Begins to move a slot: from here on a key that `from` has not got is looked for at `to`. */
  async beginMove(slot: number, from: ClusterNode, to: ClusterNode): Promise<void> {
    await to.admin.cluster('SETSLOT', slot, 'IMPORTING', from.id);
    await from.admin.cluster('SETSLOT', slot, 'MIGRATING', to.id);
  }

  async moveKey(key: string, from: ClusterNode, to: ClusterNode): Promise<void> {
    await from.admin.migrate('127.0.0.1', to.server.port, key, 0, 2000);
  }

  /** Moves the keys that are left, one by one, and gives the slot to `to`. */
  async finishMove(slot: number, from: ClusterNode, to: ClusterNode): Promise<void> {
    for (;;) {
      const [key] = await from.admin.cluster('GETKEYSINSLOT', slot, 1);
      if (key === undefined) break;
      await this.moveKey(key, from, to);
    }
    // The new owner first, so that no client is redirected to a node that does not know about it.
    await to.admin.cluster('SETSLOT', slot, 'NODE', to.id);
    const masters = await this.masters();
    for (const { admin } of masters) await admin.cluster('SETSLOT', slot, 'NODE', to.id);
    // A node that does not know the epoch of another one takes none of its own for the next move, and loses that slot again.
    await until('all masters know the epoch of the new owner', async () => {
      const views = await Promise.all(masters.map(({ admin }) => admin.cluster('NODES')));
      return new Set(views.map((view) => epochOf(String(view), to.id))).size === 1;
    });
    // What nodes have told each other before is on its way for some milliseconds, and would undo a next move of the same slot.
    await sleep(SETTLING_MS);
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    for (const { server, admin } of this.nodes) {
      admin.disconnect();
      server.resume();
      await server.stop();
    }
  }

  async #start(): Promise<void> {
    const ports = await freePorts(2 * 2 * MASTERS);
    for (let index = 0; index < 2 * MASTERS; index++) await this.#startNode(ports[2 * index]!, ports[2 * index + 1]!);

    const [first, ...others] = this.nodes as [ClusterNode, ...ClusterNode[]];
    for (const [index, { admin }] of this.nodes.entries()) {
      await admin.cluster('SET-CONFIG-EPOCH', index + 1);
      if (index >= MASTERS) continue;
      const [from, to] = [index, index + 1].map((share) => Math.floor((share * SLOTS) / MASTERS));
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', from!, to! - 1);
    }
    for (const [index, { server }] of others.entries()) {
      await first.admin.call('CLUSTER', 'MEET', '127.0.0.1', server.port, ports[2 * (index + 1) + 1]!);
    }
    await until('all nodes have met', async () => {
      const views = await Promise.all(this.nodes.map(({ admin }) => admin.cluster('NODES')));
      return views.every((view) => String(view).match(/ connected/g)?.length === 2 * MASTERS);
    });
    for (const [index, { admin }] of this.nodes.entries()) {
      if (index >= MASTERS) await admin.cluster('REPLICATE', this.nodes[index - MASTERS]!.id);
    }
    await this.healthy();
    await this.replicated();
  }

  async #startNode(port: number, busPort: number): Promise<void> {
    const server = await RedisServer.startOn(
      port,
      ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort)],
      ...['--cluster-node-timeout', String(NODE_TIMEOUT_MS), '--repl-diskless-sync-delay', '0'],
    );
    const admin = await adminOf(port);
    this.nodes.push({ server, admin, id: await admin.cluster('MYID') });
  }
}

async function myself(admin: Redis): Promise<string> {
  const view = await admin.cluster('NODES');
  return (
    String(view)
      .split('\n')
      .find((line) => line.includes('myself')) ?? ''
  );
}

/** The configuration epoch of the node `id`, as another one knows it. */
function epochOf(view: string, id: string): string | undefined {
  return view
    .split('\n')
    .find((line) => line.startsWith(id))
    ?.split(' ')[6];
}

function within(range: string, slot: number): boolean {
  const [from, to = from] = range.split('-').map(Number);
  return from !== undefined && slot >= from && slot <= to!;
}
