import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Redis } from 'ioredis';

/** A Redis of our own on a free port, that writes nothing to disk. */
export class RedisServer {
  /** Calls that the benchmark makes itself, to look at the others'. */
  static readonly #OWN_COMMANDS = /^(info|ping|client|hello|flushall)/;

  /** @param options further ones of its command line */
  static async start(...options: readonly string[]): Promise<RedisServer> {
    const port = await freePort();
    const child = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...options],
      { stdio: 'ignore' },
    );
    await Promise.race([
      once(child, 'spawn'),
      once(child, 'error').then(([error]) => {
        throw new Error('redis-server is needed, on the PATH.', { cause: error });
      }),
    ]);
    const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null, retryStrategy: () => 20 });
    // Connections are refused until the server listens. If it never does, the first command fails.
    client.on('error', () => undefined);
    await client.ping();
    return new RedisServer(port, child, client);
  }

  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
    private readonly client: Redis,
  ) {}

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** How often each command was called since the start, by Redis's own count. */
  async calls(): Promise<Map<string, number>> {
    const lines = (await this.client.info('commandstats')).matchAll(/^cmdstat_(.+?):calls=(\d+)/gm);
    const calls = [...lines].map(([, command, count]): [string, number] => [command!, Number(count)]);
    return new Map(calls.filter(([command]) => !RedisServer.#OWN_COMMANDS.test(command)));
  }

  /** All of them, those within scripts included. */
  async totalCalls(): Promise<number> {
    return [...(await this.calls()).values()].reduce((sum, calls) => sum + calls, 0);
  }

  /** Removes all keys. */
  async empty(): Promise<void> {
    await this.client.flushall();
  }

  async stop(): Promise<void> {
    this.client.disconnect();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill();
    await exited;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
